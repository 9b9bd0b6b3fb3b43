//! `delete`: everything of a container goes.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::args::DeleteArgs;
use super::error::line;
use super::log::Log;
use super::record::Record;
use super::status::Status;
use super::store::{Claim, Home, Store};
use super::{Error, hooks, place};
use crate::launch::HookPoint;

/// How long a killed process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes a container that has stopped or was never started; with `--force`, any.
pub(super) fn delete(store: &Store, args: &DeleteArgs, log: &Log) -> Result<u8, Error> {
    let id = args.id.parse()?;
    let home = match store.lock(&id) {
        Err(Error::Unknown) if args.force => return Ok(0),
        home => home?,
    };
    let record = match home.record() {
        // What a killed command left before it made anything else.
        Err(Error::Unknown) if args.force => return home.remove().map(|()| 0),
        record => record?,
    };
    let status = Status::of(&home, &record)?;
    if !args.force && !matches!(status, Status::Stopped | Status::Created) {
        return Err(Error::NotStopped { id: id.to_string(), status });
    }
    end(&record)?;
    remove(home, &record, log).map(|()| 0)
}

/// Kills the container's first process; the rest of it goes with its cgroup.
fn end(record: &Record) -> Result<(), Error> {
    let Some(pidfd) = record.process.map_or(Ok(None), |process| process.open())? else {
        return Ok(());
    };
    // It may end by itself at any moment.
    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&patience));
    Ok(())
}

/// Removes what is left of a container whose process has ended.
pub(super) fn remove(home: Home, record: &Record, log: &Log) -> Result<(), Error> {
    let claimed = home.claimed();
    // Before all of it was there no hook had heard of it.
    let config = (record.hooks && claimed == Claim::All).then(|| home.config());
    match claimed {
        Claim::All => place::remove(record)?,
        Claim::Begun => place::remove_begun(record)?,
        Claim::Nothing => place::remove_empty(record),
    }
    home.remove()?;
    match config {
        Some(Ok(config)) => hooks::run(record, &config, HookPoint::Poststop, log),
        Some(Err(error)) => log.warning(&line(&error)),
        None => {}
    }
    Ok(())
}
