//! `create` and `start`: a container whose process waits, and the word that lets it go.

use super::args::{CgroupManager, IdArgs, MakeArgs};
use super::error::line;
use super::log::Log;
use super::making::{When, make};
use super::record::Record;
use super::status::Status;
use super::store::{Home, Store};
use super::{Error, hooks};
use crate::launch::{HookPoint, Latch};

/// Makes a container. Its process waits, and goes to whoever takes in this program's orphans.
pub(super) fn create(
    store: &Store,
    args: &MakeArgs,
    manager: CgroupManager,
    log: &Log,
) -> Result<u8, Error> {
    make(store, args, manager, When::Started, log).map(|_| 0)
}

/// Lets a container's process go; returns when its command has been executed.
pub(super) fn start(store: &Store, args: &IdArgs, log: &Log) -> Result<u8, Error> {
    let home = store.lock(&args.id.parse()?)?;
    let record = home.record()?;
    let why = match Status::of(&home, &record)? {
        Status::Created => {
            Latch::release(home.path())?;
            started(&home, &record, log);
            return Ok(0);
        }
        Status::Creating => "cannot start a container that is not created",
        Status::Running => "cannot start an already running container",
        Status::Paused => "cannot start a container in the paused state",
        Status::Stopped => "cannot start a container that has stopped",
    };
    Err(Error::State(why))
}

/// What is to happen as soon as the container's command runs.
pub(super) fn started(home: &Home, record: &Record, log: &Log) {
    if !record.hooks {
        return;
    }
    match home.config() {
        Ok(config) => hooks::run(record, &config, HookPoint::Poststart, log),
        Err(error) => log.warning(&line(&error)),
    }
}
