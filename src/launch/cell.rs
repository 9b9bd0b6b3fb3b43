//! A running cell: its first process, by descriptor, never by number.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

use super::report::{A_MOMENT, timespec};
use super::{Error, Exit, exit, target};
use crate::fault::{self, Point};
use crate::sys::pidfd::{self, WaitStatus, Waited};

/// The first process of a cell. When it ends, the kernel ends everything else in the cell.
///
/// Dropping this kills a cell with an init (its control socket closes) and lets one without go on.
#[derive(Debug)]
pub struct Cell {
    pidfd: OwnedFd,
    pid: i32,
    control: OwnedFd,
    stay: bool,
}

impl Cell {
    pub(super) fn new(pidfd: OwnedFd, pid: i32, control: OwnedFd, stay: bool) -> Cell {
        Cell { pidfd, pid, control, stay }
    }

    /// The number of the first process on the host, for people to look at. Act through the cell.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Readable when the cell has ended: for an embedder's own poll loop.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(super) fn control(&self) -> &OwnedFd {
        &self.control
    }

    /// Sends a signal: to the task through the init, or to the task itself when it is PID 1, where
    /// one that it doesn't handle does nothing. A cell that has ended takes any signal.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        match fault::at(Point::Signal, || pidfd_send_signal(&self.pidfd, signal)) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(Error::system("pidfd_send_signal", errno)),
        }
    }

    /// Kills the first process and with it the cell. Does not wait.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self) -> Result<(), Error> {
        self.signal(Signal::KILL)
    }

    /// Whether the cell has ended. Asking takes nothing away from [`wait`](Cell::wait).
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let mut watched = [PollFd::new(&self.pidfd, PollFlags::IN)];
        matches!(poll(&mut watched, Some(&timespec(Duration::ZERO))), Ok(1))
    }

    /// Waits for the end of the cell, until `deadline` if there is one; `None` when that comes
    /// first. Once it has answered, the answer is the caller's to keep.
    ///
    /// # Errors
    /// [`Error::ExitLost`] when someone else took the exit status and nobody kept a copy.
    pub fn wait(&self, deadline: Option<Instant>) -> Result<Option<Exit>, Error> {
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let mut watched = [PollFd::new(&self.pidfd, PollFlags::IN)];
            match fault::at(Point::EndWait, || poll(&mut watched, left.map(timespec).as_ref())) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    if let Some(exit) = exit::of(&self.pidfd, &self.control, self.stay)? {
                        return Ok(Some(exit));
                    }
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::system("poll", errno)),
            }
        }
    }

    /// The cell whose init has nothing left to do but to end, for another process goes on as it.
    pub(super) fn gone_over_to(self, born: Option<OwnedFd>) -> Cell {
        let Some(born) = born else {
            return self;
        };
        let _ = self.wait_briefly();
        let pid = target::number(born.as_fd()).unwrap_or(0);
        self.succeeded_by(born, pid)
    }

    /// What goes on as this cell: another process, which talks over the same socket.
    pub(super) fn succeeded_by(self, pidfd: OwnedFd, pid: i32) -> Cell {
        Cell { pidfd, pid, ..self }
    }

    /// The status word of a child that is about to end by itself.
    pub(super) fn wait_briefly(&self) -> Option<i32> {
        status_of(&self.pidfd, pidfd::try_wait)
    }

    /// The same, and it stays to be taken.
    pub(super) fn peek_briefly(&self) -> Option<i32> {
        status_soon(&self.pidfd)
    }

    /// Kills and reaps a child whose launch has failed.
    pub(super) fn put_down(&self) {
        // It may have ended by itself, and may have been reaped: both are what is wanted.
        let _ = self.kill();
        // Not for ever: a child stuck in the kernel dies when that lets go of it.
        let _ = self.wait_briefly();
    }
}

/// The status word of a child that is about to end by itself, which stays to be taken.
pub(super) fn status_soon(pidfd: &OwnedFd) -> Option<i32> {
    status_of(pidfd, pidfd::peek)
}

fn status_of(pidfd: &OwnedFd, ask: fn(&OwnedFd) -> Result<Waited, Errno>) -> Option<i32> {
    let mut watched = [PollFd::new(pidfd, PollFlags::IN)];
    match poll(&mut watched, Some(&timespec(A_MOMENT))) {
        Ok(1) => match ask(pidfd) {
            Ok(Waited::Ended(WaitStatus(status))) => Some(status),
            Ok(Waited::Lost) => pidfd::exit_info(pidfd).map(|status| status.0),
            _ => None,
        },
        _ => None,
    }
}
