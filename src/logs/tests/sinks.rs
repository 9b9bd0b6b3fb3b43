//! Writers that do what writers do: take all, take little, wait, fail, panic.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::byte;
use crate::contract::Output;

/// What a [`Sink`] does with a write.
#[derive(Clone, Copy)]
pub(super) enum Manner {
    /// Takes at most this much.
    Take(usize),
    /// Takes at most this much, every so many polls.
    Seldom(usize, usize),
    /// Takes so much in all, then fails with [`Full`].
    FailAfter(usize),
    /// Takes so much in all, then says that it took nothing.
    NothingAfter(usize),
    /// Takes so much in all, then panics.
    PanicAfter(usize),
    /// Takes so much in all, then nothing until it is freed.
    StuckAfter(usize),
    /// Takes all, and fails when it is flushed.
    FailingFlush,
    /// Takes all, and fails when it is shut down.
    FailingShutdown,
    /// Takes all, and is never done with shutting down unless it is freed.
    StuckShutdown,
}

/// An error of the embedder's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full(pub(super) u32);

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "full: {}", self.0)
    }
}

impl std::error::Error for Full {}

/// What a sink has seen.
#[derive(Default)]
pub(super) struct Seen {
    /// Bytes taken, all of them checked against the test stream.
    pub(super) bytes: AtomicUsize,
    /// Bytes taken when it was last flushed.
    pub(super) flushed: AtomicUsize,
    /// How often it was asked to write.
    pub(super) polls: AtomicUsize,
    /// How often it was shut down, always flushed.
    pub(super) shutdowns: AtomicUsize,
    /// Set by the test: take all from now on.
    pub(super) free: AtomicUsize,
    waker: Mutex<Option<std::task::Waker>>,
}

impl Seen {
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    pub(super) fn flushed(&self) -> usize {
        self.flushed.load(Ordering::SeqCst)
    }

    pub(super) fn shutdowns(&self) -> usize {
        self.shutdowns.load(Ordering::SeqCst)
    }

    pub(super) fn free(&self) {
        self.free.store(1, Ordering::SeqCst);
        if let Some(waker) = self.waker.lock().unwrap().take() {
            waker.wake();
        }
    }
}

/// A writer that checks what it gets.
pub(super) struct Sink {
    manner: Manner,
    seen: Arc<Seen>,
}

/// A writer, and what it sees; once the writer is gone, that is the only one to know.
pub(super) fn sink(manner: Manner) -> (Output, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    (Box::new(Sink { manner, seen: Arc::clone(&seen) }), seen)
}

impl Sink {
    fn take(&self, bytes: &[u8], most: usize) -> Poll<io::Result<usize>> {
        let at = self.seen.bytes();
        let count = bytes.len().min(most);
        for (offset, got) in bytes[..count].iter().enumerate() {
            assert_eq!(*got, byte(at + offset), "byte {}", at + offset);
        }
        self.seen.bytes.store(at + count, Ordering::SeqCst);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        assert!(!bytes.is_empty(), "it was asked to write nothing");
        assert_eq!(self.seen.shutdowns(), 0, "it was asked to write after its end");
        use Manner::*;
        let polls = self.seen.polls.fetch_add(1, Ordering::SeqCst) + 1;
        let free = self.seen.free.load(Ordering::SeqCst) == 1;
        let (FailAfter(all) | NothingAfter(all) | PanicAfter(all) | StuckAfter(all)) = self.manner
        else {
            return match self.manner {
                Seldom(_, every) if !polls.is_multiple_of(every) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Take(most) | Seldom(most, _) => self.take(bytes, most),
                _ => self.take(bytes, usize::MAX),
            };
        };
        let left = all - self.seen.bytes().min(all);
        match self.manner {
            _ if free => self.take(bytes, usize::MAX),
            _ if left > 0 => self.take(bytes, left),
            NothingAfter(_) => Poll::Ready(Ok(0)),
            PanicAfter(_) => panic!("on purpose"),
            StuckAfter(_) => {
                *self.seen.waker.lock().unwrap() = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(Err(io::Error::new(io::ErrorKind::StorageFull, Full(42)))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Manner::FailingFlush = self.manner {
            return Poll::Ready(Err(io::Error::other(Full(43))));
        }
        self.seen.flushed.store(self.seen.bytes(), Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        assert_eq!(
            self.seen.flushed(),
            self.seen.bytes(),
            "it was shut down before it was flushed"
        );
        let free = self.seen.free.load(Ordering::SeqCst) == 1;
        match self.manner {
            Manner::FailingShutdown => return Poll::Ready(Err(io::Error::other(Full(44)))),
            Manner::StuckShutdown if !free => {
                *self.seen.waker.lock().unwrap() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            _ => {}
        }
        assert_eq!(self.seen.shutdowns.fetch_add(1, Ordering::SeqCst), 0);
        Poll::Ready(Ok(()))
    }
}
