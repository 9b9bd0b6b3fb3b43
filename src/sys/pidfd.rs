//! How a process ended, asked of its pidfd: `waitid`, and what the kernel still knows when someone
//! else has taken the status away.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, waitid};

use super::raw::{self, nr};

/// `struct pidfd_info` up to `exit_code`, version of Linux 6.15.
#[repr(C)]
#[derive(Default, Debug)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// `_IOWR(0xff, 11, struct pidfd_info)` for the 64-byte structure.
const PIDFD_GET_INFO: usize = 0xc040_ff0b;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// A wait status: how a process ended, as `wait(2)` encodes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WaitStatus(pub(crate) i32);

/// What asking for a status can bring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waited {
    /// It ended this way.
    Ended(WaitStatus),
    /// It has not ended.
    Running,
    /// It has ended and someone else reaped it: the embedder ignores SIGCHLD or waits for any
    /// child.
    Lost,
}

/// Takes the status of a child that has ended, without waiting.
pub(crate) fn try_wait(pidfd: &OwnedFd) -> Result<Waited, Errno> {
    wait_with(pidfd, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

/// Looks at the status of a child that has ended, without waiting and without taking it.
pub(crate) fn peek(pidfd: &OwnedFd) -> Result<Waited, Errno> {
    wait_with(pidfd, WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT)
}

/// Waits for the end of a child.
pub(crate) fn wait(pidfd: &OwnedFd) -> Result<Waited, Errno> {
    wait_with(pidfd, WaitIdOptions::EXITED)
}

fn wait_with(pidfd: &OwnedFd, options: WaitIdOptions) -> Result<Waited, Errno> {
    loop {
        return match waitid(WaitId::PidFd(pidfd.as_fd()), options) {
            Ok(None) => Ok(Waited::Running),
            Ok(Some(status)) => Ok(Waited::Ended(encode(&status))),
            Err(Errno::INTR) => continue,
            Err(Errno::CHILD) => Ok(Waited::Lost),
            Err(errno) => Err(errno),
        };
    }
}

/// `waitid` speaks of code and signal; everything else speaks of the status word.
fn encode(status: &WaitIdStatus) -> WaitStatus {
    let code = status.exit_status().map(|code| (code & 0xff) << 8);
    let signal = status.terminating_signal();
    WaitStatus(code.or(signal).unwrap_or(0x7f))
}

/// The status the kernel keeps with the pidfd after the process has been reaped (since 6.15).
///
/// A process that nobody waits for is dead to `waitid` a moment before its status is put away; until
/// then the kernel answers, but without it. It looks for the status first and for the process then,
/// so one answer of "no such process" may just have missed it; the second is the truth.
pub(crate) fn exit_info(pidfd: &OwnedFd) -> Option<WaitStatus> {
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut missed = false;
    loop {
        let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
        let args = [pidfd.as_raw_fd() as usize, PIDFD_GET_INFO, &raw mut info as usize];
        // SAFETY: the request's number carries the size of the structure, which the kernel writes
        // at most.
        match unsafe { raw::syscall(nr::ioctl, args) } {
            Ok(_) if info.mask & PIDFD_INFO_EXIT != 0 => return Some(WaitStatus(info.exit_code)),
            Ok(_) if Instant::now() > deadline => return None,
            Ok(_) => std::thread::yield_now(),
            Err(raw::Errno::ESRCH) if !missed => missed = true,
            Err(_) => return None,
        }
    }
}

/// The signal of this number, the real-time ones included; `None` if there is none or it is one
/// that the C library keeps for itself.
pub(crate) fn signal(number: i32) -> Option<Signal> {
    match number {
        // SAFETY: on every Linux these are real-time signals, and the C library's own, 32 and 33,
        // are not among them.
        34..=64 => Some(unsafe { Signal::from_raw_unchecked(number) }),
        _ => Signal::from_named_raw(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_has_the_size_that_the_request_names() {
        assert_eq!(size_of::<PidfdInfo>(), PIDFD_GET_INFO >> 16 & 0x3fff);
    }
}
