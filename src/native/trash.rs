//! Where writable layers on disk go to be deleted: closing a cell only renames.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::fault::{self, Point};

/// A directory on the same file system, and the thread that empties it while there is something.
#[derive(Debug)]
pub(super) struct Trash {
    dir: PathBuf,
    count: AtomicU64,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Trash {
    pub(super) fn new(dir: PathBuf) -> Trash {
        Trash { dir, count: AtomicU64::new(0), worker: Mutex::new(None) }
    }

    /// Moves the directory in and sees that somebody deletes it.
    pub(super) fn put(&self, path: &Path) -> io::Result<()> {
        // A name may come again while its last owner's layer is still being deleted.
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let place = self.dir.join(number.to_string());
        let rename = || fault::at(Point::TrashRename, || std::fs::rename(path, &place));
        match rename() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => {
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fault::at(Point::TrashDirectory, || std::fs::create_dir(&self.dir))?;
                rename()?;
            }
            moved => moved?,
        }
        let mut worker = self.worker.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if worker.as_ref().is_none_or(JoinHandle::is_finished) {
            let dir = self.dir.clone();
            let thread = std::thread::Builder::new().name("hotcell-trash".to_owned());
            *worker = Some(fault::at(Point::TrashThread, || thread.spawn(move || empty(&dir)))?);
        }
        Ok(())
    }

    /// Deletes what is left; returns when the trash is empty.
    pub(super) fn finish(&self) {
        let worker = self.worker.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(worker) = worker {
            // A worker that panicked has left something for the next line.
            let _ = worker.join();
            empty(&self.dir);
        }
    }
}

fn empty(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if let Err(error) = fault::at(Point::TrashRemoval, || std::fs::remove_dir_all(entry.path()))
        {
            tracing::warn!(path = %entry.path().display(), %error, "deleting a writable layer");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_thrown_away_goes() {
        let at = tempfile::tempdir().unwrap();
        let layer = at.path().join("cell");
        std::fs::create_dir_all(layer.join("upper/deep")).unwrap();
        let trash = Trash::new(at.path().join("trash"));
        trash.put(&layer).unwrap();
        assert!(!layer.exists());
        trash.put(&layer).unwrap();
        trash.finish();
        assert_eq!(std::fs::read_dir(at.path().join("trash")).unwrap().count(), 0);
    }
}
