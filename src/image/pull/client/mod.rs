//! Asking registries: manifests and blobs, from mirrors first, with as much proof of identity as is due.
//!
//! ```text
//!  Repository ──► Source ──► question ──► address ──► connection ──► answer ──► manifest, Blob
//!  repository     mod        ask, token   address     connect, tls   wire       repository, blob
//! ```
//!
//! A question goes to a [`Source`]: a mirror, or the registry. What it answers may send us elsewhere, or
//! ask who we are; both only as far as its own word reaches.

mod address;
mod answer;
mod ask;
mod blob;
mod challenge;
mod connect;
mod patience;
mod range;
mod repository;
mod tls;
mod token;
pub(in crate::image::pull) mod url;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

pub use blob::Blob;
pub use repository::{Found, Repository, Which};

use super::{Asked, Credentials, Endpoint, Error, Failure, RegistrySettings, Settings};
use crate::image::Reference;
use address::{Reach, Zone};
use ask::{Asker, Source};
use tls::Tls;
use token::Proofs;
use url::{Origin, UrlError};
use wire::Wire;

/// What references call Docker Hub, and where its registry answers.
const HUB: &str = "docker.io";
const HUB_HOST: &str = "registry-1.docker.io";

/// Asks registries. A clone is the same client: connections and tokens are shared.
///
/// It works on the tokio runtime of whoever calls it, and blocks it never.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    /// By name, in lower case.
    registries: BTreeMap<String, RegistrySettings>,
    asker: Asker,
}

impl Client {
    /// A client for these settings. Nothing is read or asked yet.
    ///
    /// # Errors
    /// Settings of a registry that has no name, or of which one contradicts another.
    pub fn new(settings: Settings) -> Result<Client, Error> {
        let mut registries = BTreeMap::new();
        for (name, registry) in settings.registries {
            let wrong = |why: &str| Error::Settings { registry: name.clone(), why: why.to_owned() };
            Origin::parse(true, &name).map_err(|UrlError(why)| wrong(why))?;
            if registry.plain_http && !registry.ca.is_empty() {
                return Err(wrong("has authorities, which plain HTTP does not ask"));
            }
            if registries.insert(name.to_ascii_lowercase(), registry).is_some() {
                return Err(wrong("is there in another spelling, too"));
            }
        }
        let own = |(name, registry): (&String, &RegistrySettings)| {
            (!registry.ca.is_empty()).then(|| (name.clone(), registry.ca.clone()))
        };
        let authorities = registries.iter().filter_map(own).collect();
        let wire = Wire::new(Tls::new(settings.certs_dirs, authorities), settings.timeouts);
        let asker = Asker { wire, proofs: Proofs::default() };
        Ok(Client { inner: Arc::new(Inner { registries, asker }) })
    }

    /// The repository of an image, for whoever has these credentials at its registry.
    #[must_use]
    pub fn repository(&self, reference: &Reference, credentials: &Credentials) -> Repository {
        Repository::new(self.clone(), reference, credentials)
    }

    /// Sees whether a registry (`host` or `host:port`, as in references) takes the credentials. No mirror
    /// is asked.
    ///
    /// # Errors
    /// It does not, or it can't be asked.
    pub async fn check(&self, registry: &str, credentials: &Credentials) -> Result<(), Error> {
        let told = |failure| {
            let what = "access".to_owned();
            let asked = Asked { registry: registry.to_owned(), repository: None, what };
            Error::Registry { asked: Box::new(asked), failure: Box::new(failure) }
        };
        let source = self.source(registry, credentials).await.map_err(told)?;
        let answer = self.inner.asker.get(&source, None, "", &HeaderMap::new()).await;
        answer.map_err(told)?.body.pass_over().await;
        Ok(())
    }

    /// How the registry itself is asked: with TLS, unless it is on this host and has no authority of its
    /// own, or the settings say otherwise.
    async fn source(&self, registry: &str, credentials: &Credentials) -> Result<Source, Failure> {
        let host = if registry == HUB { HUB_HOST } else { registry };
        let parse = |tls| {
            let wrong = |UrlError(why)| {
                let source = io::Error::new(io::ErrorKind::InvalidInput, format!("it {why}"));
                Failure::Name { host: registry.to_owned(), source }
            };
            Origin::parse(tls, host).map_err(wrong)
        };
        let (origin, reach) = if self.settings(registry).is_some_and(|own| own.plain_http) {
            (parse(false)?, Reach::Anywhere)
        } else {
            let origin = parse(true)?;
            let here = is_here(&origin.host) && !self.inner.asker.wire.tls.is_set_up(&origin).await;
            if here { (parse(false)?, Reach::Here) } else { (origin, Reach::Anywhere) }
        };
        Ok(Source { origin, prefix: String::new(), credentials: credentials.clone(), reach })
    }

    fn mirrors(&self, registry: &str) -> Vec<Source> {
        let mirrors = self.settings(registry).map_or(&[][..], |own| &own.mirrors);
        let source = |Endpoint { url, credentials }: &Endpoint| Source {
            origin: url.origin.clone(),
            prefix: url.target.trim_end_matches('/').to_owned(),
            credentials: credentials.clone(),
            reach: Reach::Anywhere,
        };
        mirrors.iter().map(source).collect()
    }

    fn settings(&self, registry: &str) -> Option<&RegistrySettings> {
        self.inner.registries.get(&registry.to_ascii_lowercase())
    }
}

/// Whether a name or an address can only mean this host.
fn is_here(host: &str) -> bool {
    let name = host == "localhost" || host.ends_with(".localhost");
    name || host.parse::<IpAddr>().is_ok_and(|address| Zone::of(address) == Zone::Loopback)
}

/// Does what blocks, elsewhere.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("registries", &self.inner.registries).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
