//! Readers and writers that remember, fail or get stuck.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Reason;
use super::scene::eventually;
use crate::unpoisoned::lock;

/// A writer that remembers; a clone remembers the same.
#[derive(Clone, Default)]
pub(super) struct Capture {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    /// How many bytes there were at the last flush.
    flushed: usize,
    shutdowns: usize,
}

impl Capture {
    fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut lock(&self.seen))
    }

    pub(super) fn len(&self) -> usize {
        self.with(|seen| seen.bytes.len())
    }

    /// What was written and flushed: the rest might never arrive.
    pub(super) fn flushed(&self) -> Vec<u8> {
        self.with(|seen| seen.bytes[..seen.flushed].to_vec())
    }

    /// How often it was shut down.
    pub(super) fn shutdowns(&self) -> usize {
        self.with(|seen| seen.shutdowns)
    }

    pub(super) async fn until(&self, bytes: usize) -> Result<(), Reason> {
        let what = format!("{bytes} bytes of output there");
        eventually(&what, || (self.flushed().len() >= bytes).then_some(())).await
    }
}

impl AsyncWrite for Capture {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|seen| seen.bytes.extend_from_slice(data));
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|seen| seen.flushed = seen.bytes.len());
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|seen| seen.shutdowns += 1);
        self.poll_flush(context)
    }
}

/// An error that can be told from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Marked(pub(super) u64);

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "marked {}", self.0)
    }
}

impl std::error::Error for Marked {}

/// A reader and writer that fails with its mark.
pub(super) struct Broken(pub(super) Marked);

impl Broken {
    fn fail<T>(&self) -> Poll<io::Result<T>> {
        Poll::Ready(Err(io::Error::other(self.0)))
    }
}

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.fail()
    }
}

impl AsyncWrite for Broken {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.fail()
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A writer that takes everything, and fails with its mark when it is shut down.
pub(super) struct BrokenAtTheEnd(pub(super) Marked);

impl AsyncWrite for BrokenAtTheEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::Error::other(self.0)))
    }
}

/// A writer that takes nothing and never says why.
pub(super) struct Stuck;

impl AsyncWrite for Stuck {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}
