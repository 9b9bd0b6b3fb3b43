//! Why a launch failed, each failure with the step, the call and their arguments.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;

use crate::cgroup;

/// A cell did not start, or how it ended can't be known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The specification asks for something hotcell doesn't do. It is never silently left out.
    #[error("config.json: {field} is not supported{detail}")]
    Unsupported {
        /// The field of the OCI specification.
        field: String,
        /// The value or the reason, if it helps.
        detail: String,
    },
    /// The specification contradicts itself or lacks something.
    #[error("config.json: {}: {}", in_one_line(field), in_one_line(why))]
    Invalid {
        /// The field of the OCI specification.
        field: String,
        /// What is wrong.
        why: String,
    },
    /// A capability that this cell can't have here.
    #[error("capability {capability} {why}")]
    Capability {
        /// Its name, with `CAP_`.
        capability: String,
        /// What keeps it from the cell.
        why: &'static str,
    },
    /// Something the specification names is not there.
    #[error("{what} {path:?}")]
    Missing {
        /// What it is.
        what: &'static str,
        /// Its path.
        path: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A control group operation failed.
    #[error("cgroup")]
    Cgroup(#[from] cgroup::Error),
    /// A system call of the parent's failed.
    #[error("{call}{hint}")]
    System {
        /// The call.
        call: &'static str,
        /// What it often means here.
        hint: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The ids of the cell's user namespace can't be mapped.
    #[error("mapping the ids {map:?} of the user namespace")]
    Maps {
        /// Lines of "first inside, first outside, count".
        map: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A part of the host's tree can't be handed to the cell.
    #[error("mount {path:?}: {call}{hint}")]
    Mount {
        /// Its path on the host.
        path: String,
        /// The call.
        call: &'static str,
        /// What it often means here.
        hint: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A step of the cell's set-up failed.
    #[error("set-up step {index} of {count}, {step}: {call}")]
    Step {
        /// The step's number, from 1; 0 for what comes before the first.
        index: usize,
        /// How many there are.
        count: usize,
        /// The step with its arguments.
        step: String,
        /// The system call that failed.
        call: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Everything was ready, but the command can't be executed.
    #[error("cannot execute {command:?}")]
    Exec {
        /// The command as given.
        command: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The command is not there, or is nothing that can be executed.
    #[error("exec: {command:?}: {why}")]
    NoProgram {
        /// The command as given.
        command: String,
        /// What is wrong, in the words that callers of other runtimes know.
        why: String,
        /// The kernel's answer.
        errno: i32,
    },
    /// A hook failed.
    #[error("error running {hook}: {why}, stderr: {output}")]
    Hook {
        /// Which one: its point and its number there, from 0.
        hook: String,
        /// How it ended.
        why: String,
        /// The beginning of what it wrote.
        output: String,
    },
    /// The listener of a filter did not get to the agent.
    #[error("seccomp agent at {path:?}: {what}")]
    Agent {
        /// Its socket.
        path: PathBuf,
        /// What can't be done.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Nobody waits to be started there.
    #[error("no cell waits for its start in {dir:?}")]
    NotWaiting {
        /// The directory.
        dir: PathBuf,
    },
    /// A descriptor that the task was to get is not there.
    #[error("descriptor {number} was to be handed on, and this program was not started with it")]
    NotGiven {
        /// Its number.
        number: u32,
    },
    /// The files of a latch can't be used.
    #[error("{what} {path:?}")]
    Latch {
        /// What can't be done.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The child ended during its set-up without saying why.
    #[error("the cell died during set-up: {how}")]
    Died {
        /// How: its status, and whether the memory limit did it.
        how: String,
    },
    /// The child did not finish its set-up in time; it has been killed.
    #[error("the cell's set-up did not finish within {after:?}")]
    TimedOut {
        /// The time it had.
        after: Duration,
    },
    /// The cell that a process was to be started in has ended.
    #[error("the cell has ended")]
    Ended,
    /// The cell that a process was to be started in is frozen.
    #[error("the cell is frozen")]
    Frozen,
    /// The cell has ended, and nobody can say how.
    #[error(
        "the exit status is lost: this process ignores SIGCHLD or another thread waits for any \
         child, and this kernel (before 6.15) keeps no copy"
    )]
    ExitLost,
}

/// A text that may repeat what a specification holds.
fn in_one_line(text: &str) -> String {
    text.replace('\n', "\\n")
}

/// What a call that the kernel doesn't know mostly means; nothing for other failures.
pub(super) fn missing_call(source: &io::Error) -> &'static str {
    match Errno::from_io_error(source) {
        Some(Errno::NOSYS) => {
            " (hotcell needs Linux 5.14; on a newer one a system call filter around this process \
             refuses the call)"
        }
        _ => "",
    }
}

impl Error {
    pub(crate) fn system(call: &'static str, source: impl Into<io::Error>) -> Error {
        let source = source.into();
        Error::System { call, hint: missing_call(&source), source }
    }

    /// The errno of a command that can't be executed, `None` for every other failure.
    #[must_use]
    pub fn exec_errno(&self) -> Option<i32> {
        match self {
            Error::Exec { source, .. } => source.raw_os_error(),
            Error::NoProgram { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}
