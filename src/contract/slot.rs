//! A stream that can be had once, and what is had instead the second time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One of a task's streams: not there, ready, or given away.
pub(super) struct Slot<T> {
    stream: Option<T>,
    given: bool,
}

impl<T> Slot<T> {
    pub(super) fn new(stream: Option<T>) -> Slot<T> {
        Slot { stream, given: false }
    }

    /// The stream; what `spent` makes once that has been given away; `None` if there never was one.
    pub(super) fn take(&mut self, spent: impl FnOnce() -> T) -> Option<T> {
        let stream = self.stream.take();
        if stream.is_none() {
            return self.given.then(spent);
        }
        self.given = true;
        stream
    }
}

/// Stands for the stream of this name that has been given away, and fails whatever is done with it.
pub(super) struct Spent(pub(super) &'static str);

impl Spent {
    fn fail<T>(&self) -> Poll<io::Result<T>> {
        let message = format!("the task's {} was given to an earlier cookie", self.0);
        Poll::Ready(Err(io::Error::other(message)))
    }
}

impl AsyncRead for Spent {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.fail()
    }
}

impl AsyncWrite for Spent {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        self.fail()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fail()
    }

    /// Fails too, so that a task which wrote nothing is no success either.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fail()
    }
}
