//! Where a load makes what will be seen later: a directory that nobody else looks into.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock as RecordLock, FlockType, fcntl_getlk};

use super::Error;
use super::error::Told;
use super::lease::Claim;
use super::lock::{Flock, StoreLock};
use super::place::{Place, list, new_dir, new_file, open_plain, random_name};
use super::{collect, tree};

/// In a directory of `work`: the number of the process whose load it is, which holds a record lock on it.
const OWNER: &str = "owner";
/// How long a sweep waits for what is left of a dead load to let go of its lock.
const LAST_HOLD: Duration = Duration::from_secs(2);

/// A directory of `work`, locked while this lives and deleted when it goes.
#[derive(Debug)]
pub(in crate::image) struct Work {
    dir: PathBuf,
    _held: Flock,
    _owner: File,
}

impl Work {
    pub(super) fn begin(place: &Place) -> Result<Work, Error> {
        // A sweep would take a directory that is not locked yet for a dead load's.
        let _lock = StoreLock::take(place.dir())?;
        let dir = place.work().join(random_name()?);
        new_dir(&dir)?;
        let held = Flock::exclusive(open_plain(&dir).told("open", &dir)?).told("lock", &dir)?;
        let owner = own(&dir.join(OWNER))?;
        Ok(Work { dir, _held: held, _owner: owner })
    }

    pub(in crate::image) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = tree::remove(&self.dir) {
            tracing::warn!(path = %self.dir.display(), %error, "deleting what a load made");
        }
    }
}

/// Says whose load it is, in a way that no child of this process has a part in.
fn own(path: &Path) -> Result<File, Error> {
    let mut file = new_file(path)?;
    write!(file, "{}", std::process::id()).told("write", path)?;
    let lock = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
    lock.map_err(|errno| Error::io("lock", path, errno.into()))?;
    Ok(file)
}

/// Whether the process lives whose load this is.
fn is_owned(dir: &Path) -> bool {
    let Ok(mut file) = open_plain(&dir.join(OWNER)) else {
        return false;
    };
    let lock = RecordLock::from(FlockType::WriteLock);
    if fcntl_getlk(&file, &lock).is_ok_and(|found| found.is_some()) {
        return true;
    }
    // A process is not told of its own locks.
    let mut owner = String::new();
    file.read_to_string(&mut owner).is_ok() && owner.parse() == Ok(std::process::id())
}

/// Asks for the directory of a load. A process that a killed load was about to execute has a copy of its
/// lock, for some milliseconds: that is waited for.
fn claim(dir: &Path) -> Result<Claim, Error> {
    let deadline = Instant::now() + LAST_HOLD;
    loop {
        match Claim::on(dir)? {
            Claim::InUse if Instant::now() < deadline && !is_owned(dir) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            claim => return Ok(claim),
        }
    }
}

/// Deletes what loads that were killed have left.
pub(super) fn sweep(place: &Place) -> Result<(), Error> {
    let leftovers = list(&place.work())?;
    if leftovers.is_empty() && list(&place.trash())?.is_empty() {
        return Ok(());
    }
    // Whoever has the lock is alive and has opened the store, so has swept it.
    let Some(lock) = StoreLock::try_take(place.dir())? else {
        return Ok(());
    };
    for name in leftovers {
        let path = place.work().join(name);
        if let Claim::Mine(_) = claim(&path)? {
            collect::discard(place, &path)?;
        }
    }
    drop(lock);
    collect::empty_trash(place);
    Ok(())
}
