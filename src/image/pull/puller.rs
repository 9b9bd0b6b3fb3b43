//! The story of a pull: a name becomes documents, documents tell of blobs, and blobs become layers while
//! they come.
//!
//! ```text
//! manifest ──► configuration ──► which layers are there? ──► the others' blobs ──► commit
//!   client        store, client       lease them           │  four at a time         as a load
//!                                                          └► unpacked from the lowest up,
//!                                                             each while it comes
//! ```
//!
//! Whoever wants what somebody is pulling already waits for the same transfer; it goes on while anybody
//! waits. What is fetched is hashed here, before anything is visible, whoever sent it.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;

use super::claims::Claims;
use super::documents::{self, Documents};
use super::download::{Download, Transfer};
use super::flight::Flights;
use super::progress::Audience;
use super::{Client, Credentials, Error, Listener, Progress, Repository};
use crate::image::load::{Incoming, LayerOf, LoadError, LoadOptions, Origin, Piece};
use crate::image::store::staging::{NameRecord, Staged, name_record};
use crate::image::store::{Image, Store, Taken};
use crate::image::{Digest, Platform, Reference};

/// How many blobs of an image come at once.
const AT_ONCE: usize = 4;

/// Pulls images into a store. A clone is the same puller: pulls of the same image are one.
///
/// It works on the tokio runtime of whoever calls it; what blocks runs on that runtime's threads for
/// blocking work, and unpacking on a thread of its own for each image.
#[derive(Clone)]
pub struct Puller {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    client: Client,
    flights: Flights<Key>,
    claims: Claims,
    /// How many threads unpack.
    unpacking: watch::Sender<usize>,
}

/// What is wanted.
#[derive(Clone)]
#[non_exhaustive]
pub struct Pull {
    /// The image, by tag or digest. Its name in the store afterwards; a tag that was another image's moves.
    /// Of a name with both, the digest alone: nobody asks what the tag means.
    pub reference: Reference,
    /// Who asks for it.
    pub credentials: Credentials,
    /// For what an index is asked: this host's, if not set.
    pub platform: Option<Platform>,
    /// Told what is done.
    pub progress: Option<Listener>,
}

/// Pulls with the same key are the same.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    reference: Reference,
    credentials: Credentials,
    platform: Platform,
}

impl Pull {
    /// The image for this host, asked for by nobody in particular.
    #[must_use]
    pub fn new(reference: Reference) -> Pull {
        Pull { reference, credentials: Credentials::Anonymous, platform: None, progress: None }
    }
}

impl Puller {
    /// A puller into this store.
    #[must_use]
    pub fn new(store: Store, client: Client) -> Puller {
        let (flights, claims, unpacking) = Default::default();
        Puller { inner: Arc::new(Inner { store, client, flights, claims, unpacking }) }
    }

    /// Pulls an image, or waits for whoever is pulling it. What the store has of it is not fetched again.
    ///
    /// Who drops the future takes back its wish; the transfer ends when nobody wants it any more, and
    /// nothing is left of it then.
    ///
    /// # Errors
    /// [`Error`]. The store is as it was.
    pub async fn pull(&self, pull: Pull) -> Result<Image, Error> {
        let Pull { reference, credentials, platform, progress } = pull;
        let platform = platform.unwrap_or_else(Platform::host);
        let inner = Arc::clone(&self.inner);
        let key = Key { reference, credentials, platform };
        let wanted = (key.reference.clone(), key.credentials.clone(), key.platform.clone());
        let transfer = move |audience| async move {
            let (reference, credentials, platform) = wanted;
            let repository = inner.client.repository(&reference, &credentials);
            inner.transfer(&repository, &reference, &credentials, &platform, &audience).await
        };
        self.inner.flights.join(key, progress, transfer).await
    }

    /// Returns when nothing is unpacked any more: of a pull whose future was dropped, too, what it began is
    /// taken back then. Who ends right after that, and does not wait, leaves it to the store's next user.
    pub async fn settled(&self) {
        // The other end is here.
        let _ = self.inner.unpacking.subscribe().wait_for(|threads| *threads == 0).await;
    }
}

impl Inner {
    async fn transfer(
        &self,
        repository: &Repository,
        reference: &Reference,
        credentials: &Credentials,
        platform: &Platform,
        audience: &Audience,
    ) -> Result<Image, Error> {
        let documents = documents::read(repository, &self.store, reference, platform).await?;
        let name = name(reference, *documents.config.digest(), documents.named)?;
        let documents = Arc::new(documents);
        audience.tell(&Progress::Layers(layers(&documents)));
        let (prepared, _claim) = loop {
            let (store, documents) = (self.store.clone(), Arc::clone(&documents));
            let prepared = blocking(move || prepare(&store, &documents)).await?;
            let blobs = prepared.downloads.list.iter().map(|download| download.blob());
            match self.claims.take(reference.registry(), credentials, blobs) {
                Ok(claim) => break (prepared, claim),
                // What somebody else fetches is there when he is done, or it is our turn.
                Err(other) => {
                    drop(prepared);
                    other.gone().await;
                }
            }
        };
        let Prepared { staged, downloads, transfers } = prepared;
        let (store, listening) = (self.store.clone(), audience.clone());
        let list = downloads.list.clone();
        let loading =
            self.on_a_thread(move || load(&store, staged, name, &documents, &list, &listening));
        let mut loading = pin!(loading);
        let loaded = {
            let fetching = pin!(fetch_all(transfers, repository, audience));
            tokio::select! {
                loaded = &mut loading => loaded,
                () = fetching => loading.await,
            }
        };
        // A layer that is cut off is no layer: what is told is why it was.
        loaded.map_err(|error| downloads.error().unwrap_or(error))
    }

    /// For work that waits for others' blocking work: as one of the runtime's threads it could keep the
    /// last one from them.
    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (done, ended) = oneshot::channel();
        let counted = Counted::new(&self.unpacking);
        let work = move || {
            // Nobody may want to hear it.
            let _ = done.send(work());
            drop(counted);
        };
        let thread = std::thread::Builder::new().name("hotcell-pull".to_owned());
        thread.spawn(work).map_err(|source| Error::Thread { source })?;
        ended.await.map_err(|_| Error::Interrupted)?
    }
}

/// A thread that is counted for as long as it works, even if it panics.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(threads: &watch::Sender<usize>) -> Counted {
        threads.send_modify(|threads| *threads += 1);
        Counted(threads.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|threads| *threads -= 1);
    }
}

/// What the image is going to be called. Its name stands for what the registry gave under it, which
/// may be an index. A tag beside a digest was not asked for: the registry never said that it is this
/// image's, and who pulls an old image that way must not take the tag from the new one.
fn name(reference: &Reference, image: Digest, named: Digest) -> Result<NameRecord, Error> {
    let named = name_record(&reference.without_idle_tag(), image, named);
    named.map_err(|error| Error::Load(error.into()))
}

fn layers(documents: &Documents) -> Vec<LayerOf> {
    let layers = &documents.manifest.layers;
    let layer = |(at, layer): (usize, &crate::image::Descriptor)| LayerOf {
        number: at + 1,
        of: layers.len(),
        blob: layer.digest,
        bytes: layer.size,
    };
    layers.iter().enumerate().map(layer).collect()
}

/// A load that has begun, and the blobs that it lacks.
struct Prepared {
    staged: Staged,
    downloads: Downloads,
    transfers: Vec<Transfer>,
}

/// The blobs of a pull that are on their way. If this goes, nobody goes on with them.
struct Downloads {
    list: Vec<Arc<Download>>,
}

impl Downloads {
    /// Why the first that failed did.
    fn error(&self) -> Option<Error> {
        self.list.iter().find_map(|download| download.error())
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        self.list.iter().for_each(|download| download.lose());
    }
}

/// Begins a load: finds out what is missing, and makes room for it.
fn prepare(store: &Store, documents: &Documents) -> Result<Prepared, Error> {
    let mut staged = store.begin().map_err(LoadError::Store)?;
    let wanted = store.wanted(&mut staged, &documents.manifest, &documents.config)?;
    let mut downloads = Downloads { list: Vec::new() };
    let mut transfers = Vec::new();
    for (layer, wanted) in layers(documents).into_iter().zip(wanted) {
        // A blob that several layers have comes once.
        if !wanted || downloads.list.iter().any(|one| one.blob() == layer.blob) {
            continue;
        }
        drop(staged.new_blob(&layer.blob).map_err(LoadError::Store)?);
        let (download, transfer) = Download::new(layer, staged.blob(&layer.blob));
        downloads.list.push(download);
        transfers.push(transfer);
    }
    Ok(Prepared { staged, downloads, transfers })
}

/// Fetches blobs, the lowest layers' first, until one fails.
async fn fetch_all(transfers: Vec<Transfer>, repository: &Repository, audience: &Audience) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = JoinSet::new();
    let mut waiting = transfers.into_iter();
    loop {
        // Without a permit nobody starts, so they start in order.
        tokio::select! {
            biased;
            Some(ended) = under_way.join_next() => {
                if !matches!(ended, Ok(true)) {
                    return;
                }
            }
            Ok(permit) = Arc::clone(&room).acquire_owned(), if waiting.len() > 0 => {
                let Some(transfer) = waiting.next() else { continue };
                let (repository, audience) = (repository.clone(), audience.clone());
                under_way.spawn(async move {
                    let whole = transfer.run(repository, audience).await;
                    drop(permit);
                    whole
                });
            }
            else => return,
        }
    }
}

/// Unpacks what comes, and commits it. Blocks.
fn load(
    store: &Store,
    staged: Staged,
    name: NameRecord,
    documents: &Documents,
    downloads: &[Arc<Download>],
    audience: &Audience,
) -> Result<Image, Error> {
    let Documents { manifest, config, .. } = documents;
    let piece = |(layer, diff_id): (&crate::image::Descriptor, &Digest)| {
        let download = downloads.iter().find(|download| download.blob() == layer.digest);
        let origin = download.map_or(Origin::Store, |download| Origin::Arriving(&**download));
        Piece { diff_id: *diff_id, blob: layer.digest, bytes: layer.size, origin }
    };
    let pieces = manifest.layers.iter().zip(&config.diff_ids).map(piece).collect();
    let tell = |progress| audience.tell(&Progress::from(progress));
    let options =
        LoadOptions { taken: Taken::Replaced, progress: Some(&tell), ..LoadOptions::default() };
    let images =
        store.take_all(staged, vec![name], &[Incoming { manifest, config, pieces }], &options)?;
    images.into_iter().next().ok_or(Error::Interrupted)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    // It panicked, or the runtime shuts down.
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Interrupted)?
}

impl std::fmt::Debug for Puller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Puller").field("store", &self.inner.store).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Pull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pull").field("reference", &self.reference).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_beside_a_digest_is_given_to_nobody() {
        let [image, named] = [b"1", b"2"].map(|bytes| Digest::sha256(bytes));
        let called = |text: &str| name(&text.parse().unwrap(), image, named).unwrap().name;
        assert_eq!(called("r.example/app:1"), "r.example/app:1");
        let by_digest = format!("r.example/app@{named}");
        assert_eq!(called(&by_digest), by_digest);
        assert_eq!(called(&format!("r.example/app:1@{named}")), by_digest);
    }
}
