//! What the init says over the control socket, and what its silence means.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};

use super::Error;
use crate::fault::{self, Point};
use crate::init::wire::{Kind, REPORT_SIZE, Report};

/// How long the init may take from its first instruction to the task's.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long one who is killed, or about to end by itself, may take.
pub(super) const A_MOMENT: Duration = Duration::from_secs(1);

/// The most that is read of what comes behind a record.
const LONGEST_REST: usize = 64 << 10;

/// The next record; `None` at the end of the stream.
pub(super) fn next(control: &OwnedFd, deadline: Instant) -> Result<Option<Report>, Error> {
    read(control, deadline, |bytes| {
        recv(control, bytes, RecvFlags::DONTWAIT).map(|(count, _)| count)
    })
}

/// The same, with the first descriptor that comes along.
pub(super) fn next_with(
    control: &OwnedFd,
    deadline: Instant,
    came: &mut Option<OwnedFd>,
) -> Result<Option<Report>, Error> {
    read(control, deadline, |bytes| {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut along = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(control, &mut [IoSliceMut::new(bytes)], &mut along, flags)?;
        for message in along.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                // One is expected; any other is closed here.
                fds.for_each(|fd| *came = came.take().or(Some(fd)));
            }
        }
        Ok(received.bytes)
    })
}

fn read(
    control: &OwnedFd,
    deadline: Instant,
    mut receive: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
) -> Result<Option<Report>, Error> {
    let mut bytes = [0; REPORT_SIZE];
    let mut filled = 0;
    while filled < REPORT_SIZE {
        // Look first: mostly the record is there already, or this thread is about to sleep anyway.
        wait_readable(control, deadline)?;
        match fault::at(Point::ReportRead, || receive(&mut bytes[filled..])) {
            Ok(0) => return Ok(None),
            Ok(count) => filled += count,
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The other end closed with data unread: it is gone.
            Err(Errno::CONNRESET) => return Ok(None),
            Err(errno) => return Err(Error::system("recv from the init", errno)),
        }
    }
    Ok(Report::decode(&bytes))
}

/// Waits until the other end has been closed; what it said before lies there to be read. A record
/// that nobody waits for wakes nobody, and its sender goes on at once.
pub(super) fn wait_for_end(control: &OwnedFd, deadline: Instant) -> Result<(), Error> {
    wait(control, PollFlags::empty(), deadline)
}

fn wait_readable(control: &OwnedFd, deadline: Instant) -> Result<(), Error> {
    wait(control, PollFlags::IN, deadline)
}

fn wait(control: &OwnedFd, events: PollFlags, deadline: Instant) -> Result<(), Error> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut watched = [PollFd::new(control, events)];
        match fault::at(Point::ReportWait, || poll(&mut watched, Some(&timespec(left)))) {
            Ok(0) => return Err(Error::TimedOut { after: PATIENCE }),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::system("poll", errno)),
        }
    }
}

/// What comes until the end of the stream, as far as it comes at once.
pub(super) fn rest(control: &OwnedFd) -> Vec<u8> {
    let deadline = Instant::now() + A_MOMENT;
    let (mut all, mut bytes) = (Vec::new(), [0; 4096]);
    while all.len() < LONGEST_REST && wait_readable(control, deadline).is_ok() {
        match recv(control, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((count @ 1.., _)) => all.extend_from_slice(&bytes[..count]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(_) | Err(_) => break,
        }
    }
    all
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
