//! The sweep: what drivers that were killed have left, found by name and removed.
//!
//! There is no log to replay. An instance's directory exists before anything else of it, and what its
//! cells have is named after it; so a free lock and a name are all it takes, at whatever instant the driver died. Processes are born in their cgroup,
//! mounts and network namespaces die with the processes. What is found is not trusted: names are
//! checked, links are not followed, and a record that can't be read means the defaults.

use std::io;
use std::path::Path;

use super::lock::FileLock;
use super::options::Options;
use super::state::{self, Record};
use super::{Error, ids};
use crate::cgroup::{Hierarchies, Parent};
use crate::fault::{self, Point};

/// Removes the leftovers of every instance below `state_dir` whose owner is dead. One bad entry
/// stops nothing; it is told in the log and left for the next sweep. Returns the cgroups above the
/// cells of those that were swept: they may be nobody's now.
pub fn sweep(state_dir: &Path, hierarchies: &Hierarchies) -> Vec<Parent> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir(state_dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_dir || !state::is_instance_id(&name) {
            continue;
        }
        match FileLock::try_acquire(&entry.path().join(state::LOCK)) {
            Ok(None) => {}
            // It was being closed by its owner.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(Some(lock)) => match sweep_instance(&name, &entry.path(), hierarchies) {
                Ok(parent) => {
                    parents.extend(parent);
                    forget(&entry.path(), lock);
                }
                Err(error) => tracing::warn!(instance = name, %error, "sweeping"),
            },
            Err(error) => tracing::warn!(instance = name, %error, "locking a dead instance"),
        }
    }
    parents
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Processes and cgroups first, then directories. The lock goes last, so a sweep that is killed in
/// turn is picked up by the next.
fn sweep_instance(
    id: &str,
    dir: &Path,
    hierarchies: &Hierarchies,
) -> Result<Option<Parent>, Cause> {
    let defaults = Options::default();
    let record = Record::read(dir)
        .unwrap_or(Record { cgroup_parent: defaults.cgroup_parent, data_dir: defaults.data_dir });
    let parent = Parent::find(hierarchies.clone(), &record.cgroup_parent)?;
    if let Some(parent) = &parent {
        for leaf in parent.leaves()?.iter().filter(|leaf| state::is_leaf_of(leaf, id)) {
            parent.remove(leaf)?;
        }
    }
    if let Some(state_dir) = dir.parent() {
        ids::sweep(state_dir, id)?;
    }
    let data = record.data_dir.join(id);
    // Only a directory of ours in a directory of ours: the record may be anybody's writing.
    if data.is_dir() {
        match state::private_dir(&record.data_dir) {
            Ok(()) => fault::at(Point::SweepRemoval, || std::fs::remove_dir_all(&data))?,
            Err(Error::Unsafe { .. }) => {}
            // Nobody knows yet: the next sweep asks again.
            Err(error) => return Err(error.into()),
        }
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kept = [state::LOCK, state::RECORD].iter().any(|kept| entry.file_name() == *kept);
        match entry.file_type()?.is_dir() {
            true => fault::at(Point::SweepRemoval, || std::fs::remove_dir_all(entry.path()))?,
            false if !kept => {
                fault::at(Point::SweepRemoval, || std::fs::remove_file(entry.path()))?
            }
            false => {}
        }
    }
    Ok(parent)
}

/// The record, the lock and the directory, in this order.
fn forget(dir: &Path, lock: FileLock) {
    match fault::at(Point::RecordRemoval, || std::fs::remove_file(dir.join(state::RECORD))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(dir = %dir.display(), %error, "removing a dead instance's record");
        }
        _ => {}
    }
    if let Err(error) =
        lock.remove().and_then(|()| fault::at(Point::InstanceRemoval, || std::fs::remove_dir(dir)))
    {
        tracing::warn!(dir = %dir.display(), %error, "removing a dead instance's directory");
    }
}

/// A name that nobody holds is free; its file goes. To be called behind the door, where nobody is
/// taking a name.
pub(super) fn sweep_names(state_dir: &Path) {
    for entry in std::fs::read_dir(state_dir.join(state::NAMES)).into_iter().flatten().flatten() {
        if let Ok(Some(lock)) = FileLock::try_acquire(&entry.path()) {
            // Whoever asks for the name now makes the file anew.
            let _ = lock.remove();
        }
    }
}
