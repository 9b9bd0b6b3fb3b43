//! A blob on its way from a registry into the store's file: hashed as it is written, read as it grows.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::progress::Audience;
use super::puller::blocking;
use super::{Error, Progress, Repository};
use crate::image::load::{Arriving, LayerOf, LoadError, Lost};
use crate::image::{Digest, Hasher};
use crate::unpoisoned::lock;

/// How many pieces may wait to be written: a few hundred kilobytes.
const AHEAD: usize = 8;
/// Whoever listens is told every so many bytes.
const NEWS: u64 = 1 << 20;

/// A blob on its way, for those who read what there is of it.
pub(super) struct Download {
    layer: LayerOf,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes in the file.
    written: u64,
    end: Option<End>,
}

enum End {
    /// All of it has come, and it is the blob.
    Whole,
    /// It does not come, and why; unless nobody wanted it.
    Lost(Option<Error>),
}

/// Whoever fetches it. If this goes before it is done, the blob is lost.
pub(super) struct Transfer {
    download: Arc<Download>,
    to: PathBuf,
}

impl Download {
    /// A blob that is going to be written into the file, which is opened when its turn has come: an image
    /// may have more layers than this process may have files.
    pub(super) fn new(layer: LayerOf, to: PathBuf) -> (Arc<Download>, Transfer) {
        let (state, moved) = Default::default();
        let download = Arc::new(Download { layer, state, moved });
        (Arc::clone(&download), Transfer { download, to })
    }

    pub(super) fn blob(&self) -> Digest {
        self.layer.blob
    }

    /// Why it did not come, if it did not; it is told once.
    pub(super) fn error(&self) -> Option<Error> {
        match &mut lock(&self.state).end {
            Some(End::Lost(error)) => error.take(),
            _ => None,
        }
    }

    /// Nobody is to go on with it, even if all of it is there.
    pub(super) fn lose(&self) {
        let mut state = lock(&self.state);
        if !matches!(state.end, Some(End::Lost(_))) {
            state.end = Some(End::Lost(None));
        }
        drop(state);
        self.moved.notify_all();
    }

    fn end(&self, end: End) {
        lock(&self.state).end.get_or_insert(end);
        self.moved.notify_all();
    }

    fn wait_until<T>(&self, done: impl Fn(&State) -> Option<T>) -> T {
        let mut state = lock(&self.state);
        loop {
            match done(&state) {
                Some(done) => return done,
                None => state = wait(&self.moved, state),
            }
        }
    }
}

fn wait<'a>(moved: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    moved.wait(state).unwrap_or_else(PoisonError::into_inner)
}

impl Arriving for Download {
    fn wait(&self, seen: u64) -> Result<u64, Lost> {
        self.wait_until(|state| match state.end {
            Some(End::Lost(_)) => Some(Err(Lost)),
            Some(End::Whole) => Some(Ok(state.written)),
            None => (state.written > seen).then_some(Ok(state.written)),
        })
    }

    fn whole(&self) -> Result<(), Lost> {
        self.wait_until(|state| match state.end {
            Some(End::Lost(_)) => Some(Err(Lost)),
            Some(End::Whole) => Some(Ok(())),
            None => None,
        })
    }

    fn give_up(&self) -> bool {
        let to_be_had = !matches!(lock(&self.state).end, Some(End::Lost(_)));
        self.lose();
        to_be_had
    }
}

impl Transfer {
    /// Fetches it. Whether it went well is written in the download.
    pub(super) async fn run(self, repository: Repository, audience: Audience) -> bool {
        let end = match self.fetch(&repository, &audience).await {
            Ok(()) => End::Whole,
            Err(error) => End::Lost(Some(error)),
        };
        let whole = matches!(end, End::Whole);
        if whole {
            audience.tell(&Progress::Downloaded(self.download.layer));
        }
        self.download.end(end);
        whole
    }

    async fn fetch(&self, repository: &Repository, audience: &Audience) -> Result<(), Error> {
        let layer = self.download.layer;
        let mut blob = repository.blob(&layer.blob, layer.bytes).await?;
        let (pieces, to_write) = mpsc::channel(AHEAD);
        let fetching = async move {
            let (mut come, mut told) = (0, 0);
            while let Some(piece) = blob.next().await? {
                come += piece.len() as u64;
                if come - told >= NEWS {
                    told = come;
                    audience.tell(&Progress::Downloading { layer, bytes: come });
                }
                // Whoever writes has failed: it says why.
                if pieces.send(piece).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let writing = write(Arc::clone(&self.download), self.to.clone(), to_write);
        let (ended, found): (Result<(), Error>, _) = tokio::join!(fetching, writing);
        let found = found?;
        ended?;
        match found == layer.blob {
            true => Ok(()),
            false => {
                let (found, promised) = (Box::new(found), Box::new(layer.blob));
                let what = "a layer's blob".to_owned();
                Err(Error::Load(LoadError::Digest { what, found, promised }))
            }
        }
    }
}

/// Writes and hashes what comes. It has one of the runtime's threads for blocking work only while there
/// is something to write: a registry that dawdles keeps none from others.
async fn write(
    download: Arc<Download>,
    to: PathBuf,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<Digest, Error> {
    let mut writer = blocking(move || Writer::open(download, &to)).await?;
    let mut come = Vec::new();
    while pieces.recv_many(&mut come, AHEAD).await > 0 {
        let come = mem::take(&mut come);
        writer = blocking(move || writer.write(&come)).await?;
    }
    Ok(writer.hasher.finish())
}

/// Writes a blob into its file.
struct Writer {
    download: Arc<Download>,
    to: File,
    hasher: Hasher,
}

impl Writer {
    fn open(download: Arc<Download>, to: &Path) -> Result<Writer, Error> {
        let blob = download.blob();
        let to = OpenOptions::new().write(true).open(to).map_err(broken(blob))?;
        Ok(Writer { download, to, hasher: Hasher::new(blob.algorithm()) })
    }

    fn write(mut self, pieces: &[Bytes]) -> Result<Writer, Error> {
        for piece in pieces {
            self.to.write_all(piece).map_err(broken(self.download.blob()))?;
            lock(&self.download.state).written += piece.len() as u64;
            self.download.moved.notify_all();
            self.hasher.update(piece);
        }
        Ok(self)
    }
}

fn broken(blob: Digest) -> impl Fn(io::Error) -> Error {
    move |source| Error::Load(LoadError::Copy { blob, source })
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.download.end(End::Lost(None));
    }
}
