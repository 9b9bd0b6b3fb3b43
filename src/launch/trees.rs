//! Parts of the host's tree for a cell: detached copies, which the plan sends along.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::error::missing_call;
use super::mount_plan::{Mapped, Tree};
use super::{Error, IdMaps};
use crate::fault::{self, Point};
use crate::sys::abi::{MOUNT_ATTR_IDMAP, MS_PRIVATE, MS_REC, MS_SLAVE, MountAttr};
use crate::sys::mount::set_attributes;

/// Opens what is sent along; with the ids of the user `namespace` where a tree asks for it, or of the
/// one among `others` that has the ids it names.
pub(super) fn detach_all<'a>(
    trees: impl Iterator<Item = &'a Tree>,
    namespace: Option<BorrowedFd<'_>>,
    others: &[(IdMaps, OwnedFd)],
) -> Result<Vec<OwnedFd>, Error> {
    let of = |tree: &Tree| match &tree.ids {
        None => namespace,
        Some(ids) => {
            others.iter().find(|(maps, _)| maps == ids).map(|(_, namespace)| namespace.as_fd())
        }
    };
    trees.map(|tree| detach(tree, of(tree))).collect()
}

/// A copy of the tree that is mounted nowhere, with its attributes settled while nobody sees it.
fn detach(tree: &Tree, namespace: Option<BorrowedFd<'_>>) -> Result<OwnedFd, Error> {
    let failed = |call, hint: &'static str, source: io::Error| Error::Mount {
        path: tree.path.clone(),
        call,
        hint: if hint.is_empty() { missing_call(&source) } else { hint },
        source,
    };
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, tree.recursive);
    let mount = fault::at(Point::TreeCopy, || open_tree(CWD, tree.path.as_str(), flags))
        .map_err(|errno| failed("open_tree", "", errno.into()))?;
    let set = |attr, recursive| set_attributes(mount.as_fd(), &attr, recursive);
    let (private, slave) = ((MS_PRIVATE | MS_REC) as u64, (MS_SLAVE | MS_REC) as u64);
    if tree.propagation != private && tree.propagation != slave && !tree.peer {
        // A copy of a shared mount is its peer: what is mounted on one appears on the other. From
        // here on the host's way alone is open.
        let attr = MountAttr { propagation: MS_SLAVE as u64, ..MountAttr::default() };
        fault::at(Point::TreeAttributes, || set(attr, true))
            .map_err(|error| failed("mount_setattr", "", error))?;
    }
    let everywhere = tree.propagation & MS_REC as u64 != 0;
    let propagation = tree.propagation & !(MS_REC as u64);
    // The mount itself, then all that came along below it: the later is the stronger.
    for ([attr_set, attr_clr], recursive) in [(tree.own, false), (tree.tree, true)] {
        let propagation = if recursive == everywhere { propagation } else { 0 };
        if attr_set | attr_clr | propagation != 0 {
            let attr = MountAttr { attr_set, attr_clr, propagation, userns_fd: 0 };
            fault::at(Point::TreeAttributes, || set(attr, recursive))
                .map_err(|error| failed("mount_setattr", "", error))?;
        }
    }
    if let Some(namespace) = namespace.filter(|_| tree.mapped != Mapped::No) {
        let userns_fd = namespace.as_raw_fd() as u64;
        let attr = MountAttr { attr_set: MOUNT_ATTR_IDMAP, userns_fd, ..MountAttr::default() };
        fault::at(Point::TreeIdMap, || set(attr, tree.mapped == Mapped::All)).map_err(|error| {
            let hint = match Errno::from_io_error(&error) {
                Some(Errno::INVAL) => " (can this kernel map ids on the file system?)",
                _ => "",
            };
            failed("mount_setattr(MOUNT_ATTR_IDMAP)", hint, error)
        })?;
    }
    Ok(mount)
}
