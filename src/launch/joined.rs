//! Namespaces that a cell joins: opened once, and seen to be what they are said to be.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};

use super::plan::{Joined, Plan};
use super::{Error, Given};
use crate::sys::abi::{CLONE_NEWCGROUP, CLONE_NEWTIME};
use crate::sys::namespace;

/// The open files of a plan's joined namespaces.
#[derive(Debug)]
pub(super) struct Files {
    /// The cell is born in these.
    born: Vec<OwnedFd>,
    /// Its init enters these: it is in its cgroup by then, and the only thread of its process.
    given: Vec<(u64, OwnedFd)>,
}

/// Whether the init enters such a namespace by itself.
pub(super) fn entered_by_init(flag: u64) -> bool {
    matches!(flag, CLONE_NEWCGROUP | CLONE_NEWTIME)
}

impl Files {
    /// Opens them all. Nothing looks at the paths again.
    pub(super) fn open(plan: &Plan) -> Result<Files, Error> {
        let mut files = Files { born: Vec::new(), given: Vec::new() };
        for joined in &plan.joined {
            let file = open_one(joined)?;
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
        self.given.iter().find(|(known, _)| known == flag).map(|(_, file)| file.as_fd())
    }
}

fn open_one(joined: &Joined) -> Result<OwnedFd, Error> {
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
