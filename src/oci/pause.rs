//! `pause` and `resume`: all processes of a container stand still, and go on.

use super::args::IdArgs;
use super::status::Status;
use super::store::Store;
use super::{Error, place};

/// Freezes a container that runs, or waits for its start.
pub(super) fn pause(store: &Store, args: &IdArgs) -> Result<u8, Error> {
    let home = store.lock(&args.id.parse()?)?;
    let record = home.record()?;
    match Status::of(&home, &record)? {
        Status::Running | Status::Created => place::open(&record)?.freeze()?,
        _ => return Err(Error::NotRunning),
    }
    Ok(0)
}

/// Thaws a container that is frozen.
pub(super) fn resume(store: &Store, args: &IdArgs) -> Result<u8, Error> {
    let home = store.lock(&args.id.parse()?)?;
    let record = home.record()?;
    match Status::of(&home, &record)? {
        Status::Paused => place::open(&record)?.thaw()?,
        _ => return Err(Error::NotPaused),
    }
    Ok(0)
}
