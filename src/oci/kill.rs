//! `kill`: a signal for the container's first process, or for all of its processes.

use rustix::io::Errno;
use rustix::process::pidfd_send_signal;

use super::Error;
use super::args::KillArgs;
use super::signal::Wanted;
use super::status::Status;
use super::store::Store;

/// Sends the signal. A container that has stopped has nobody to send it to.
pub(super) fn kill(store: &Store, args: &KillArgs) -> Result<u8, Error> {
    let wanted: Wanted = args.signal.parse()?;
    let home = store.find(&args.id.parse()?)?;
    let record = home.record()?;
    let status = Status::of(&home, &record)?;
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
