//! What the kernel does when a filter has looked at a system call.

use std::fmt;

use oci_spec::runtime::LinuxSeccompAction as Action;

use super::Error;

/// The largest errno a filter can give.
const MAX_ERRNO: u32 = 4095;

/// A filter's answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// The call is made.
    Allow,
    /// The call is made, and written to the kernel's log.
    Log,
    /// A tracer decides; without one the call fails with `ENOSYS`.
    Trace(u16),
    /// Whoever holds the filter's listener decides; when nobody does, the call fails with `ENOSYS`.
    Notify,
    /// The call fails with this errno.
    Errno(u16),
    /// The process gets `SIGSYS`.
    Trap,
    /// The thread is killed.
    KillThread,
    /// The process is killed.
    KillProcess,
}

impl Answer {
    /// What calls get that a kernel does not have.
    pub const ENOSYS: Answer = Answer::Errno(38);

    /// The word that a filter returns.
    #[must_use]
    pub fn to_word(self) -> u32 {
        match self {
            Answer::Allow => 0x7fff_0000,
            Answer::Log => 0x7ffc_0000,
            Answer::Trace(message) => 0x7ff0_0000 | u32::from(message),
            Answer::Notify => 0x7fc0_0000,
            Answer::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Answer::Trap => 0x0003_0000,
            Answer::KillThread => 0,
            Answer::KillProcess => 0x8000_0000,
        }
    }

    /// What the kernel makes of a word: one that it does not know kills.
    #[must_use]
    pub fn from_word(word: u32) -> Answer {
        let data = word as u16;
        match word & 0xffff_0000 {
            0x7fff_0000 => Answer::Allow,
            0x7ffc_0000 => Answer::Log,
            0x7ff0_0000 => Answer::Trace(data),
            0x7fc0_0000 => Answer::Notify,
            0x0005_0000 => Answer::Errno(data),
            0x0003_0000 => Answer::Trap,
            0 => Answer::KillThread,
            _ => Answer::KillProcess,
        }
    }

    /// The answer that an action of a specification stands for; `place` is where it stands.
    pub(super) fn of(place: &str, action: Action, ret: Option<u32>) -> Result<Answer, Error> {
        let most = match action {
            Action::ScmpActErrno => MAX_ERRNO,
            Action::ScmpActTrace => u32::from(u16::MAX),
            _ => 0,
        };
        match ret {
            Some(ret) if most == 0 => {
                return Err(Error::invalid(place, format!("{action} takes no errno ({ret})")));
            }
            Some(ret) if ret > most => {
                let why = format!("{ret} is too large for {action}, which takes at most {most}");
                return Err(Error::invalid(place, why));
            }
            _ => {}
        }
        // EPERM is what every runtime takes when nothing is said.
        let data = ret.unwrap_or(1) as u16;
        Ok(match action {
            Action::ScmpActAllow => Answer::Allow,
            Action::ScmpActLog => Answer::Log,
            Action::ScmpActTrace => Answer::Trace(data),
            Action::ScmpActErrno => Answer::Errno(data),
            Action::ScmpActTrap => Answer::Trap,
            Action::ScmpActKill | Action::ScmpActKillThread => Answer::KillThread,
            Action::ScmpActKillProcess => Answer::KillProcess,
            Action::ScmpActNotify => Answer::Notify,
        })
    }

    /// Whether the call is made, or may be.
    #[must_use]
    pub fn lets_pass(self) -> bool {
        matches!(self, Answer::Allow | Answer::Log | Answer::Trace(_))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Allow => f.write_str("allowed"),
            Answer::Log => f.write_str("allowed and logged"),
            Answer::Trace(_) => f.write_str("left to a tracer"),
            Answer::Notify => f.write_str("left to the agent at listenerPath"),
            Answer::Errno(errno) => write!(f, "refused with errno {errno}"),
            Answer::Trap => f.write_str("answered with SIGSYS"),
            Answer::KillThread => f.write_str("answered by killing the thread"),
            Answer::KillProcess => f.write_str("answered by killing the process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_was_written() {
        let all = [Answer::Allow, Answer::Log, Answer::Trace(7), Answer::Errno(4095), Answer::Trap];
        let more = [Answer::Notify, Answer::KillThread, Answer::KillProcess];
        for answer in all.into_iter().chain(more) {
            assert_eq!(Answer::from_word(answer.to_word()), answer);
        }
        assert_eq!(Answer::from_word(0x1234_0000), Answer::KillProcess);
    }

    #[test]
    fn an_errno_is_checked_and_has_a_default() {
        let of = |action, ret| Answer::of("here", action, ret);
        assert_eq!(of(Action::ScmpActErrno, None).unwrap(), Answer::Errno(1));
        assert_eq!(of(Action::ScmpActErrno, Some(4095)).unwrap(), Answer::Errno(4095));
        assert!(of(Action::ScmpActErrno, Some(4096)).unwrap_err().to_string().contains("4096"));
        assert!(of(Action::ScmpActAllow, Some(1)).unwrap_err().to_string().contains("here"));
        assert_eq!(of(Action::ScmpActNotify, None).unwrap(), Answer::Notify);
    }
}
