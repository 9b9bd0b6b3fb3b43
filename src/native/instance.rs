//! One driver in one process: its lock, its directory, its place in the cgroup tree.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::lock::FileLock;
use super::options::Options;
use super::owner::Owner;
use super::state::{self, Record};
use super::trash::Trash;
use super::{Error, mark, recover};
use crate::bundle::CellName;
use crate::cgroup::{Hierarchies, Parent};
use crate::delete::delete;
use crate::fault::{self, Point};
use crate::sys::berths;

/// A driver, open. Cheap to clone; many may share one state directory, in one process or several.
#[derive(Clone, Debug)]
pub struct Instance {
    pub(super) shared: Arc<Shared>,
}

/// What the cells of an instance hold on to.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: String,
    pub(super) options: Options,
    pub(super) owner: Owner,
    pub(super) parent: Arc<Parent>,
    pub(super) trash: Arc<Trash>,
    /// Something of a cell could not be removed.
    pub(super) failed: Arc<AtomicBool>,
    lock: Option<FileLock>,
}

impl Instance {
    /// Removes what killed drivers left behind, then opens a new instance.
    ///
    /// # Errors
    /// [`Error::Denied`] without privilege, [`Error::Cgroup`] on a host that can't hold cells,
    /// [`Error::Unsafe`] and [`Error::Io`] about the directories.
    pub fn open(options: Options) -> Result<Instance, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::Denied { what: "root" });
        }
        if !caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_SYS_ADMIN)
            .unwrap_or(false)
        {
            return Err(Error::Denied { what: "the capability CAP_SYS_ADMIN" });
        }
        if options.cgroup_parent.parse::<CellName>().is_err() {
            return Err(crate::bundle::Error::invalid(
                "cgroup parent",
                options.cgroup_parent,
                "must be one path component of letters, digits, '_', '.' and '-'",
            )
            .into());
        }
        berths::reserve();
        let mut options = options;
        for dir in [&mut options.state_dir, &mut options.data_dir, &mut options.image_dir] {
            // The record outlives this process's working directory.
            *dir = std::path::absolute(&*dir)
                .map_err(|source| Error::io("make absolute", &*dir, source))?;
        }
        let hierarchies = Hierarchies::detect()?;
        state::private_dir(&options.state_dir)?;
        recover::sweep(&options, &hierarchies);
        let door = door(&options.state_dir)?;
        recover::sweep_shared(&options.state_dir, &hierarchies);
        if !hierarchies.unified.join(&options.cgroup_parent).exists() {
            mark::write(&options.state_dir, &options.cgroup_parent)?;
        }
        let (parent, id, lock) = settle(&hierarchies, &options).inspect_err(|_| {
            mark::take_back(&options.state_dir, &hierarchies, &options.cgroup_parent);
        })?;
        drop(door);
        let trash = Arc::new(Trash::new(options.data_dir.join(&id).join(state::TRASH)));
        let (owner, failed, lock) = (Owner::this(), Arc::default(), Some(lock));
        let shared = Shared { id, options, owner, parent, trash, failed, lock };
        Ok(Instance { shared: Arc::new(shared) })
    }

    /// Lets go of the driver. The last hold, its cells' included, removes what is the driver's own;
    /// dropping it does the same and logs what failed.
    ///
    /// # Errors
    /// When something could not be removed; the next driver to open tries again. [`Error::Forked`]
    /// in a child that the embedder forked.
    pub fn close(self) -> Result<(), Error> {
        self.shared.owner.check()?;
        match Arc::into_inner(self.shared) {
            Some(mut last) => last.finish(),
            None => Ok(()),
        }
    }

    /// The instance's name, part of the names of everything it makes.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// The host's control groups.
    #[must_use]
    pub fn hierarchies(&self) -> &Hierarchies {
        self.shared.parent.hierarchies()
    }
}

impl Shared {
    pub(super) fn dir(&self) -> PathBuf {
        self.options.state_dir.join(&self.id)
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.options.data_dir.join(&self.id)
    }
}

/// Held while drivers come and go, so that the last to go can tell that it is the last.
pub(super) fn door(state_dir: &Path) -> Result<FileLock, Error> {
    let path = state_dir.join(state::LOCK);
    FileLock::acquire(&path).map_err(|source| Error::io("lock", &path, source))
}

/// The cgroup above all cells, and an instance of its own.
fn settle(
    hierarchies: &Hierarchies,
    options: &Options,
) -> Result<(Arc<Parent>, String, FileLock), Error> {
    let parent = Parent::open(hierarchies.clone(), &options.cgroup_parent, options.own_place)?;
    let (id, lock) = claim(options)?;
    Ok((Arc::new(parent), id, lock))
}

/// Makes a directory nobody else has and locks it. A sweeper that was faster with the lock takes
/// the directory for a dead one's; then another name is tried.
fn claim(options: &Options) -> Result<(String, FileLock), Error> {
    let record = Record::new(options.cgroup_parent.clone(), options.data_dir.clone());
    let mut last = None;
    for _ in 0..16 {
        let id = state::random_id()?;
        let dir = options.state_dir.join(&id);
        match claim_dir(&dir, &record) {
            Ok(Some(lock)) => return Ok((id, lock)),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or(Error::Unsafe {
        path: options.state_dir.clone(),
        why: "has its new directories removed by someone at once",
    }))
}

fn claim_dir(dir: &Path, record: &Record) -> Result<Option<FileLock>, Error> {
    use std::os::unix::fs::DirBuilderExt;
    fault::at(Point::InstanceDirectory, || std::fs::DirBuilder::new().mode(0o700).create(dir))
        .map_err(|source| Error::io("make", dir, source))?;
    // Half-made it would be swept, but no other driver may ever come.
    lock_dir(dir, record).inspect_err(|_| drop(std::fs::remove_dir_all(dir)))
}

fn lock_dir(dir: &Path, record: &Record) -> Result<Option<FileLock>, Error> {
    let path = dir.join(state::LOCK);
    let lock = FileLock::try_acquire(&path).map_err(|source| Error::io("lock", &path, source))?;
    if lock.is_some() {
        record.write(dir)?;
    }
    Ok(lock)
}

impl Drop for Shared {
    fn drop(&mut self) {
        // In a process that the embedder forked, the driver is not this handle's to end.
        if self.owner.check().is_ok()
            && let Err(error) = self.finish()
        {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(instance = self.id, error, "closing the driver");
        }
    }
}

impl Shared {
    /// The last cell has gone: so does the instance. Its directory goes last, for as long as it is
    /// there a sweep finds the rest. Done once.
    fn finish(&mut self) -> Result<(), Error> {
        if self.lock.is_none() {
            return Ok(());
        }
        self.trash.finish();
        if self.failed.load(Ordering::Acquire) {
            // The journal stays, its lock is let go: the next driver's sweep tries again.
            self.lock.take();
            let why = "something of a cell could not be removed; the next driver tries again";
            return Err(Error::Unsafe { path: self.dir(), why });
        }
        let data = self.data_dir();
        match fault::at(Point::DataRemoval, || delete(&data)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                self.lock.take();
                return Err(Error::io("remove", data, error));
            }
            _ => {}
        }
        let record = self.dir().join(state::RECORD);
        fault::at(Point::RecordRemoval, || std::fs::remove_file(&record))
            .and_then(|()| {
                self.lock.take().map_or(Ok(()), |lock| recover::remove_dir(&self.dir(), lock))
            })
            .map_err(|error| Error::io("remove", self.dir(), error))?;
        self.leave()
    }

    /// Removes the cgroup above all cells, unless other drivers of this state directory use it, and
    /// the data directory if nothing is in it.
    fn leave(&self) -> Result<(), Error> {
        let _door = door(&self.options.state_dir)?;
        if !mark::has_instances(&self.options.state_dir)? {
            // Mostly it was made only to be hidden from a cell on the host's root. One that is in
            // use elsewhere, or not there, stays as it is.
            let dir = &self.options.data_dir;
            let _ = fault::at(Point::DataDirectoryRemoval, || std::fs::remove_dir(dir));
        }
        mark::dissolve_last(&self.options.state_dir, &self.parent)
    }
}
