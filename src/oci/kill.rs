//! `kill`: a signal for the container's first process, or for all of its processes.

use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

use super::args::KillArgs;
use super::record::Record;
use super::signal::Wanted;
use super::status::Status;
use super::store::{Claim, Store};
use super::{Error, place};

/// Sends the signal. A container that has stopped has nobody to send it to.
pub(super) fn kill(store: &Store, args: &KillArgs) -> Result<u8, Error> {
    let wanted: Wanted = args.signal.parse()?;
    let home = store.find(&args.id.parse()?)?;
    let record = home.record()?;
    let status = Status::of(&home, &record)?;
    if args.all {
        return match home.claimed() {
            Claim::All => to_all(&record, wanted),
            // It may have processes a moment from now.
            Claim::Begun | Claim::Nothing if status == Status::Creating => Err(Error::NotRunning),
            // Its creation came to nothing; who lives at its places is somebody else's.
            Claim::Begun | Claim::Nothing => Ok(0),
        };
    }
    match (status, record.process) {
        (Status::Stopped | Status::Creating, _) | (_, None) => Err(Error::NotRunning),
        (_, Some(process)) => {
            let Some(pidfd) = process.open()? else {
                return Err(Error::NotRunning);
            };
            let Wanted(Some(signal)) = wanted else {
                return Ok(0);
            };
            match pidfd_send_signal(&pidfd, signal) {
                Ok(()) => Ok(0),
                Err(Errno::SRCH) => Err(Error::NotRunning),
                Err(errno) => Err(Error::io("signal", home.path(), errno)),
            }
        }
    }
}

/// Every process that lives in the container's cgroup. One that has gone, and a container without
/// any, is no failure.
fn to_all(record: &Record, wanted: Wanted) -> Result<u8, Error> {
    let (Some(cgroup), Wanted(Some(signal))) = (place::find(record)?, wanted) else {
        return Ok(0);
    };
    if signal == Signal::KILL {
        return Ok(cgroup.kill().map(|()| 0)?);
    }
    Ok(cgroup.signal(signal).map(|()| 0)?)
}
