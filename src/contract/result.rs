//! How a task ended, in fn's words, and where a container stands.

use std::fmt;
use std::time::SystemTime;

use super::Error;

/// How a task ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// It still runs. A result never says so; fn has the word, and so do its callers.
    Running,
    /// Exit code 0.
    Success,
    /// Another exit code, a signal, a failed stream, or a failure of the driver.
    Error,
    /// The context's deadline passed before the task ended.
    Timeout,
    /// SIGKILL, want of memory included.
    Killed,
    /// The context was cancelled before the task ended.
    Cancelled,
}

impl Status {
    /// fn's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Success => "success",
            Status::Error => "error",
            Status::Timeout => "timeout",
            Status::Killed => "killed",
            Status::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What came of a wait.
#[derive(Clone, Debug)]
pub struct RunResult {
    status: Status,
    error: Option<Error>,
}

impl RunResult {
    /// A success.
    #[must_use]
    pub fn success() -> RunResult {
        RunResult { status: Status::Success, error: None }
    }

    /// Anything but a success, and why.
    #[must_use]
    pub fn failure(status: Status, error: Error) -> RunResult {
        RunResult { status, error: Some(error) }
    }

    /// How the task ended.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Why it is not a success; `None` exactly if it is one.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}

/// The facts about a task's end, as the kernel told them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ExitInfo {
    /// The exit code; 128 and the signal's number if a signal ended it.
    pub code: u8,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Whether the kernel's out-of-memory killer did it.
    pub oom_killed: bool,
    /// When the task was executed.
    pub started_at: SystemTime,
    /// When its end was seen.
    pub finished_at: SystemTime,
}

impl ExitInfo {
    /// A task that ran from `started_at` to `finished_at` and exited with `code`.
    #[must_use]
    pub fn exited(code: u8, started_at: SystemTime, finished_at: SystemTime) -> ExitInfo {
        ExitInfo { code, signal: None, oom_killed: false, started_at, finished_at }
    }

    /// The same task, ended by `signal`.
    #[must_use]
    pub fn by_signal(mut self, signal: i32) -> ExitInfo {
        self.code = u8::try_from(128 + signal).unwrap_or(u8::MAX);
        self.signal = Some(signal);
        self
    }

    /// The same task, ended by the kernel's out-of-memory killer.
    #[must_use]
    pub fn by_oom(mut self) -> ExitInfo {
        self.oom_killed = true;
        self.by_signal(9)
    }
}

/// Where a cookie's container stands. It only moves down this list, but for freeze and unfreeze.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum State {
    /// The cookie exists; nothing of the container does.
    Configured,
    /// The image is there.
    ImageReady,
    /// The container exists; no process does.
    Created,
    /// The task runs.
    Running,
    /// The task has been stopped where it was.
    Frozen,
    /// The task has ended, or could not be started.
    Exited,
    /// Nothing is left of the container.
    Closed,
}

impl State {
    /// The word for it, lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Configured => "configured",
            State::ImageReady => "image ready",
            State::Created => "created",
            State::Running => "running",
            State::Frozen => "frozen",
            State::Exited => "exited",
            State::Closed => "closed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
