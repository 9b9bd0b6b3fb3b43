//! What the init says over the control socket, and what its silence means.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::Error;
use crate::fault::{self, Point};
use crate::init::wire::{Kind, REPORT_SIZE, Report};

/// How long the init may take from its first instruction to the task's.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The next record; `None` at the end of the stream.
pub(super) fn next(control: &OwnedFd, deadline: Instant) -> Result<Option<Report>, Error> {
    let mut bytes = [0; REPORT_SIZE];
    let mut filled = 0;
    while filled < REPORT_SIZE {
        // Look first: mostly the record is there already, or this thread is about to sleep anyway.
        wait_readable(control, deadline)?;
        match fault::at(Point::ReportRead, || {
            recv(control, &mut bytes[filled..], RecvFlags::DONTWAIT)
        }) {
            Ok((0, _)) => return Ok(None),
            Ok((count, _)) => filled += count,
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The other end closed with data unread: it is gone.
            Err(Errno::CONNRESET) => return Ok(None),
            Err(errno) => return Err(Error::system("recv from the init", errno)),
        }
    }
    Ok(Report::decode(&bytes))
}

fn wait_readable(control: &OwnedFd, deadline: Instant) -> Result<(), Error> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut watched = [PollFd::new(control, PollFlags::IN)];
        match fault::at(Point::ReportWait, || poll(&mut watched, Some(&timespec(left)))) {
            Ok(0) => return Err(Error::TimedOut { after: PATIENCE }),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::system("poll", errno)),
        }
    }
}

/// A duration as the kernel takes it; one too long to say is as good as for ever.
pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// The wait status of the task, as the staying init recorded it.
pub(super) fn recorded_exit(control: &OwnedFd) -> Option<i32> {
    let now = Instant::now();
    while let Ok(Some(report)) = next(control, now) {
        if report.kind == Kind::Exited {
            return Some(report.value);
        }
    }
    None
}
