//! What the parent does for a cell with ids of its own, between the birth of its init and the plan:
//! the maps, and the mounts that the init can't reach.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::Error;
use super::mount_plan::{Mapped, Tree};
use super::plan::{IdMaps, Plan, Step};
use crate::init::wire::MOST_TREES;
use crate::sys::abi::{MOUNT_ATTR_IDMAP, MS_REC, MountAttr};
use crate::sys::limits::raise_hard;
use crate::sys::mount::set_attributes;

/// Gives the namespace of process `pid` its maps, and opens what the plan sends along.
///
/// The process is this one's own child and blocked, so its number is its own.
pub(super) fn settle(pid: i32, maps: &IdMaps, plan: &Plan) -> Result<Vec<OwnedFd>, Error> {
    let count = plan.trees().count();
    if count > MOST_TREES {
        let detail = format!(": {count} with ids of their own, {MOST_TREES} at most");
        return Err(Error::Unsupported { field: "mounts".to_owned(), detail });
    }
    let proc = Path::new("/proc").join(pid.to_string());
    write_map(&proc.join("uid_map"), &maps.uid)?;
    write_map(&proc.join("gid_map"), &maps.gid)?;
    for step in &plan.steps {
        if let Step::Rlimit { resource, hard, .. } = step {
            // Root of the namespace may lower its limits only. What this process may not raise
            // either fails at the step, which says so.
            let _ = raise_hard(pid, *resource, *hard);
        }
    }
    let namespace = File::open(proc.join("ns/user"))
        .map_err(|error| Error::system("open the user namespace", error))?;
    plan.trees().map(|tree| open(tree, namespace.as_fd())).collect()
}

fn write_map(path: &Path, map: &str) -> Result<(), Error> {
    use std::io::Write;
    // One write call: the kernel takes a map whole or not at all.
    let written = File::options().write(true).open(path).and_then(|mut file| {
        match file.write(map.as_bytes())? {
            count if count == map.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    });
    written.map_err(|source| Error::Maps { map: map.trim_end().replace('\n', ", "), source })
}

/// A copy of the tree that is mounted nowhere, with its attributes settled while nobody sees it.
fn open(tree: &Tree, namespace: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let failed = |call, hint, source: io::Error| Error::Mount {
        path: tree.path.clone(),
        call,
        hint,
        source,
    };
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, tree.recursive);
    let mount = open_tree(CWD, tree.path.as_str(), flags)
        .map_err(|errno| failed("open_tree", "", errno.into()))?;
    let set = |attr, recursive| set_attributes(mount.as_fd(), &attr, recursive);
    let everywhere = tree.propagation & MS_REC as u64 != 0;
    let propagation = tree.propagation & !(MS_REC as u64);
    // The mount itself, then all that came along below it: the later is the stronger.
    for ([attr_set, attr_clr], recursive) in [(tree.own, false), (tree.tree, true)] {
        let propagation = if recursive == everywhere { propagation } else { 0 };
        let attr = MountAttr { attr_set, attr_clr, propagation, userns_fd: 0 };
        set(attr, recursive).map_err(|error| failed("mount_setattr", "", error))?;
    }
    if tree.mapped != Mapped::No {
        let userns_fd = namespace.as_raw_fd() as u64;
        let attr = MountAttr { attr_set: MOUNT_ATTR_IDMAP, userns_fd, ..MountAttr::default() };
        set(attr, tree.mapped == Mapped::All).map_err(|error| {
            let hint = match Errno::from_io_error(&error) {
                Some(Errno::INVAL) => " (can this kernel map ids on the file system?)",
                _ => "",
            };
            failed("mount_setattr(MOUNT_ATTR_IDMAP)", hint, error)
        })?;
    }
    Ok(mount)
}
