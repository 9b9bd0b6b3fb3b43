//! The sweep: what drivers that were killed have left, found by name and removed.
//!
//! There is no log to replay. An instance's directory exists before anything else of it, and what its
//! cells have is named after it; so a free lock and a name are all it takes, at whatever instant the driver died. Processes are born in their cgroup,
//! mounts and network namespaces die with the processes. What is found is not trusted: names are
//! checked, links are not followed, and a record only adds places to look at.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::lock::FileLock;
use super::mark;
use super::options::Options;
use super::state::{self, Found};
use super::{Error, ids};
use crate::cgroup::{Hierarchies, Parent};
use crate::delete::delete;
use crate::fault::{self, Point};

/// How long a sweep waits for killed processes to die, and how long at least for each instance's. One
/// in uninterruptible sleep must not keep a driver from opening.
const PATIENCE: [Duration; 2] = [Duration::from_secs(5), Duration::from_millis(500)];

/// Removes the leftovers of every instance below the state directory whose owner is dead. One bad
/// entry stops nothing; it is told in the log and left for the next sweep.
pub fn sweep(options: &Options, hierarchies: &Hierarchies) {
    let deadline = Instant::now() + PATIENCE[0];
    let sweep_instance = |name: &str, dir: &Path| {
        let deadline = deadline.max(Instant::now() + PATIENCE[1]);
        Sweep { options, hierarchies, deadline }.instance(name, dir)
    };
    for entry in std::fs::read_dir(&options.state_dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_dir || !state::is_instance_id(&name) {
            continue;
        }
        match FileLock::try_acquire(&entry.path().join(state::LOCK)) {
            Ok(None) => {}
            // It was being closed by its owner.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(Some(lock)) => match sweep_instance(&name, &entry.path()) {
                Ok(Swept::Whole) => forget(&entry.path(), lock),
                Ok(Swept::NewerDrivers) => {
                    tracing::warn!(instance = name, "what a newer driver left is its successor's");
                }
                Err(error) => tracing::warn!(instance = name, %error, "sweeping"),
            },
            Err(error) => tracing::warn!(instance = name, %error, "locking a dead instance"),
        }
    }
}

/// What needs nobody coming or going: to be called behind the door.
pub(super) fn sweep_shared(state_dir: &Path, hierarchies: &Hierarchies) {
    sweep_names(state_dir);
    mark::sweep(state_dir, hierarchies);
}

enum Swept {
    /// Nothing is left but its directory.
    Whole,
    /// What this driver knows of is gone; there may be more.
    NewerDrivers,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

struct Sweep<'a> {
    options: &'a Options,
    hierarchies: &'a Hierarchies,
    deadline: Instant,
}

impl Sweep<'_> {
    /// Processes and cgroups first, then directories. The lock goes last, so a sweep that is killed in
    /// turn is picked up by the next.
    fn instance(&self, id: &str, dir: &Path) -> Result<Swept, Cause> {
        let found = state::Record::read(dir);
        let places = Places::of(&found, self.options);
        for parent in &places.parents {
            if let Some(parent) = Parent::find(self.hierarchies.clone(), parent)? {
                self.leaves(&parent, id)?;
            }
        }
        ids::sweep(&self.options.state_dir, id)?;
        for data_dir in &places.data_dirs {
            sweep_data(data_dir, id)?;
        }
        if matches!(found, Found::Newer) {
            return Ok(Swept::NewerDrivers);
        }
        empty(dir)?;
        Ok(Swept::Whole)
    }

    /// All are told to die before the first is waited for.
    fn leaves(&self, parent: &Parent, id: &str) -> Result<(), Cause> {
        let mut leaves = parent.leaves()?;
        leaves.retain(|leaf| state::is_leaf_of(leaf, id));
        for leaf in &leaves {
            // The removal kills once more and reports what survives.
            let _ = parent.kill(leaf);
        }
        // What can't be removed leaves the others to be.
        let removed = leaves.iter().map(|leaf| parent.remove_by(leaf, self.deadline));
        Ok(removed.fold(Ok(()), Result::and)?)
    }
}

/// Removes a directory of ours in a directory of ours, and nothing else: the record may be anybody's
/// writing.
fn sweep_data(data_dir: &Path, id: &str) -> Result<(), Cause> {
    let data = data_dir.join(id);
    if !data.symlink_metadata().is_ok_and(|data| data.is_dir()) {
        return Ok(());
    }
    match state::private_dir(data_dir) {
        Ok(()) => Ok(fault::at(Point::SweepRemoval, || delete(&data))?),
        Err(Error::Unsafe { .. }) => Ok(()),
        // Nobody knows yet: the next sweep asks again.
        Err(error) => Err(error.into()),
    }
}

/// Removes all of an instance's directory but its lock and its record.
fn empty(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kept = [state::LOCK, state::RECORD].iter().any(|kept| entry.file_name() == *kept);
        match entry.file_type()?.is_dir() {
            true => fault::at(Point::SweepRemoval, || delete(&entry.path()))?,
            false if !kept => {
                fault::at(Point::SweepRemoval, || std::fs::remove_file(entry.path()))?;
            }
            false => {}
        }
    }
    Ok(())
}

/// Where an instance may have had something. Its record may have been damaged, even into one that
/// makes sense; an instance's name is nobody else's, so looking at more places harms nobody.
struct Places {
    parents: BTreeSet<String>,
    data_dirs: BTreeSet<PathBuf>,
}

impl Places {
    fn of(found: &Found, options: &Options) -> Places {
        let defaults = Options::default();
        let mut parents = BTreeSet::from([options.cgroup_parent.clone(), defaults.cgroup_parent]);
        parents.extend(mark::parents(&options.state_dir));
        let mut data_dirs = BTreeSet::from([options.data_dir.clone(), defaults.data_dir]);
        if let Found::Record(record) = found {
            parents.insert(record.cgroup_parent.clone());
            data_dirs.insert(record.data_dir.clone());
        }
        Places { parents, data_dirs }
    }
}

/// The record, the lock and the directory, in this order.
fn forget(dir: &Path, lock: FileLock) {
    match fault::at(Point::RecordRemoval, || std::fs::remove_file(dir.join(state::RECORD))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(dir = %dir.display(), %error, "removing a dead instance's record");
        }
        _ => {}
    }
    if let Err(error) = remove_dir(dir, lock) {
        tracing::warn!(dir = %dir.display(), %error, "removing a dead instance's directory");
    }
}

/// Removes the lock and the directory of an instance that has nothing any more. A sweeper that comes
/// between the two takes the directory for a dead one's, locks it and does the rest.
pub(super) fn remove_dir(dir: &Path, lock: FileLock) -> io::Result<()> {
    use io::ErrorKind::{DirectoryNotEmpty, NotFound};
    lock.remove()?;
    match fault::at(Point::InstanceRemoval, || std::fs::remove_dir(dir)) {
        Err(error) if matches!(error.kind(), DirectoryNotEmpty | NotFound) => Ok(()),
        removed => removed,
    }
}

/// A name that nobody holds is free; its file goes. To be called behind the door, where nobody is
/// taking a name.
fn sweep_names(state_dir: &Path) {
    for entry in std::fs::read_dir(state_dir.join(state::NAMES)).into_iter().flatten().flatten() {
        if let Ok(Some(lock)) = FileLock::try_acquire(&entry.path()) {
            // Whoever asks for the name now makes the file anew.
            let _ = lock.remove();
        }
    }
}
