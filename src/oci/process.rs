//! A process that another command started: its number and when it started, so that a number used
//! again is never taken for it.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::Error;

/// What tells a process from every other since the machine started.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Process {
    /// Its number on the host.
    pub(super) pid: i32,
    /// When it started, in clock ticks since the machine did.
    start: u64,
}

impl Process {
    /// The process that has this number now.
    pub(super) fn of(pid: i32) -> Result<Process, Error> {
        match Stat::read(pid)? {
            Some(stat) => Ok(Process { pid, start: stat.start }),
            None => Err(Error::io("read", path(pid), Errno::SRCH)),
        }
    }

    /// Holds on to the process; `None` once it has ended. What is done through the descriptor can't
    /// reach another.
    pub(super) fn open(self) -> Result<Option<OwnedFd>, Error> {
        let Some(pid) = Pid::from_raw(self.pid.max(0)) else {
            return Ok(None);
        };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // EINVAL: a thread has the number now.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(Error::io("open", path(self.pid), errno)),
        };
        // In this order: if it is the right one now, it was so when it was opened.
        Ok(self.is_alive()?.then_some(pidfd))
    }

    /// Whether it still runs. One that only waits for its parent to hear of its end does not.
    pub(super) fn is_alive(self) -> Result<bool, Error> {
        let stat = Stat::read(self.pid)?;
        Ok(stat.is_some_and(|stat| stat.start == self.start && !stat.ended))
    }
}

fn path(pid: i32) -> String {
    format!("/proc/{pid}/stat")
}

/// What `/proc/PID/stat` says.
#[derive(PartialEq, Eq, Debug)]
struct Stat {
    ended: bool,
    start: u64,
}

impl Stat {
    fn read(pid: i32) -> Result<Option<Stat>, Error> {
        let path = path(pid);
        match std::fs::read(&path) {
            Ok(text) => match Stat::parse(&text) {
                Some(stat) => Ok(Some(stat)),
                None => Err(Error::Record { path: path.into(), why: "makes no sense".to_owned() }),
            },
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::SRCH) => Ok(None),
                _ => Err(Error::io("read", path, error)),
            },
        }
    }

    /// `PID (NAME) STATE …`, where the name is the process's own choice.
    fn parse(text: &[u8]) -> Option<Stat> {
        let after = text.iter().rposition(|byte| *byte == b')')?;
        let rest = str::from_utf8(text.get(after + 1..)?).ok()?;
        let mut words = rest.split_whitespace();
        // State is the third field, the threads are the 20th, the start is the 22nd.
        let state = words.next()?;
        let threads: u32 = words.nth(16)?.parse().ok()?;
        let start = words.nth(1)?.parse().ok()?;
        // A process lives on without its first thread, which then waits as a zombie for the others.
        let ended = matches!(state, "X" | "x") || state == "Z" && threads <= 1;
        Some(Stat { ended, start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        let me = Process::of(std::process::id() as i32).unwrap();
        assert!(me.open().unwrap().is_some());
        let other = Process { start: me.start + 1, ..me };
        assert!(other.open().unwrap().is_none() && !other.is_alive().unwrap());
        for pid in [-1, 0, i32::MAX] {
            assert!(Process { pid, ..me }.open().unwrap().is_none(), "{pid}");
        }
    }

    #[test]
    fn a_process_may_call_itself_anything() {
        let line = |name: &str, state: &str| {
            format!("7 ({name}) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 18 4711 20 21\n")
        };
        for name in ["a", "a) R 1", ") (", "", "\u{fc}"] {
            let text = line(name, "S");
            let want = Some(Stat { ended: false, start: 4711 });
            assert_eq!(Stat::parse(text.as_bytes()), want, "{text}");
        }
        assert!(Stat::parse(line("a", "Z").as_bytes()).unwrap().ended);
        let others_live = line("a", "Z").replace(" 16 1 18", " 16 2 18");
        assert!(!Stat::parse(others_live.as_bytes()).unwrap().ended);
        assert_eq!(Stat::parse(b"7 (a) S 1"), None);
    }
}
