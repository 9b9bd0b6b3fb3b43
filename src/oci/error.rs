//! What a verb can answer but success, in the words that engines look for.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use super::status::Status;
use super::systemd;
use crate::{bundle, cgroup, launch};

/// A verb failed. Where engines act on the text, it is runc's.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Usage(String),
    #[error("{what} is not supported")]
    NotSupported { what: &'static str },
    #[error("invalid container ID format: {0:?}")]
    BadId(String),
    #[error("container does not exist")]
    Unknown,
    #[error("container with given ID already exists: {0}")]
    Exists(String),
    #[error("container not running")]
    NotRunning,
    #[error("container with id {0} is not running")]
    NoEvents(String),
    #[error("container not paused")]
    NotPaused,
    #[error("{0}")]
    State(&'static str),
    #[error("cannot delete container {id} that is not stopped: {status}")]
    NotStopped { id: String, status: Status },
    #[error("another command has held container {id} for {seconds} s")]
    Busy { id: String, seconds: u64 },
    #[error("{}: {why}", path.display())]
    Record { path: PathBuf, why: String },
    #[error("resources: {0}")]
    Resources(String),
    #[error("ps: {0}")]
    Ps(String),
    #[error("unknown signal {0:?}")]
    Signal(String),
    #[error("{op} {}", path.display())]
    Io {
        op: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("bundle")]
    Bundle(#[from] bundle::Error),
    #[error("cgroup")]
    Cgroup(#[from] cgroup::Error),
    #[error("systemd")]
    Systemd(#[from] systemd::Error),
    #[error("unable to start container process")]
    Launch(#[from] launch::Error),
}

impl Error {
    pub(super) fn io(
        op: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Error {
        Error::Io { op, path: path.into(), source: source.into() }
    }

    /// Whether a specification was refused before there was a process.
    pub(super) fn is_refusal(&self) -> bool {
        use launch::Error as Launch;
        match self {
            Error::Bundle(_) => true,
            Error::Launch(error) => matches!(
                error,
                Launch::Unsupported { .. }
                    | Launch::Invalid { .. }
                    | Launch::Capability { .. }
                    | Launch::Missing { .. }
                    | Launch::NotGiven { .. }
            ),
            _ => false,
        }
    }
}

/// An error and its causes as one line. The system's answers are spelled as Go programs spell
/// them: engines look for "permission denied" and "no such file or directory".
pub(super) fn line(error: &Error) -> String {
    let mut parts = Vec::new();
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = next {
        match cause.downcast_ref::<launch::Error>() {
            Some(launch::Error::Exec { command, source }) => {
                parts.push(not_executed(command, source));
                break;
            }
            _ => parts.push(match cause.downcast_ref::<io::Error>() {
                Some(answer) => in_go(answer),
                None => cause.to_string(),
            }),
        }
        next = cause.source();
    }
    parts.join(": ").replace('\n', " ")
}

/// Engines make their codes 126 and 127 of this.
fn not_executed(command: &str, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound if !command.contains('/') => {
            format!("exec: {command:?}: executable file not found in $PATH")
        }
        io::ErrorKind::NotFound => format!("exec: {command:?}: stat {command}: {}", in_go(source)),
        _ => format!("exec: {command:?}: {}", in_go(source)),
    }
}

/// "No such file or directory (os error 2)" without its number, and small.
fn in_go(answer: &io::Error) -> String {
    let text = answer.to_string();
    let Some(code) = answer.raw_os_error() else {
        return text;
    };
    let text = text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text);
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_answers_are_spelled_as_engines_look_for_them() {
        let missing = || io::Error::from_raw_os_error(2);
        let error = Error::io("read", "/a", missing());
        assert_eq!(line(&error), "read /a: no such file or directory");
        let exec = |command: &str, errno| {
            let source = io::Error::from_raw_os_error(errno);
            line(&launch::Error::Exec { command: command.to_owned(), source }.into())
        };
        let start = "unable to start container process: exec: ";
        assert_eq!(exec("x", 2), format!("{start}\"x\": executable file not found in $PATH"));
        let text = format!("{start}\"/x\": stat /x: no such file or directory");
        assert_eq!(exec("/x", 2), text);
        assert_eq!(exec("/x", 13), format!("{start}\"/x\": permission denied"));
    }
}
