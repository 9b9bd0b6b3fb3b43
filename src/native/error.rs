//! Failures of the driver itself, as opposed to those of a task.

use std::io;
use std::path::PathBuf;

use super::undo::Leftovers;
use crate::contract::{self, ErrorKind};
use crate::{bundle, cgroup, launch};

/// The driver could not do what it was asked. `Display` tells this level; the source, why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Every range of ids is some cell's.
    #[error("no ids are free: {most} cells have ids of their own")]
    NoIds {
        /// How many cells can have some at once.
        most: u32,
    },
    /// The wish makes no sense.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// A limit or the host's control groups.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    /// The cell did not start, or its end is unknown.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// Starting cells needs privilege this process doesn't have.
    #[error("starting cells needs {what}")]
    Denied {
        /// What is missing.
        what: &'static str,
    },
    /// This process is a copy that another one forked: the driver and its cells are that one's.
    #[error(
        "the driver belongs to process {owner}, of which this one is a fork: open another here"
    )]
    Forked {
        /// The process that opened the driver.
        owner: u32,
    },
    /// Another cell has this name.
    #[error("the name {name:?} is in use by another cell")]
    NameInUse {
        /// The name.
        name: String,
    },
    /// A directory that must be the driver's alone is not.
    #[error("{} {why}", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file or directory operation failed.
    #[error("{op} {}", path.display())]
    Io {
        /// What was done.
        op: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The cell is gone, but something it used could not be removed.
    #[error(transparent)]
    Leftovers(#[from] Leftovers),
}

impl Error {
    pub(super) fn io(op: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Error {
        Error::Io { op, path: path.into(), source }
    }
}

/// The error as an embedder sees it: what was being done, with the kind that says whose fault it is.
pub(in crate::native) fn lift(op: &str, error: Error) -> contract::Error {
    let kind = match &error {
        Error::Bundle(bundle::Error::Invalid { .. }) => ErrorKind::InvalidTask,
        Error::Bundle(_) | Error::Unsafe { .. } | Error::Io { .. } => ErrorKind::Host,
        // A part of the cgroup may be made by the launch.
        Error::Cgroup(error) | Error::Launch(launch::Error::Cgroup(error)) => of_cgroup(error),
        Error::Launch(launch::Error::Unsupported { .. }) => ErrorKind::Unsupported,
        Error::Launch(launch::Error::Invalid { .. } | launch::Error::Missing { .. }) => {
            ErrorKind::InvalidTask
        }
        Error::Launch(launch::Error::ExitLost) => ErrorKind::Host,
        // A cell that runs has been launched: what can't be done to it then is the host's doing.
        Error::Launch(_) if op != "run" => ErrorKind::Host,
        Error::Launch(_) => ErrorKind::Launch,
        Error::Denied { .. } => ErrorKind::Denied,
        Error::NameInUse { .. } => ErrorKind::Conflict,
        Error::NoIds { .. } => ErrorKind::ServerBusy,
        Error::Forked { .. } => ErrorKind::Host,
        Error::Leftovers(_) => ErrorKind::Leftovers,
    };
    contract::Error::caused(kind, op, error)
}

fn of_cgroup(error: &cgroup::Error) -> ErrorKind {
    use cgroup::Error;
    match error {
        Error::NoController { .. } | Error::Unsupported { .. } => ErrorKind::Unsupported,
        Error::BadValue { .. } | Error::DeviceRule { .. } => ErrorKind::InvalidTask,
        // The kernel would not take a limit's value.
        Error::Io { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
            ErrorKind::InvalidTask
        }
        _ => ErrorKind::Host,
    }
}
