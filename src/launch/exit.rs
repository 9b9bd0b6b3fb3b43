//! How a task ended, and the rule for when nobody kept its status.

use std::os::fd::OwnedFd;

use super::{Error, report};
use crate::fault::{self, Point};
use crate::sys::pidfd::{self, WaitStatus, Waited};

/// How a task ended: with a code, or by a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// It exited with this code, 0 to 255.
    Code(u8),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// The code a shell would show: 128 and the signal's number for a signal.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    /// Whether SIGKILL ended it, or a process it waited for and took the code from.
    #[must_use]
    pub fn is_kill(self) -> bool {
        self.shell_code() == 128 + 9
    }

    /// From the status word of `wait(2)`.
    pub(super) fn from_status(status: i32) -> Exit {
        match status & 0x7f {
            0 => Exit::Code((status >> 8) as u8),
            signal => Exit::Signal(signal),
        }
    }
}

/// The status word in words.
pub(super) fn describe(status: i32) -> String {
    match Exit::from_status(status) {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    }
}

/// How the task of an ended process ended; `None` while it runs.
///
/// The kernel's status comes first. Where the embedder ignores SIGCHLD or another of its threads
/// waits for any child, that is gone; then the pidfd still knows on a new kernel, and the staying
/// init's own record on any. Without either the answer is an error, never a success.
pub(super) fn of(pidfd: &OwnedFd, control: &OwnedFd, stay: bool) -> Result<Option<Exit>, Error> {
    let waited = fault::at(Point::ExitStatus, || pidfd::try_wait(pidfd))
        .map_err(|errno| Error::system("waitid", errno))?;
    let status = match waited {
        Waited::Running => return Ok(None),
        Waited::Ended(status) => Some(status),
        Waited::Lost => pidfd::exit_info(pidfd),
    };
    // The init's own code can't tell a signal from a code above 128; its record can.
    let recorded = if stay { report::recorded_exit(control) } else { None };
    match (recorded, status) {
        (Some(record), Some(WaitStatus(status))) if agrees(record, status) => {
            Ok(Some(Exit::from_status(record)))
        }
        (_, Some(WaitStatus(status))) => Ok(Some(Exit::from_status(status))),
        (Some(record), None) => Ok(Some(Exit::from_status(record))),
        (None, None) => Err(Error::ExitLost),
    }
}

/// Whether the init ended the way its record says: it could have been killed after writing it.
fn agrees(record: i32, status: i32) -> bool {
    Exit::from_status(status) == Exit::Code(Exit::from_status(record).shell_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_show_signals_above_128() {
        assert_eq!(Exit::from_status(7 << 8), Exit::Code(7));
        assert_eq!(Exit::from_status(9).shell_code(), 137);
        assert_eq!(Exit::from_status(11 | 0x80), Exit::Signal(11), "with a core dump");
        assert!(Exit::Code(137).is_kill() && !Exit::Code(0).is_kill());
    }

    #[test]
    fn a_record_counts_only_if_the_init_ended_that_way() {
        assert!(agrees(15, 143 << 8));
        assert!(!agrees(0, 9), "written, then killed before it could exit");
    }
}
