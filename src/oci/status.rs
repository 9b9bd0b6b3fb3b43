//! What a container is doing, asked of the kernel each time.

use std::fmt;

use super::record::Record;
use super::store::Home;
use super::{Error, place};

/// A container's status, in the specification's words and runc's "paused".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    /// It is being made, or whoever made it was killed.
    Creating,
    /// Its process waits for `start`.
    Created,
    /// Its process runs.
    Running,
    /// All its processes are frozen.
    Paused,
    /// Its process has ended.
    Stopped,
}

impl Status {
    pub(super) fn of(home: &Home, record: &Record) -> Result<Status, Error> {
        match record.process {
            None => Ok(Status::Creating),
            Some(process) if !process.is_alive()? => Ok(Status::Stopped),
            Some(process) => match is_frozen(record) {
                Ok(true) => Ok(Status::Paused),
                Ok(false) if home.is_waited_at()? => Ok(Status::Created),
                Ok(false) => Ok(Status::Running),
                // Its cgroup may have gone with it, a moment ago.
                Err(_) if !process.is_alive()? => Ok(Status::Stopped),
                Err(error) => Err(error),
            },
        }
    }
}

fn is_frozen(record: &Record) -> Result<bool, Error> {
    Ok(place::open(record)?.is_frozen()?)
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}
