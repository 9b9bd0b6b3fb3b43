//! Where a layer's bytes come from: a part of a file, or a pipe; counted and hashed as they are read.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::{Errno, pread, read};
use serde::{Deserialize, Serialize};

use crate::image::digest::{Algorithm, Digest, Hasher};

/// A layer as it stands in an archive or comes from somewhere, compressed or not.
#[derive(Debug)]
pub struct Source {
    /// What is read; its position stays where it is, unless it is a stream.
    pub file: OwnedFd,
    /// Which part of it.
    pub extent: Extent,
    /// How [`Unpacked::blob`](super::Unpacked::blob) is to be hashed.
    pub blob_algorithm: Algorithm,
    /// How [`Unpacked::diff_id`](super::Unpacked::diff_id) is to be hashed.
    pub diff_id_algorithm: Algorithm,
}

/// Which part of a file is a layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Extent {
    /// So many bytes from there on; a file that ends before is an error.
    Region {
        /// Bytes before the layer.
        offset: u64,
        /// Bytes of the layer.
        len: u64,
    },
    /// Everything to the end of a pipe, a socket or a file, from where it stands.
    Stream,
}

impl Source {
    /// `len` bytes of the file from `offset` on, hashed with SHA-256.
    #[must_use]
    pub fn region(file: impl Into<OwnedFd>, offset: u64, len: u64) -> Source {
        Source::new(file.into(), Extent::Region { offset, len })
    }

    /// Everything up to the end, hashed with SHA-256.
    #[must_use]
    pub fn stream(file: impl Into<OwnedFd>) -> Source {
        Source::new(file.into(), Extent::Stream)
    }

    fn new(file: OwnedFd, extent: Extent) -> Source {
        let algorithm = Algorithm::Sha256;
        Source { file, extent, blob_algorithm: algorithm, diff_id_algorithm: algorithm }
    }

    pub(super) fn open<'a>(&'a self, count: &'a AtomicU64) -> Blob<'a> {
        let (offset, left) = match self.extent {
            Extent::Region { offset, len } => (Some(offset), len),
            Extent::Stream => (None, u64::MAX),
        };
        Blob { source: self, offset, left, count, hasher: Hasher::new(self.blob_algorithm) }
    }
}

/// The bytes of a source, read once from the first to the last.
pub(super) struct Blob<'a> {
    source: &'a Source,
    /// Where to read next; `None` in a stream.
    offset: Option<u64>,
    left: u64,
    count: &'a AtomicU64,
    hasher: Hasher,
}

impl Blob<'_> {
    /// The digest of what has been read.
    pub(super) fn finish(self) -> Digest {
        self.hasher.finish()
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..most];
        if most == 0 {
            return Ok(0);
        }
        let fd = self.source.file.as_fd();
        let count = loop {
            let done = match self.offset {
                Some(offset) => pread(fd, &mut *buffer, offset),
                None => read(fd, &mut *buffer),
            };
            match done {
                Err(Errno::INTR) => {}
                done => break done?,
            }
        };
        if let Some(offset) = &mut self.offset {
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *offset += count as u64;
            self.left -= count as u64;
        }
        self.hasher.update(&buffer[..count]);
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
