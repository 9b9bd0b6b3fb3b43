//! What a player is told to pull, and what it tells when it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hotcell::image::pull::{Credentials, RegistrySettings, Secret, Settings};
use serde::{Deserialize, Serialize};

use crate::hostile_images::memory::Peak;
use crate::hostile_images::tree::Tree;

/// Milliseconds that are enough on the busiest machine.
pub const PATIENT: u64 = 60_000;

/// One pull.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The image's name.
    pub image: String,
    /// Who pulls.
    pub who: Who,
    pub registries: BTreeMap<String, Special>,
    pub certs_dirs: Vec<PathBuf>,
    /// Milliseconds for an answer's beginning, and for more of a blob.
    pub patience: u64,
    /// Whether to look at the tree that it comes to.
    pub look: bool,
    /// Certificates of authorities that the whole host trusts.
    pub trusts: Option<PathBuf>,
}

/// With what.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub enum Who {
    #[default]
    Nobody,
    Basic(String, String),
    Identity(String),
    Token(String),
}

/// What is special about a registry.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Special {
    pub mirrors: Vec<String>,
    pub plain_http: bool,
    pub ca: Vec<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Played {
    /// The image's identifier.
    pub id: Option<String>,
    /// What a cell would see.
    pub tree: Option<Tree>,
    pub error: Option<Told>,
    /// Files of the store that were not there before.
    pub left: BTreeSet<String>,
    pub peak: Peak,
}

/// An error with all that can be asked of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// The whole chain.
    pub text: String,
    /// The same for programmers.
    pub debug: String,
    pub status: Option<u16>,
    pub timeout: bool,
    pub transient: bool,
}

impl Order {
    pub fn of(image: &str, trusts: &Path) -> Order {
        Order {
            image: image.to_owned(),
            patience: PATIENT,
            trusts: Some(trusts.to_owned()),
            ..Order::default()
        }
    }

    pub fn credentials(&self) -> Credentials {
        match self.who.clone() {
            Who::Nobody => Credentials::Anonymous,
            Who::Basic(username, password) => {
                Credentials::Basic { username, password: Secret::new(password) }
            }
            Who::Identity(token) => Credentials::IdentityToken(Secret::new(token)),
            Who::Token(token) => Credentials::RegistryToken(Secret::new(token)),
        }
    }

    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.certs_dirs.clone_from(&self.certs_dirs);
        let millis = Duration::from_millis;
        let timeouts = &mut settings.timeouts;
        timeouts.connect = millis(PATIENT);
        (timeouts.first_byte, timeouts.stall) = (millis(self.patience), millis(self.patience));
        for (host, special) in &self.registries {
            let mirrors = special.mirrors.iter().map(|mirror| mirror.parse().unwrap()).collect();
            let (plain_http, ca) = (special.plain_http, special.ca.clone());
            let all = RegistrySettings { mirrors, plain_http, ca };
            settings.registries.insert(host.clone(), all);
        }
        settings
    }
}
