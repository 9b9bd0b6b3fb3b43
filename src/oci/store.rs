//! The state directory: one directory for each container, and a lock on it against two commands at
//! once.
//!
//! ```text
//! ROOT/             nobody but its owner may write to it
//!   ID/             0700; locked by whoever changes the container
//!     state.json    see `record`
//!     config.json   the specification as it was when the container was made
//!     begun         there since the cgroup's directory in the v2 tree is the container's own
//!     claimed       there since all of the cgroup is
//!     start, started   FIFOs: the container's process waits, and answers
//! ```
//!
//! A directory is made before anything else of a container, and removed after everything else. One
//! without a record is what a killed command left: `delete --force` removes it.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{
    Access, AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fstat, open, openat, renameat,
    unlinkat,
};
use rustix::io::Errno;

use super::Error;
use super::id::Id;
use super::record::Record;
use crate::cgroup;
use crate::fault::{self, Point};

const RECORD: &str = "state.json";
const DRAFT: &str = "state.json.new";
const CONFIG: &str = "config.json";
/// Says that the directory in the v2 tree is the container's own.
const BEGUN: &str = "begun";
/// Says that all of its cgroup is.
const CLAIM: &str = "claimed";
/// Made by [`Latch`](crate::launch::Latch).
const START: &str = "start";

/// The largest file that is read: annotations and environments may be long.
const LARGEST: u64 = 16 << 20;
/// How long a command waits for another that changes the same container.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(2);

/// How much of what stands at the places of a container's cgroup is the container's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// Nothing that anybody lives in.
    Nothing,
    /// The directory in the v2 tree, where its first process is born. Elsewhere may be others.
    Begun,
    /// All of it, and whoever lives there.
    All,
}

/// The state directory of many containers.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
}

impl Store {
    pub(super) fn new(root: &Path) -> Store {
        Store { root: root.to_owned() }
    }

    /// The ids that have a directory, sorted.
    pub(super) fn ids(&self) -> Result<Vec<Id>, Error> {
        let failed = |error| Error::io("list", &self.root, error);
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            ids.extend(id.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())));
        }
        ids.sort_by(|a: &Id, b: &Id| a.as_str().cmp(b.as_str()));
        Ok(ids)
    }

    /// Makes the directory of a new container and locks it.
    pub(super) fn create(&self, id: &Id) -> Result<Home, Error> {
        let path = self.root.join(id.as_str());
        let make = || DirBuilder::new().mode(0o700).create(&path);
        let mut made = fault::at(Point::ContainerDirectory, make);
        if made.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.root)
                .map_err(|error| Error::io("make", &self.root, error))?;
            made = make();
        }
        match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(Error::Exists(id.to_string()));
            }
            made => made.map_err(|error| Error::io("make", &path, error))?,
        }
        self.lock(id)
    }

    /// The directory of a container, to look at.
    pub(super) fn find(&self, id: &Id) -> Result<Home, Error> {
        self.check()?;
        let path = self.root.join(id.as_str());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = match open(&path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Err(Error::Unknown),
            opened => opened.map_err(|errno| Error::io("open", &path, errno))?,
        };
        private(dir.as_fd(), &path, 0o077)?;
        Ok(Home { id: id.clone(), path, dir })
    }

    /// The same, to change: nobody else does so until the [`Home`] is dropped.
    pub(super) fn lock(&self, id: &Id) -> Result<Home, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let home = self.find(id)?;
            while !home.try_lock()? {
                if Instant::now() > deadline {
                    let seconds = PATIENCE.as_secs();
                    return Err(Error::Busy { id: id.to_string(), seconds });
                }
                std::thread::sleep(PAUSE);
            }
            // Whoever had it before may have removed it.
            if home.is_current()? {
                return Ok(home);
            }
        }
    }

    /// What lies in it decides what root kills and removes.
    fn check(&self) -> Result<(), Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match open(&self.root, flags, Mode::empty()) {
            Err(Errno::NOENT) => Err(Error::Unknown),
            Err(errno) => Err(Error::io("open", &self.root, errno)),
            Ok(root) => private(root.as_fd(), &self.root, 0o022),
        }
    }
}

/// Refuses a directory of another owner, or with any of the permissions `forbidden`.
fn private(dir: impl AsFd, path: &Path, forbidden: u32) -> Result<(), Error> {
    let found = fstat(dir).map_err(|errno| Error::io("look at", path, errno))?;
    let why = match () {
        () if found.st_uid != rustix::process::geteuid().as_raw() => "has another owner".to_owned(),
        () if found.st_mode & forbidden != 0 => {
            format!("is open to others (mode {:o})", found.st_mode & 0o7777)
        }
        () => return Ok(()),
    };
    Err(Error::Record { path: path.to_owned(), why })
}

/// The directory of one container, held open.
#[derive(Debug)]
pub(super) struct Home {
    id: Id,
    path: PathBuf,
    dir: OwnedFd,
}

impl AsFd for Home {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Home {
    pub(super) fn id(&self) -> &Id {
        &self.id
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn try_lock(&self) -> Result<bool, Error> {
        match fault::at(Point::ContainerLock, || {
            flock(&self.dir, FlockOperation::NonBlockingLockExclusive)
        }) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
            Err(errno) => Err(Error::io("lock", &self.path, errno)),
        }
    }

    /// Whether this is still the directory that its path leads to.
    fn is_current(&self) -> Result<bool, Error> {
        let failed = |errno| Error::io("look at", &self.path, errno);
        let held = fstat(&self.dir).map_err(failed)?;
        match rustix::fs::lstat(&self.path) {
            Ok(there) => Ok((there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// The container's record; `Unknown` if there is none yet, or none any more.
    pub(super) fn record(&self) -> Result<Record, Error> {
        let wrong = |why| Error::Record { path: self.path.join(RECORD), why };
        let text = self.read(RECORD)?.ok_or(Error::Unknown)?;
        Record::parse(&text, &self.id).map_err(wrong)
    }

    /// The specification that the container was made from, as bytes.
    pub(super) fn config(&self) -> Result<Vec<u8>, Error> {
        let why = "is missing".to_owned();
        self.read(CONFIG)?.ok_or(Error::Record { path: self.path.join(CONFIG), why })
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = || self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.dir, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => File::from(opened.map_err(|errno| Error::io("open", path(), errno))?),
        };
        let found = fstat(&file).map_err(|errno| Error::io("look at", path(), errno))?;
        let size = u64::try_from(found.st_size).unwrap_or(u64::MAX);
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile || size > LARGEST {
            let why = "is no file, or one far too large".to_owned();
            return Err(Error::Record { path: path(), why });
        }
        let mut text = Vec::with_capacity(size as usize + 1);
        file.take(LARGEST)
            .read_to_end(&mut text)
            .map_err(|error| Error::io("read", path(), error))?;
        Ok(Some(text))
    }

    /// Whether the container's process waits for its start: nobody else has the FIFO open.
    pub(super) fn is_waited_at(&self) -> Result<bool, Error> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.dir, START, flags, Mode::empty()) {
            Ok(fifo) => match fstat(fifo) {
                Ok(found) => Ok(FileType::from_raw_mode(found.st_mode) == FileType::Fifo),
                Err(errno) => Err(Error::io("look at", self.path.join(START), errno)),
            },
            Err(Errno::NOENT | Errno::NXIO) => Ok(false),
            Err(errno) => Err(Error::io("open", self.path.join(START), errno)),
        }
    }

    /// Writes the record: a reader sees the old one or the new one, whole.
    pub(super) fn write(&self, record: &Record) -> Result<(), Error> {
        let path = self.path.join(RECORD);
        let text = serde_json::to_vec(record).map_err(|error| Error::io("write", &path, error))?;
        self.put(DRAFT, &text)?;
        fault::at(Point::ContainerRename, || renameat(&self.dir, DRAFT, &self.dir, RECORD))
            .map_err(|errno| Error::io("write", &path, errno))
    }

    /// Keeps the specification: the bundle's may be changed or gone when it is needed again.
    pub(super) fn keep_config(&self, text: &[u8]) -> Result<(), Error> {
        self.put(CONFIG, text)
    }

    /// Notes how much of the cgroup has been made: who lives there from now on is of the container.
    pub(super) fn claim(&self, claim: Claim) -> Result<(), Error> {
        match claim {
            Claim::Nothing => Ok(()),
            Claim::Begun => self.put(BEGUN, b""),
            Claim::All => self.put(CLAIM, b""),
        }
    }

    /// What notes that all of it has been made, for whoever makes it.
    pub(super) fn claimer(
        &self,
    ) -> Result<impl FnOnce() -> Result<(), cgroup::Error> + Send + 'static, Error> {
        let dir = self.dir.try_clone().map_err(|error| Error::io("open", &self.path, error))?;
        let path = self.path.join(CLAIM);
        Ok(move || {
            let failed = |error| cgroup::Error::io("write", path, error);
            write_in(&dir, CLAIM, b"").map_err(failed)
        })
    }

    pub(super) fn claimed(&self) -> Claim {
        let is_there =
            |name| rustix::fs::accessat(&self.dir, name, Access::EXISTS, AtFlags::empty()).is_ok();
        match () {
            () if is_there(CLAIM) => Claim::All,
            () if is_there(BEGUN) => Claim::Begun,
            () => Claim::Nothing,
        }
    }

    fn put(&self, name: &str, text: &[u8]) -> Result<(), Error> {
        let failed = |error| Error::io("write", self.path.join(name), error);
        write_in(&self.dir, name, text).map_err(failed)
    }

    /// Removes the directory with all that is in it, the record first.
    pub(super) fn remove(self) -> Result<(), Error> {
        match fault::at(Point::ContainerRemoval, || unlinkat(&self.dir, RECORD, AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(Error::io("remove", self.path.join(RECORD), errno)),
        }
        fault::at(Point::ContainerRemoval, || std::fs::remove_dir_all(&self.path))
            .map_err(|error| Error::io("remove", &self.path, error))
    }
}

/// A file in a directory, and nothing that a link leads to.
fn write_in(dir: &OwnedFd, name: &str, text: &[u8]) -> std::io::Result<()> {
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::TRUNC
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let open = || openat(dir, name, flags, Mode::from_raw_mode(0o600));
    File::from(fault::at(Point::ContainerFile, open)?).write_all(text)
}
