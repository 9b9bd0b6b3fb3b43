//! Namespaces that a cell joins: opened once, and seen to be what they are said to be.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};

use super::plan::{Joined, Plan};
use super::{Error, Given};
use crate::sys::abi::{CLONE_NEWCGROUP, CLONE_NEWPID, CLONE_NEWTIME, CLONE_NEWUSER};
use crate::sys::namespace;

/// The open files of a plan's joined namespaces.
#[derive(Debug)]
pub(super) struct Files {
    /// The cell is born in these.
    born: Vec<OwnedFd>,
    /// Its init enters these: it is in its cgroup by then, the only thread of its process, and in
    /// memory of its own.
    given: Vec<(u64, OwnedFd)>,
}

/// Whether the init enters such a namespace by itself.
pub(super) fn entered_by_init(flag: u64) -> bool {
    matches!(flag, CLONE_NEWCGROUP | CLONE_NEWTIME | CLONE_NEWPID | CLONE_NEWUSER)
}

impl Files {
    /// Opens them all but the `user` namespace, which has been opened. Nothing looks at the paths
    /// again.
    pub(super) fn open(plan: &Plan, mut user: Option<OwnedFd>) -> Result<Files, Error> {
        let mut files = Files { born: Vec::new(), given: Vec::new() };
        for joined in &plan.joined {
            let of_ids = (joined.flag == CLONE_NEWUSER).then(|| user.take()).flatten();
            let file = of_ids.map_or_else(|| open_one(joined), Ok)?;
            match entered_by_init(joined.flag) {
                true => files.given.push((joined.flag, file)),
                false => files.born.push(file),
            }
        }
        Ok(files)
    }

    /// Those that the cell is born in.
    pub(super) fn born(&self) -> Vec<BorrowedFd<'_>> {
        self.born.iter().map(AsFd::as_fd).collect()
    }

    /// The one that a plan gives to the init.
    pub(super) fn given(&self, given: &Given) -> Option<BorrowedFd<'_>> {
        let Given::Namespace(flag) = given else {
            return None;
        };
        self.of(*flag)
    }

    /// The one of this kind, if the init enters it.
    pub(super) fn of(&self, flag: u64) -> Option<BorrowedFd<'_>> {
        self.given.iter().find(|(known, _)| *known == flag).map(|(_, file)| file.as_fd())
    }
}

pub(super) fn open_one(joined: &Joined) -> Result<OwnedFd, Error> {
    let missing = |source: std::io::Error| Error::Missing {
        what: "namespace",
        path: joined.path.to_string_lossy().into_owned(),
        source,
    };
    // Not for long, if something else lies there.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = open(&joined.path, flags, Mode::empty()).map_err(|errno| missing(errno.into()))?;
    match namespace::kind(file.as_fd()).map_err(missing)? {
        Some(kind) if kind == joined.flag => Ok(file),
        _ => Err(Error::Invalid {
            field: format!("linux.namespaces: {}", joined.name),
            why: format!("{} is no namespace of this kind", joined.path.display()),
        }),
    }
}
