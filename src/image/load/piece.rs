//! A layer's blob, and where its bytes come from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::LoadError;
use crate::image::Digest;
use crate::image::archive::{ArchivedLayer, Region};

/// How much goes to whoever unpacks at once.
const MOUTHFUL: usize = 256 << 10;

/// A layer's blob.
#[derive(Clone, Copy)]
pub(in crate::image) struct Piece<'a> {
    pub(in crate::image) diff_id: Digest,
    pub(in crate::image) blob: Digest,
    pub(in crate::image) bytes: u64,
    pub(in crate::image) origin: Origin<'a>,
}

/// Where a blob comes from.
#[derive(Clone, Copy)]
pub(in crate::image) enum Origin<'a> {
    /// Out of another file; nobody has hashed it yet.
    Region(&'a Region),
    /// Somebody writes it into the store's file, and hashes it.
    #[cfg_attr(not(feature = "pull"), allow(dead_code, reason = "only pulled blobs arrive"))]
    Arriving(&'a dyn Arriving),
    /// The store has it, and what was unpacked of it, both leased.
    #[cfg_attr(not(feature = "pull"), allow(dead_code, reason = "archives have all blobs"))]
    Store,
}

/// A blob on its way into the store's file.
pub(in crate::image) trait Arriving: Sync {
    /// Waits until more than `seen` bytes are there, and says how many.
    fn wait(&self, seen: u64) -> Result<u64, Lost>;

    /// Waits until all of it is there and has been seen to be the blob.
    fn whole(&self) -> Result<(), Lost>;

    /// Nobody wants the rest. Says whether it was still to be had, so that its loss is not the reason.
    fn give_up(&self) -> bool;
}

/// A blob does not come, or is another; whoever writes it knows why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::image) struct Lost;

impl<'a> Piece<'a> {
    pub(super) fn archived(layer: &'a ArchivedLayer) -> Result<Piece<'a>, LoadError> {
        let (blob, promised) = (layer.descriptor.digest, layer.descriptor.size);
        if layer.region.len != promised {
            return Err(LoadError::Size { blob, found: layer.region.len, promised });
        }
        let origin = Origin::Region(&layer.region);
        Ok(Piece { diff_id: layer.diff_id, blob, bytes: promised, origin })
    }
}

/// Why somebody was not given all of a blob.
pub(super) enum Unfed {
    Lost,
    Io(io::Error),
}

/// Gives a blob's bytes to whoever unpacks, as they come. One that wants no more is given no more.
pub(super) fn feed(
    file: &File,
    bytes: u64,
    blob: &dyn Arriving,
    to: UnixStream,
) -> Result<(), Unfed> {
    let mut buffer = vec![0; MOUTHFUL];
    let mut sent = 0;
    while sent < bytes {
        let there = blob.wait(sent).map_err(|Lost| Unfed::Lost)?;
        while sent < there {
            let most = usize::try_from(there - sent).unwrap_or(MOUTHFUL).min(MOUTHFUL);
            let read = file.read_at(&mut buffer[..most], sent).map_err(Unfed::Io)?;
            if read == 0 {
                return Err(Unfed::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            match send_all(&to, &buffer[..read]) {
                Ok(()) => sent += read as u64,
                Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
                Err(errno) => return Err(Unfed::Io(errno.into())),
            }
        }
    }
    Ok(())
}

/// Without a signal to this process, which may mean something to it, when nobody reads.
fn send_all(to: &UnixStream, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match send(to, bytes, SendFlags::NOSIGNAL) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
