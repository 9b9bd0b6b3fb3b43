//! One writer's task: takes what the ring has for it, flushes whenever there is no more, and shuts
//! the writer down when there never will be.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::ring::CAPACITY;
use super::scratch;
use super::shared::Shared;
use crate::contract::{ErrorKind, Output};

/// How long a writer may be busy after nothing more came until the task's end waits for it no more.
/// It goes on after that.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// How long one write may make no progress when nothing more comes.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A writer's place in the ring, given up however the task ends.
pub(super) struct Place {
    stream: Arc<Shared>,
    writer: usize,
    /// How long the writer was busy since nothing more came, in microseconds.
    busy_micros: AtomicU64,
    slow: AtomicBool,
}

impl Place {
    pub(super) fn new(stream: Arc<Shared>, writer: usize) -> Place {
        Place { stream, writer, busy_micros: AtomicU64::new(0), slow: AtomicBool::new(false) }
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
    /// not come to an end. Only the writer's own time counts, not the time until this task has its
    /// turn: a writer that is ready is never slow.
    async fn patiently<T>(&self, work: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
        let mut busy_since = None;
        let patience = async {
            busy_since = Some(Instant::now());
            poll_fn(|cx| self.stream.poll_complete(cx, self.writer)).await;
            let busy = Duration::from_micros(self.busy_micros.load(Ordering::Relaxed));
            let grace = GRACE.saturating_sub(busy);
            tokio::time::sleep(grace).await;
            if !self.slow.swap(true, Ordering::Relaxed) {
                self.stream.is_slow();
            }
            tokio::time::sleep(PATIENCE - grace).await;
        };
        let done = tokio::select! {
            biased;
            done = poll_fn(work) => Some(done),
            () = patience => None,
        };
        if let (Some(since), Some(complete)) = (busy_since, self.stream.complete_at()) {
            let busy = since.max(complete).elapsed().as_micros();
            self.busy_micros
                .fetch_add(u64::try_from(busy).unwrap_or(u64::MAX / 2), Ordering::Relaxed);
        }
        done
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
        self.stream.leave(self.writer, self.slow.load(Ordering::Relaxed));
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
