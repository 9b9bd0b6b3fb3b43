//! A file whose lock says that the process that owns what it stands for is alive.
//!
//! It is a record lock, which belongs to a process and not to a descriptor. The kernel drops it when
//! the process ends, however it ends, though copies of its descriptors live on in a child: in one
//! that is about to be executed for some milliseconds, in one that the embedder forked for as long
//! as that likes. Such locks have two quirks. In its own process a lock excludes nobody: a table
//! here says what this process holds. And whoever closes any descriptor of the file lets go of it:
//! a file that this process holds is never opened again.
//!
//! Both sides create the file when it is missing and look again once they have the lock, so an owner
//! that arrives while a sweeper removes the file notices, and neither ever holds a file that is no
//! longer there.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, IntoRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::io::Errno;

use crate::fault::{self, Point};
use crate::sys::record_lock;
use crate::unpoisoned::lock;

/// How long [`FileLock::acquire`] waits. Whoever has such a lock holds it for a few system calls: one
/// that takes longer has been stopped, or its disk has.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it sleeps between two looks, at first and at most.
const PAUSE: [Duration; 2] = [Duration::from_micros(50), Duration::from_millis(5)];

/// Device and inode.
type FileId = (u64, u64);
/// What a process holds. A fork copies the table, but the locks stay with the parent: the number of
/// the process that took a lock tells whose it is.
type Held = BTreeMap<FileId, u32>;

static HELD: Mutex<Held> = Mutex::new(Held::new());
static LET_GO: Condvar = Condvar::new();

/// A held lock. Dropping it releases it and leaves the file; [`FileLock::remove`] takes both away.
#[derive(Debug)]
pub(super) struct FileLock {
    path: PathBuf,
    id: FileId,
    file: Option<File>,
}

impl FileLock {
    /// Takes the lock, unless somebody has it: then `None`.
    pub(super) fn try_acquire(path: &Path) -> io::Result<Option<FileLock>> {
        attempt(path, &mut lock(&HELD))
    }

    /// Takes the lock, as soon as whoever has it lets go.
    pub(super) fn acquire(path: &Path) -> io::Result<FileLock> {
        FileLock::acquire_within(path, PATIENCE)
    }

    fn acquire_within(path: &Path, patience: Duration) -> io::Result<FileLock> {
        let deadline = Instant::now() + patience;
        let [mut pause, longest] = PAUSE;
        let mut held = lock(&HELD);
        loop {
            if let Some(lock) = attempt(path, &mut held)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                let why = format!("another process or thread has held it for {patience:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            let waited = LET_GO.wait_timeout(held, pause);
            held = waited.unwrap_or_else(PoisonError::into_inner).0;
            pause = longest.min(pause * 2);
        }
    }

    /// Removes the file, then lets go.
    pub(super) fn remove(self) -> io::Result<()> {
        fault::at(Point::LockRemoval, || std::fs::remove_file(&self.path))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let mut held = lock(&HELD);
        self.file.take();
        held.remove(&self.id);
        LET_GO.notify_all();
    }
}

fn attempt(path: &Path, held: &mut Held) -> io::Result<Option<FileLock>> {
    let me = std::process::id();
    loop {
        let there = std::fs::symlink_metadata(path);
        if there.is_ok_and(|there| held.get(&id(&there)) == Some(&me)) {
            return Ok(None);
        }
        let (file, id) = open(path)?;
        // Under another path, or by another copy of this library.
        let ours = held.get(&id) == Some(&me);
        if ours || record_lock::holder(file.as_fd())? == i32::try_from(me).ok() {
            // Closing it would let go of that lock.
            let _ = file.into_raw_fd();
            return Ok(None);
        }
        let take = || fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
        match fault::at(Point::Lock, take) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        // If it was removed by the one who had it before, whoever comes now locks another file.
        if std::fs::symlink_metadata(path).is_ok_and(|there| self::id(&there) == id) {
            held.insert(id, me);
            return Ok(Some(FileLock { path: path.to_owned(), id, file: Some(file) }));
        }
    }
}

fn open(path: &Path) -> io::Result<(File, FileId)> {
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK).bits() as i32);
    let file = fault::at(Point::LockFile, || options.open(path))?;
    let found = file.metadata()?;
    match found.is_file() {
        true => Ok((file, id(&found))),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file")),
    }
}

fn id(file: &Metadata) -> FileId {
    (file.dev(), file.ino())
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
    fn asking_for_a_held_lock_does_not_let_go_of_it() {
        let at = tempfile::tempdir().unwrap();
        let (path, link) = (at.path().join("lock"), at.path().join("link"));
        let held = FileLock::try_acquire(&path).unwrap().unwrap();
        std::fs::hard_link(&path, &link).unwrap();
        for path in [&path, &link] {
            assert!(FileLock::try_acquire(path).unwrap().is_none());
        }
        // Another copy of this library would have a table of its own.
        let mut elsewhere = Held::new();
        assert!(attempt(&path, &mut elsewhere).unwrap().is_none());
        let holder = record_lock::holder(held.file.as_ref().unwrap().as_fd()).unwrap();
        assert_eq!(holder, Some(std::process::id() as i32));
    }

    #[test]
    fn who_waits_gets_it_in_the_end_or_is_told() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("lock");
        let held = FileLock::acquire(&path).unwrap();
        let error = FileLock::acquire_within(&path, Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| FileLock::acquire(&path).map(drop));
            drop(held);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn what_is_no_file_is_not_opened_for_ever() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("lock");
        std::os::unix::fs::symlink(at.path().join("elsewhere"), &path).unwrap();
        assert!(FileLock::try_acquire(&path).is_err());
        assert!(!at.path().join("elsewhere").exists());
        let fifo = at.path().join("fifo");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, 0o600.into(), 0).unwrap();
        assert!(FileLock::try_acquire(&fifo).is_err());
    }
}
