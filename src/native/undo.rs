//! The undo stack of a cell: making a thing pushes its removal, and close runs them backwards.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Error;
use super::lock::FileLock;
use super::owner::Owner;
use super::trash::Trash;
use crate::cgroup::Parent;
use crate::fault::{self, Point};

/// A thing that was made and must go.
#[derive(Debug)]
pub(super) enum Made {
    /// The name, and the lock that keeps it.
    Name(FileLock),
    /// The cell's directory on disk; emptying it takes long, so it only moves here.
    DiskDir(PathBuf, Arc<Trash>),
    /// The link that keeps the cell's ids.
    Ids(PathBuf),
    /// The cell's leaf in every hierarchy, with what lives in it.
    Cgroup(Arc<Parent>, String),
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl Made {
    fn unmake(self) -> Result<(), (String, Cause)> {
        match self {
            Made::Name(lock) => lock.remove().map_err(|error| ("the name".into(), error.into())),
            Made::Ids(path) => {
                let removed = fault::at(Point::IdsRemoval, || std::fs::remove_file(path));
                removed.map_err(|error| ("the cell's ids".into(), error.into()))
            }
            Made::DiskDir(path, trash) => {
                trash.put(&path).map_err(|error| (path.display().to_string(), error.into()))
            }
            Made::Cgroup(parent, leaf) => {
                parent.remove(&leaf).map_err(|error| (format!("cgroup {leaf}"), error.into()))
            }
        }
    }
}

/// What could not be removed, and why.
#[derive(Debug)]
pub struct Leftovers {
    /// Each thing with the error its removal met.
    pub left: Vec<(String, Cause)>,
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("could not remove ")?;
        for (at, (what, why)) in self.left.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{what} ({why}")?;
            let mut cause = why.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl std::error::Error for Leftovers {}

/// Removals in the order of making.
#[derive(Debug)]
pub(super) struct Undo {
    made: Vec<Made>,
    owner: Owner,
    /// Raised when something could not be removed: then the journal must stay for a sweep.
    failed: Arc<AtomicBool>,
}

impl Undo {
    pub(super) fn new(failed: &Arc<AtomicBool>) -> Undo {
        Undo { made: Vec::new(), owner: Owner::this(), failed: Arc::clone(failed) }
    }

    /// Fails where the cell is not this process's.
    pub(super) fn check_owner(&self) -> Result<(), Error> {
        self.owner.check()
    }

    pub(super) fn push(&mut self, made: Made) {
        self.made.push(made);
    }

    /// Removes everything, the last thing first. A failure stops nothing; all are reported. But ids
    /// stay taken when anything is left: it may be a process that still has them.
    pub(super) fn run(&mut self) -> Result<(), Error> {
        if let Err(forked) = self.check_owner() {
            self.made.clear();
            return Err(forked);
        }
        let mut left = Vec::new();
        while let Some(made) = self.made.pop() {
            match made {
                Made::Ids(_) if !left.is_empty() => {
                    left.push(("the cell's ids".into(), "something of the cell is left".into()));
                }
                made => left.extend(made.unmake().err()),
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        self.failed.store(true, Ordering::Release);
        Err(Leftovers { left }.into())
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        match self.run() {
            // The cell lives on, with its owner.
            Ok(()) | Err(Error::Forked { .. }) => {}
            Err(leftovers) => tracing::warn!(%leftovers, "a cell was dropped without close"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layer that can be neither moved nor deleted.
    fn stuck(at: &std::path::Path) -> Made {
        let layer = at.join("x".repeat(300));
        Made::DiskDir(layer, Arc::new(Trash::new(at.join("trash"))))
    }

    fn left(undo: &mut Undo) -> Leftovers {
        match undo.run().unwrap_err() {
            Error::Leftovers(leftovers) => leftovers,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_failure_stops_nothing_and_is_told() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("name");
        let mut undo = Undo::new(&Arc::default());
        undo.push(Made::Name(FileLock::try_acquire(&path).unwrap().unwrap()));
        undo.push(stuck(at.path()));
        let leftovers = left(&mut undo);
        assert_eq!(leftovers.left.len(), 1);
        assert!(!path.exists());
        assert!(leftovers.to_string().starts_with("could not remove "), "{leftovers}");
    }

    #[test]
    fn ids_are_free_only_when_nothing_is_left_that_could_have_them() {
        let at = tempfile::tempdir().unwrap();
        let link = at.path().join("7");
        std::os::unix::fs::symlink("instance", &link).unwrap();
        let mut undo = Undo::new(&Arc::default());
        undo.push(Made::Ids(link.clone()));
        undo.push(stuck(at.path()));
        assert_eq!(left(&mut undo).left.len(), 2);
        assert!(link.symlink_metadata().is_ok() && undo.failed.load(Ordering::Acquire));
        undo.push(Made::Ids(link.clone()));
        undo.run().unwrap();
        assert!(link.symlink_metadata().is_err());
    }
}
