//! A cell's standard input: the task that copies the embedder's reader to the cell's pipe.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::unix::pipe::Sender;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::failure::FirstFailure;
use crate::contract::{Error, ErrorKind, Input};
use crate::fault::{self, Point};

/// The most that is taken from the reader at a time. It stands on the stack, and not in the buffer
/// that streams share: a reader that says it wrote what it did not must not hand one cell's bytes
/// to another.
const BUFFER: usize = 8 << 10;

/// Carries the embedder's input to a cell. Dropping it closes the pipe.
pub(crate) struct Feed {
    task: AbortHandle,
    failure: Arc<FirstFailure>,
}

impl Feed {
    /// Starts copying `input` to our end of the pipe, which becomes non-blocking. The cell reads the
    /// end of file when the input ends or fails; a cell that closed its end ends the copying, which
    /// is no failure. The runtime that this is called in needs its I/O.
    ///
    /// # Errors
    /// Outside a runtime, and if it is no pipe's writing end.
    pub(crate) fn start(pipe: OwnedFd, input: Input) -> io::Result<Feed> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let pipe = fault::at(Point::StreamWatch, || Sender::from_owned_fd(pipe))?;
        let failure = Arc::<FirstFailure>::default();
        let task = runtime.spawn(feed(pipe, input, Failure(Arc::clone(&failure)))).abort_handle();
        Ok(Feed { task, failure })
    }

    /// The cell has ended: nothing more is read or written.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }

    /// The reader's failure, if it failed so far; a later one is logged.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.get()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a failure is kept; a panic of the reader too.
struct Failure(Arc<FirstFailure>);

impl Drop for Failure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let message = "the reader of standard input panicked";
            self.0.set(Error::new(ErrorKind::Stream, message));
        }
    }
}

/// Copies until either side ends. A failure is known before the cell can read the end of file.
async fn feed(mut pipe: Sender, mut input: Input, failure: Failure) {
    loop {
        let rest = match poll_fn(|cx| poll_copy(cx, &mut pipe, &mut input)).await {
            Ok(Copied::All) => continue,
            Ok(Copied::AllBut(rest)) => rest,
            Ok(Copied::End) => return,
            Err(error) => {
                let error = Error::caused(ErrorKind::Stream, "reading standard input", error);
                failure.0.set(error);
                return;
            }
        };
        // The only failure of a pipe is that the other end is closed, and that's the cell's business.
        if pipe.write_all(&rest).await.is_err() {
            return;
        }
    }
}

/// What became of what the reader gave.
enum Copied {
    /// The pipe took it.
    All,
    /// The pipe is full, or closed, and did not take this.
    AllBut(Vec<u8>),
    /// The reader has ended, or the cell does not read any more.
    End,
}

/// Reads from `input` once and writes what fits to the pipe: waiting for input takes no buffer.
fn poll_copy(
    cx: &mut Context<'_>,
    pipe: &mut Sender,
    input: &mut Input,
) -> Poll<io::Result<Copied>> {
    let mut room = [const { MaybeUninit::uninit() }; BUFFER];
    let mut buffer = ReadBuf::uninit(&mut room);
    ready!(Pin::new(input).poll_read(cx, &mut buffer))?;
    let mut bytes = buffer.filled();
    if bytes.is_empty() {
        return Poll::Ready(Ok(Copied::End));
    }
    while !bytes.is_empty() {
        match Pin::new(&mut *pipe).poll_write(cx, bytes) {
            Poll::Ready(Ok(count)) => bytes = &bytes[count..],
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(Copied::End)),
            Poll::Pending => return Poll::Ready(Ok(Copied::AllBut(bytes.to_vec()))),
        }
    }
    Poll::Ready(Ok(Copied::All))
}
