//! A process that runs, in /proc: where it is, and which namespaces it has that we have not.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, Stat, open, stat, statat};
use rustix::io::Errno;

use super::Error;
use super::report::timespec;
use crate::fault::{self, Point};
use crate::sys::abi::*;

/// The kinds of namespaces: as a process has them, as this thread's children get them, and the flag.
const KINDS: [(&str, &str, u64); 8] = [
    ("user", "user", CLONE_NEWUSER),
    ("mnt", "mnt", CLONE_NEWNS),
    ("pid", "pid_for_children", CLONE_NEWPID),
    ("net", "net", CLONE_NEWNET),
    ("ipc", "ipc", CLONE_NEWIPC),
    ("uts", "uts", CLONE_NEWUTS),
    ("cgroup", "cgroup", CLONE_NEWCGROUP),
    ("time", "time_for_children", CLONE_NEWTIME),
];

/// Whether the process behind the pidfd has ended.
pub(super) fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut watched = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    matches!(poll(&mut watched, Some(&timespec(Duration::ZERO))), Ok(1))
}

/// The number of the process in the /proc that is mounted here, which may be that of a PID namespace
/// further up.
pub(super) fn number(pidfd: BorrowedFd<'_>) -> io::Result<i32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("Pid:")).map(str::trim);
    // -1 is one who has gone, 0 one whom that /proc doesn't show.
    let number = number.and_then(|number| number.parse().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The directory of the process in /proc. What was opened while the process lived stays its own; its
/// number doesn't.
pub(super) fn in_proc(pidfd: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let failed = |error: io::Error| Error::system("find the cell's init in /proc", error);
    let path = format!("/proc/{}", number(pidfd).map_err(failed)?);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = fault::at(Point::InitProc, || open(path, flags, Mode::empty()));
    let proc = proc.map_err(|errno| failed(errno.into()))?;
    match has_ended(pidfd) {
        true => Err(failed(Errno::SRCH.into())),
        false => Ok(proc),
    }
}

/// The namespaces (`CLONE_NEW*`) that the process has and a child of this thread's would not have.
pub(super) fn namespaces(pidfd: BorrowedFd<'_>) -> Result<u64, Error> {
    let ended = |error| if has_ended(pidfd) { Error::Ended } else { error };
    let proc = in_proc(pidfd).map_err(ended)?;
    let mut other = 0;
    for (theirs, ours, flag) in KINDS {
        let theirs = seen(statat(&proc, format!("ns/{theirs}"), rustix::fs::AtFlags::empty()))
            .map_err(ended)?;
        let ours = seen(stat(format!("/proc/thread-self/ns/{ours}")))?;
        if theirs != ours {
            other |= flag;
        }
    }
    match has_ended(pidfd) {
        true => Err(Error::Ended),
        false => Ok(other),
    }
}

/// What tells a namespace from others; `None` where the kernel has none of the kind.
fn seen(stat: rustix::io::Result<Stat>) -> Result<Option<(u64, u64)>, Error> {
    match stat {
        Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::system("look at a namespace in /proc", errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{PidfdFlags, getpid, pidfd_open};
    use std::os::fd::AsFd;

    #[test]
    fn our_own_namespaces_are_nobody_elses() {
        let me = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        assert_eq!(number(me.as_fd()).unwrap(), getpid().as_raw_nonzero().get());
        assert_eq!(namespaces(me.as_fd()).unwrap(), 0);
        assert!(!has_ended(me.as_fd()));
    }
}
