//! One writer's task: takes what the ring has for it, flushes whenever there is no more, and shuts
//! the writer down when there never will be.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;

use super::ring::CAPACITY;
use super::scratch;
use super::shared::Shared;
use crate::contract::{ErrorKind, Output};

/// How long one write may make no progress when nothing more comes.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A writer's place in the ring, given up however the task ends.
pub(super) struct Place {
    stream: Arc<Shared>,
    writer: usize,
}

impl Place {
    pub(super) fn new(stream: Arc<Shared>, writer: usize) -> Place {
        Place { stream, writer }
    }

    /// Copies bytes and offers them to `output` until it is too busy to take more.
    fn poll_write(&self, output: &mut Output, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Without the stream's lock: a writer may take its time, and may call us back.
        scratch::with(|buffer| {
            let count = self.stream.copy(self.writer, buffer);
            let mut taken = 0;
            while taken < count {
                match Pin::new(&mut *output).poll_write(cx, &buffer[taken..count]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(more)) => taken = count.min(taken + more),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending if taken == 0 => return Poll::Pending,
                    // Progress is told; then the next try finds it busy again.
                    Poll::Pending => break,
                }
            }
            self.stream.advance(self.writer, taken);
            Poll::Ready(Ok(taken))
        })
    }

    /// Waits for `work` as long as more may come, and from then on for [`PATIENCE`]; `None`: it has
    /// not come to an end.
    async fn patiently<T>(&self, work: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
        let patience = async {
            poll_fn(|cx| self.stream.poll_complete(cx, self.writer)).await;
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            biased;
            done = poll_fn(work) => Some(done),
            () = patience => None,
        }
    }

    /// Delivers everything, and shuts the writer down: it was handed over, so nobody else can.
    /// `None`: the writer made no progress for too long.
    async fn deliver_all(&self, output: &mut Output) -> Option<io::Result<()>> {
        let mut since_pause = 0;
        while poll_fn(|cx| self.stream.poll_bytes(cx, self.writer)).await {
            loop {
                match self.patiently(|cx| self.poll_write(output, cx)).await? {
                    Ok(0) => break,
                    Ok(taken) => since_pause += taken,
                    Err(error) => return Some(Err(error)),
                }
                // A writer that is always ready must not keep the thread for itself.
                if since_pause >= CAPACITY {
                    since_pause = 0;
                    tokio::task::yield_now().await;
                }
            }
            // What was pending stays pending: nothing new is written before it is through.
            if let Err(error) = self.patiently(|cx| Pin::new(&mut *output).poll_flush(cx)).await? {
                return Some(Err(error));
            }
        }
        self.patiently(|cx| Pin::new(&mut *output).poll_shutdown(cx)).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stream.fail_panicked();
        }
        self.stream.leave(self.writer);
    }
}

/// Serves one writer until nothing more comes or it fails. It is dropped before its place is given
/// up: when the stream is drained, the writer is gone.
pub(super) async fn deliver(place: Place, mut output: Output) {
    let error = match place.deliver_all(&mut output).await {
        Some(Ok(())) => return,
        Some(Err(error)) => error,
        None => {
            let (name, left) = (place.stream.name, place.stream.left(place.writer));
            tracing::warn!("a writer of {name} stands still, {left} bytes are not delivered");
            io::ErrorKind::TimedOut.into()
        }
    };
    place.stream.fail(ErrorKind::Stream, "writing", error);
}
