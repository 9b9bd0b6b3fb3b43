//! One output stream: the task that reads the cell's pipe, and the handle on it.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Handle;

use super::deliver::{Place, deliver};
use super::ring::CAPACITY;
use super::scratch;
use super::shared::{Order, Shared};
use crate::contract::{Error, ErrorKind, Output};
use crate::fault::{self, Point};

/// The most that is read after [`Pump::finish`]: what the largest pipe holds that an unprivileged
/// cell can make, and some more. Whoever outlived the cell could go on writing for ever.
pub(super) const LAST: usize = (1 << 20) + (64 << 10);

/// Carries what a cell writes to the writers. Dropping it closes the pipe, unless it has been told
/// to finish; the writers are still given what was read.
pub(crate) struct Pump {
    pub(super) stream: Arc<Shared>,
}

impl Pump {
    /// Starts reading our end of the pipe, which becomes non-blocking. Every writer gets everything;
    /// without writers it is discarded. `name` says in errors which stream it is. The runtime that
    /// this is called in needs its I/O and its time.
    ///
    /// # Errors
    /// Outside a runtime, and if it is no pipe's reading end.
    pub(crate) fn start(
        pipe: OwnedFd,
        name: &'static str,
        writers: Vec<Output>,
    ) -> io::Result<Pump> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let pipe = fault::at(Point::StreamWatch, || Receiver::from_owned_fd(pipe))?;
        let stream = Arc::new(Shared::new(name, writers.len()));
        for (at, writer) in writers.into_iter().enumerate() {
            runtime.spawn(deliver(Place::new(Arc::clone(&stream), at), writer));
        }
        runtime.spawn(read_all(Complete(Arc::clone(&stream)), pipe));
        Ok(Pump { stream })
    }

    /// The cell has ended: reads what is in the pipe, whether there is room for it or not, and
    /// closes it without waiting for others that may hold its other end.
    pub(crate) fn finish(&self) {
        self.stream.order(Order::Finish);
    }

    /// Waits until no more will be read and every writer has been given everything, has failed, or
    /// has been busy for [`GRACE`](super::GRACE) since.
    pub(crate) async fn offered(&self) {
        self.stream.offered().await;
    }

    /// The same without the last: a writer that makes no progress for ten seconds has failed.
    #[cfg(test)]
    pub(crate) async fn drained(&self) {
        self.stream.drained().await;
    }

    /// The first failure of a writer so far. Those that come later are logged, for nobody asks again.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.stream.failure.get()
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stream.order(Order::Abandon);
    }
}

/// Says that nothing more comes, however the reading task ends.
struct Complete(Arc<Shared>);

impl Drop for Complete {
    fn drop(&mut self) {
        self.0.complete();
    }
}

/// Reads until there is no more, or it is told to end. The pipe is closed before that is said.
async fn read_all(complete: Complete, pipe: Receiver) {
    let stream = &complete.0;
    let mut since_pause = 0;
    loop {
        let read = match poll_fn(|cx| stream.poll_turn(cx, &pipe)).await {
            Ok((Order::Read, room)) => read(stream, &pipe, room),
            Ok((Order::Finish, _)) => return read_last(stream, &pipe),
            Ok((Order::Abandon, _)) => return,
            Err(error) => Err(error),
        };
        match read {
            Ok(0) => return,
            Ok(count) => since_pause += count,
            Err(error) if again(&error) => {}
            Err(error) => return stream.fail(ErrorKind::Host, "reading", error),
        }
        // A cell that writes all the time must not keep the thread for itself.
        if since_pause >= CAPACITY {
            since_pause = 0;
            tokio::task::yield_now().await;
        }
    }
}

fn read(stream: &Shared, pipe: &Receiver, room: usize) -> io::Result<usize> {
    scratch::with(|buffer| {
        let most = room.min(buffer.len());
        let count = pipe.try_read(&mut buffer[..most])?;
        stream.push(&buffer[..count]);
        Ok(count)
    })
}

/// Reads what is there now. Asks the kernel, for tokio may not have heard of it yet.
fn read_last(stream: &Shared, pipe: &Receiver) {
    let mut left = LAST;
    scratch::with(|buffer| {
        while left > 0 {
            let most = left.min(buffer.len());
            match rustix::io::read(pipe, &mut buffer[..most]) {
                Ok(0) | Err(Errno::AGAIN) => return,
                Ok(count) => {
                    stream.push(&buffer[..count]);
                    left -= count;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return stream.fail(ErrorKind::Host, "reading", errno.into()),
            }
        }
        tracing::warn!("{} is written to after the end of the cell; closed", stream.name);
    });
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
