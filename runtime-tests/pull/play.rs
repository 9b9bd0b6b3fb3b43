//! Pulls once in a process of its own, which says what came of it, and writes down everything that
//! any part of it would log.
//!
//! ```text
//! test ──► player (this program, --play=pull-once) ──► Puller ──► registries of the test
//!  ◄── one line of JSON: pulled or why not, what is left in the store, memory; and a trace
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Pipes};
use std::sync::Arc;

use hotcell::image::pull::{Client, Progress, Pull, Puller};
use hotcell::image::store::{Closely, Image, Repair, Store, StoreOptions};

use super::order::{Order, Played, Told};
use super::trace::Trace;
use crate::hostile_images::memory::{forget, peak};
use crate::hostile_images::play::{files, seen};

/// What is given to a player by its environment.
const ORDER: &str = "PLAY_PULL_ORDER";
const DIR: &str = "PLAY_PULL_DIR";

/// What a player said, and what it would have logged.
pub struct Said {
    pub played: Played,
    /// Everything that it wrote anywhere but into the store.
    pub all: String,
}

/// Plays an order in `dir`, where its store and its trace are.
pub fn play(order: &Order, dir: &Path) -> Result<Said, String> {
    let output = player(order, dir).output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() || err.contains("panicked") {
        return Err(format!("the player ended with {}: {}", output.status, err.trim()));
    }
    let trace = fs::read_to_string(dir.join("trace")).unwrap();
    assert!(!trace.is_empty(), "nothing was traced");
    let played = serde_json::from_str(&out).map_err(|error| format!("{error}: {out} {err}"))?;
    Ok(Said { played, all: format!("{out}\n{err}\n{trace}") })
}

/// The process that plays it.
pub fn player(order: &Order, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--play=pull-once").stdin(Pipes::null());
    command.env(ORDER, serde_json::to_string(order).unwrap()).env(DIR, dir);
    command.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
    if let Some(trusts) = &order.trusts {
        command.env("SSL_CERT_FILE", trusts);
    }
    command
}

/// The store of whoever plays in `dir`.
pub fn store(dir: &Path) -> PathBuf {
    dir.join("store")
}

/// The player's side.
pub fn serve() {
    let order: Order = serde_json::from_str(&std::env::var(ORDER).unwrap()).unwrap();
    let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
    fs::create_dir_all(&dir).unwrap();
    Trace::begin(&dir.join("trace"));
    let store = Store::open(store(&dir), StoreOptions::default()).unwrap();
    let before = files(store.dir());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    forget();
    let pulled = runtime.block_on(pull(&order, &store));
    let peak = peak();
    let mut played = Played { id: None, tree: None, error: None, left: BTreeSet::new(), peak };
    match pulled {
        Ok(image) => {
            played.id = Some(image.id().to_string());
            let lowers = image.lowers();
            let lowers: Vec<_> = lowers.names.iter().map(|name| lowers.dir.join(name)).collect();
            played.tree = order.look.then(|| seen(&lowers, &dir));
        }
        Err(error) => played.error = Some(told(&error)),
    }
    drop(runtime);
    played.left = files(store.dir()).difference(&before).cloned().collect();
    let checked = store.check(Closely::Inside, Repair::No).unwrap();
    assert!(checked.flaws.is_empty(), "{checked:?}");
    for dir in ["work", "trash"] {
        let left = files(&store.dir().join(dir));
        assert!(left.is_empty(), "{left:?}");
    }
    println!("{}", serde_json::to_string(&played).unwrap());
}

async fn pull(order: &Order, store: &Store) -> Result<Image, hotcell::image::pull::Error> {
    let puller = Puller::new(store.clone(), Client::new(order.settings())?);
    let mut wanted = Pull::new(order.image.parse().unwrap());
    wanted.credentials = order.credentials();
    // Whatever it tells of its progress is said, too.
    wanted.progress = Some(Arc::new(|progress: &Progress| tracing::info!(?progress)));
    puller.pull(wanted).await
}

fn told(error: &hotcell::image::pull::Error) -> Told {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    Told {
        text,
        debug: format!("{error:#?}"),
        status: error.status(),
        timeout: error.is_timeout(),
        transient: error.is_transient(),
    }
}
