//! A file whose lock says that somebody alive owns what it stands for.
//!
//! The kernel drops the lock when its holder dies, however it dies. Both sides create the file when
//! it is missing and look again once they have the lock, so an owner that arrives while a sweeper
//! removes the file notices, and neither ever holds a file that is no longer there.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::fault::{self, Point};

/// A held lock. Dropping it releases it and leaves the file; [`FileLock::remove`] takes both away.
#[derive(Debug)]
pub(super) struct FileLock {
    path: PathBuf,
    _file: File,
}

impl FileLock {
    /// Takes the lock, unless somebody has it: then `None`.
    pub(super) fn try_acquire(path: &Path) -> io::Result<Option<FileLock>> {
        FileLock::acquire_with(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes the lock, as soon as whoever has it lets go.
    pub(super) fn acquire(path: &Path) -> io::Result<FileLock> {
        loop {
            if let Some(lock) = FileLock::acquire_with(path, FlockOperation::LockExclusive)? {
                return Ok(lock);
            }
        }
    }

    fn acquire_with(path: &Path, how: FlockOperation) -> io::Result<Option<FileLock>> {
        let mut options = File::options();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits() as i32);
        let file = fault::at(Point::LockFile, || options.open(path))?;
        loop {
            match fault::at(Point::Lock, || flock(&file, how)) {
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                locked => break locked?,
            }
        }
        // Removed by the one who had it before: whoever comes now locks another file.
        let held = file.metadata()?;
        let still_there = std::fs::symlink_metadata(path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino()));
        Ok(still_there.then(|| FileLock { path: path.to_owned(), _file: file }))
    }

    /// Removes the file, then lets go.
    pub(super) fn remove(self) -> io::Result<()> {
        fault::at(Point::LockRemoval, || std::fs::remove_file(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_owner_and_is_free_after_it() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("lock");
        let held = FileLock::try_acquire(&path).unwrap().unwrap();
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        held.remove().unwrap();
        assert!(!path.exists());
        drop(FileLock::try_acquire(&path).unwrap().unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn a_link_is_not_followed() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("lock");
        std::os::unix::fs::symlink(at.path().join("elsewhere"), &path).unwrap();
        assert!(FileLock::try_acquire(&path).is_err());
        assert!(!at.path().join("elsewhere").exists());
    }
}
