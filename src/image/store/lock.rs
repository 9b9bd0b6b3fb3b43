//! The store's lock: whoever changes what can be seen holds it, for some renames.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Error;
use super::error::Told;
use super::place::open_plain;

/// How long somebody waits for a lock. Who has one holds it for a few system calls and some syncs:
/// one that takes longer has been stopped, or its disk has.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it sleeps between two looks, at first and at most.
const PAUSE: [Duration; 2] = [Duration::from_micros(50), Duration::from_millis(5)];

/// A `flock` on an open file or directory.
///
/// It belongs to the open file, of which a process that the embedder forked has a copy: closing
/// ours would not end it as long as that one lives, so it is ended by name. Only by who took it: a
/// fork that drops its copy of a handle must not let go of the embedder's.
#[derive(Debug)]
pub(super) struct Flock {
    file: File,
    owner: u32,
}

impl Flock {
    /// Without waiting: `Err(WOULDBLOCK)` if somebody has one that excludes it.
    pub(super) fn exclusive(file: File) -> Result<Flock, Errno> {
        flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive)?;
        Ok(Flock { file, owner: std::process::id() })
    }

    /// Waits while somebody has an exclusive one, but not for ever.
    pub(super) fn shared(file: File) -> io::Result<Flock> {
        wait(|| flock(file.as_fd(), FlockOperation::NonBlockingLockShared))?;
        Ok(Flock { file, owner: std::process::id() })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Flock {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            // The close that follows does the same, if nobody has a copy.
            let _ = flock(self.file.as_fd(), FlockOperation::Unlock);
        }
    }
}

/// The lock of a whole store.
#[derive(Debug)]
pub(super) struct StoreLock {
    _held: Flock,
}

impl StoreLock {
    pub(super) fn take(dir: &Path) -> Result<StoreLock, Error> {
        let file = open_plain(dir).told("open", dir)?;
        wait(|| flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive)).told("lock", dir)?;
        Ok(StoreLock { _held: Flock { file, owner: std::process::id() } })
    }

    /// `None` if somebody has it.
    pub(super) fn try_take(dir: &Path) -> Result<Option<StoreLock>, Error> {
        match Flock::exclusive(open_plain(dir).told("open", dir)?) {
            Ok(held) => Ok(Some(StoreLock { _held: held })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(Error::io("lock", dir, errno.into())),
        }
    }
}

fn wait(mut attempt: impl FnMut() -> Result<(), Errno>) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let [mut pause, longest] = PAUSE;
    loop {
        match attempt() {
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(pause),
            Err(Errno::WOULDBLOCK) => {
                let why = format!("somebody else has held the lock for {PATIENCE:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
        pause = longest.min(pause * 2);
    }
}
