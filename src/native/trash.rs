//! Where writable layers on disk go to be deleted: closing a cell only renames.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::delete::delete;
use crate::fault::{self, Point};
use crate::unpoisoned::lock;

/// A directory on the same file system, and the thread that empties it while there is something.
#[derive(Debug)]
pub(super) struct Trash {
    dir: PathBuf,
    count: AtomicU64,
    work: Arc<Mutex<Work>>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Work {
    /// There is none.
    None,
    /// It deletes what it has found.
    Deleting,
    /// More came while it did.
    More,
}

impl Trash {
    pub(super) fn new(dir: PathBuf) -> Trash {
        let work = Arc::new(Mutex::new(Work::None));
        Trash { dir, count: AtomicU64::new(0), work, worker: Mutex::new(None) }
    }

    /// Moves the directory in and sees that somebody deletes it. Where that can't be, it is deleted
    /// here, which takes longer: a full disk has no room for the trash, but for what it was.
    pub(super) fn put(&self, path: &Path) -> io::Result<()> {
        match self.move_in(path) {
            Ok(()) => {
                self.see_to_it();
                Ok(())
            }
            Err(_) => match fault::at(Point::TrashRemoval, || delete(path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }

    fn move_in(&self, path: &Path) -> io::Result<()> {
        // A name may come again while its last owner's layer is still being deleted.
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let place = self.dir.join(number.to_string());
        let rename = || fault::at(Point::TrashRename, || std::fs::rename(path, &place));
        match rename() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => {
                fault::at(Point::TrashDirectory, || std::fs::create_dir(&self.dir))?;
                rename()
            }
            moved => moved,
        }
    }

    fn see_to_it(&self) {
        let mut work = lock(&self.work);
        if *work != Work::None {
            *work = Work::More;
            return;
        }
        let (dir, shared) = (self.dir.clone(), Arc::clone(&self.work));
        let thread = std::thread::Builder::new().name("hotcell-trash".to_owned());
        match fault::at(Point::TrashThread, || thread.spawn(move || empty_all(&dir, &shared))) {
            Ok(worker) => {
                *work = Work::Deleting;
                *lock(&self.worker) = Some(worker);
            }
            // No thread is to be had: then it takes longer.
            Err(_) => empty(&self.dir),
        }
    }

    /// Deletes what is left; returns when the trash is empty.
    pub(super) fn finish(&self) {
        let worker = lock(&self.worker).take();
        if let Some(worker) = worker {
            // A worker that panicked has left something for the next line.
            let _ = worker.join();
            empty(&self.dir);
        }
    }
}

/// Deletes until nothing more has come.
fn empty_all(dir: &Path, work: &Mutex<Work>) {
    loop {
        empty(dir);
        let mut work = lock(work);
        if *work != Work::More {
            *work = Work::None;
            return;
        }
        *work = Work::Deleting;
    }
}

fn empty(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if let Err(error) = fault::at(Point::TrashRemoval, || delete(&entry.path())) {
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

    #[test]
    fn what_comes_while_it_is_emptied_goes_too() {
        let at = tempfile::tempdir().unwrap();
        let trash = Trash::new(at.path().join("trash"));
        for round in 0..500 {
            let layer = at.path().join("cell");
            std::fs::create_dir(&layer).unwrap();
            trash.put(&layer).unwrap();
            (0..round).for_each(|_| std::hint::spin_loop());
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::fs::read_dir(at.path().join("trash")).unwrap().next().is_some() {
            assert!(std::time::Instant::now() < deadline, "something stays until the end");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}
