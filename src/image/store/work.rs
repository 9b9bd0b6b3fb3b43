//! Where a load makes what will be seen later: a directory that nobody else looks into.

use std::path::{Path, PathBuf};

use super::Error;
use super::error::Told;
use super::lease::Claim;
use super::lock::{Flock, StoreLock};
use super::place::{Place, list, new_dir, open_plain, random_name};
use super::{collect, tree};

/// A directory of `work`, locked while this lives and deleted when it goes.
#[derive(Debug)]
pub(in crate::image) struct Work {
    dir: PathBuf,
    _held: Flock,
}

impl Work {
    pub(super) fn begin(place: &Place) -> Result<Work, Error> {
        // A sweep would take a directory that is not locked yet for a dead load's.
        let _lock = StoreLock::take(place.dir())?;
        let dir = place.work().join(random_name()?);
        new_dir(&dir)?;
        let held = Flock::exclusive(open_plain(&dir).told("open", &dir)?).told("lock", &dir)?;
        Ok(Work { dir, _held: held })
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
        if let Claim::Mine(_) = Claim::on(&path)? {
            collect::discard(place, &path)?;
        }
    }
    drop(lock);
    collect::empty_trash(place);
    Ok(())
}
