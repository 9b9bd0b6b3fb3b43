//! One thread decompresses, one hashes, the caller reads entries and makes them.
//!
//! ```text
//!             ┌─► hash ──► diff id
//!  inflate ───┤
//!     ▲       └─► entries ──► tree
//!     └─── buffers that both have done with ───┘
//! ```
//!
//! A buffer is filled once and read twice where it lies. There are only so many: who is behind holds
//! up the others, so memory does not grow with the layer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use super::decompress::Stream;
use super::error::{Cause, Error};
use super::limits::{Limit, Limits};
use super::source::Source;
use super::tar::{BLOCK, Blocks};
use crate::image::digest::{Algorithm, Digest, Hasher};

/// The size of one buffer: a multiple of a block, so that no header lies in two.
const BUFFER: usize = 256 << 10;
/// How many there are.
const BUFFERS: usize = 12;

/// What a stream turned out to be.
#[derive(Debug)]
pub(super) struct Hashes {
    pub(super) diff_id: Digest,
    pub(super) blob: Digest,
    pub(super) blob_bytes: u64,
    pub(super) bytes: u64,
}

/// Reads the source to its end, and gives its bytes after decompression to `work`, which must read
/// them all if nothing is wrong.
pub(super) fn run<T>(
    source: &Source,
    limits: &Limits,
    work: impl FnOnce(Pieces) -> Result<T, Error>,
) -> Result<(T, Hashes), Error> {
    let compressed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (to_hash, hashed) = sync_channel(BUFFERS);
        let (to_entries, entries) = sync_channel(BUFFERS);
        let inflate = Inflate { source, limits, compressed: &compressed, to_hash, to_entries };
        let inflate = start(scope, "hotcell-inflate", move || inflate.run())?;
        let algorithm = source.diff_id_algorithm;
        let hash = start(scope, "hotcell-hash", move || hash(algorithm, &hashed))?;
        // Whatever `work` leaves behind is dropped with it, which ends the other two.
        let done = work(Pieces { from: entries, current: None, read: 0, ended: false });
        // Also if it failed: the end of the scope would let go of threads that have not quite ended.
        let threads = (inflate.join(), hash.join());
        let done = done?;
        let (Ok(Some((blob, bytes))), Ok(diff_id)) = threads else {
            return Err(Cause::system("join a thread", std::io::ErrorKind::Other).into());
        };
        let blob_bytes = compressed.load(Ordering::Relaxed);
        Ok((done, Hashes { diff_id, blob, blob_bytes, bytes }))
    })
}

fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, Error> {
    let thread = Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
    thread.map_err(|source| Cause::system("start a thread", source).into())
}

/// A filled buffer; whoever drops it last sends it home.
struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
    home: Sender<Vec<u8>>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Nobody at home any more: then it is freed.
        let _ = self.home.send(std::mem::take(&mut self.bytes));
    }
}

/// The end of the stream is said, for a thread that dies closes its channel too.
enum Piece {
    Bytes(Arc<Buffer>),
    End,
    Failed(Cause),
}

struct Inflate<'a> {
    source: &'a Source,
    limits: &'a Limits,
    compressed: &'a AtomicU64,
    to_hash: SyncSender<Arc<Buffer>>,
    to_entries: SyncSender<Piece>,
}

impl Inflate<'_> {
    /// The digest of what was read, and how much came of it; `None` if that was not everything.
    fn run(self) -> Option<(Digest, u64)> {
        let done = self.inflate();
        let (piece, done) = match done {
            Ok(done) => (Piece::End, done),
            Err(cause) => (Piece::Failed(cause), None),
        };
        // Nobody there: then whoever left knows why.
        let _ = self.to_entries.send(piece);
        done
    }

    /// `None` if nobody listens any more.
    fn inflate(&self) -> Result<Option<(Digest, u64)>, Cause> {
        let mut stream = Stream::open(self.source.open(self.compressed), self.limits)?;
        let (home, free) = channel();
        let mut made = 0;
        let mut total = 0;
        loop {
            let mut bytes = match free.try_recv() {
                Ok(bytes) => bytes,
                Err(_) if made < BUFFERS => {
                    made += 1;
                    vec![0; BUFFER]
                }
                Err(_) => match free.recv() {
                    Ok(bytes) => bytes,
                    // This thread holds a sender itself.
                    Err(_) => return Ok(None),
                },
            };
            let filled = stream.fill(&mut bytes)?;
            total += filled as u64;
            self.check(total)?;
            let buffer = Arc::new(Buffer { bytes, filled, home: home.clone() });
            // Dropped before the last of the pair is sent, it would come home too early for nobody.
            if self.to_hash.send(Arc::clone(&buffer)).is_err()
                || self.to_entries.send(Piece::Bytes(buffer)).is_err()
            {
                return Ok(None);
            }
            if filled < BUFFER {
                return Ok(Some((stream.into_blob().finish(), total)));
            }
        }
    }

    fn check(&self, total: u64) -> Result<(), Cause> {
        let Limits { bytes, ratio, free_bytes, .. } = *self.limits;
        if total > bytes {
            return Err(Limit::ArchiveBytes.exceeded(bytes));
        }
        let compressed = self.compressed.load(Ordering::Relaxed);
        if total > free_bytes && total > compressed.saturating_mul(ratio) {
            return Err(Limit::Ratio.exceeded(ratio));
        }
        Ok(())
    }
}

fn hash(algorithm: Algorithm, pieces: &Receiver<Arc<Buffer>>) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    for buffer in pieces {
        hasher.update(&buffer.bytes[..buffer.filled]);
    }
    hasher.finish()
}

/// The bytes after decompression, for whoever reads the archive.
pub(super) struct Pieces {
    from: Receiver<Piece>,
    current: Option<Arc<Buffer>>,
    /// How much of the current buffer has been read.
    read: usize,
    ended: bool,
}

impl Pieces {
    /// Whether there is more.
    fn more(&mut self) -> Result<bool, Cause> {
        while self.current.as_ref().is_none_or(|buffer| self.read == buffer.filled) {
            if self.ended {
                return Ok(false);
            }
            self.current = None;
            self.read = 0;
            match self.from.recv() {
                Ok(Piece::Bytes(buffer)) => self.current = Some(buffer),
                Ok(Piece::End) => self.ended = true,
                Ok(Piece::Failed(cause)) => return Err(cause),
                Err(_) => return Err(Cause::system("join a thread", std::io::ErrorKind::Other)),
            }
        }
        Ok(true)
    }

    fn rest(&self) -> &[u8] {
        let rest = self.current.as_ref().map(|buffer| &buffer.bytes[self.read..buffer.filled]);
        rest.unwrap_or_default()
    }
}

impl Blocks for Pieces {
    fn block(&mut self) -> Result<Option<&[u8; BLOCK]>, Cause> {
        if !self.more()? {
            return Ok(None);
        }
        if self.rest().len() < BLOCK {
            return Err(Cause::Truncated);
        }
        self.read += BLOCK;
        let start = self.read - BLOCK;
        let block = self.current.as_ref().and_then(|b| b.bytes[start..].first_chunk());
        Ok(block)
    }

    fn some(&mut self, most: u64) -> Result<&[u8], Cause> {
        if !self.more()? {
            return Err(Cause::Truncated);
        }
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(self.rest().len());
        let start = self.read;
        self.read += count;
        Ok(self.current.as_ref().map(|b| &b.bytes[start..start + count]).unwrap_or_default())
    }
}
