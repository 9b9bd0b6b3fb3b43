//! `create` and `start`: a container whose process waits, and the word that lets it go.

use super::Error;
use super::args::{IdArgs, MakeArgs};
use super::log::Log;
use super::making::{When, make};
use super::status::Status;
use super::store::Store;
use crate::launch::Latch;

/// Makes a container. Its process waits, and goes to whoever takes in this program's orphans.
pub(super) fn create(store: &Store, args: &MakeArgs, log: &Log) -> Result<u8, Error> {
    make(store, args, When::Started, log).map(|_| 0)
}

/// Lets a container's process go; returns when its command has been executed.
pub(super) fn start(store: &Store, args: &IdArgs) -> Result<u8, Error> {
    let home = store.lock(&args.id.parse()?)?;
    let record = home.record()?;
    let why = match Status::of(&home, &record)? {
        Status::Created => {
            Latch::release(home.path())?;
            return Ok(0);
        }
        Status::Creating => "cannot start a container that is not created",
        Status::Running => "cannot start an already running container",
        Status::Paused => "cannot start a container in the paused state",
        Status::Stopped => "cannot start a container that has stopped",
    };
    Err(Error::State(why))
}
