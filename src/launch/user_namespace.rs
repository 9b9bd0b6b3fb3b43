//! What the parent does for a cell with ids of its own, between the birth of its init and the plan:
//! the maps, and the mounts that the init can't reach.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, open, openat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::mount_plan::{Mapped, Tree};
use super::plan::{IdMaps, Plan, Step};
use super::{Cell, Error};
use crate::sys::abi::{MOUNT_ATTR_IDMAP, MS_REC, MountAttr};
use crate::sys::limits::raise_hard;
use crate::sys::mount::set_attributes;

/// Gives the cell's user namespace its maps, and opens what the plan sends along. The cell's init
/// waits for it.
pub(super) fn settle(cell: &Cell, maps: &IdMaps, plan: &Plan) -> Result<Vec<OwnedFd>, Error> {
    let proc = in_proc(cell)?;
    write_map(&proc, "uid_map", &maps.uid)?;
    write_map(&proc, "gid_map", &maps.gid)?;
    for step in &plan.steps {
        // By number, for there is no other way: so only while the number is its own.
        if let Step::Rlimit { resource, hard, .. } = step
            && !cell.has_ended()
        {
            // Root of the namespace may lower its limits only. What this process may not raise
            // either fails at the step, which says so.
            let _ = raise_hard(cell.pid(), *resource, *hard);
        }
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = openat(&proc, "ns/user", flags, Mode::empty())
        .map_err(|errno| Error::system("open the user namespace", errno))?;
    plan.trees().map(|tree| detach(tree, namespace.as_fd())).collect()
}

/// The directory of the cell's first process in the /proc that is mounted here, by the number that
/// it has there: /proc may be that of a PID namespace further up.
fn in_proc(cell: &Cell) -> Result<OwnedFd, Error> {
    let failed = |error: io::Error| Error::system("find the cell's init in /proc", error);
    let path = format!("/proc/self/fdinfo/{}", cell.pidfd().as_raw_fd());
    let info = std::fs::read_to_string(path).map_err(failed)?;
    let number = info.lines().find_map(|line| line.strip_prefix("Pid:")).map(str::trim);
    // -1 is one who has gone, 0 one whom that /proc doesn't show.
    let number = number.and_then(|number| number.parse::<u32>().ok()).filter(|number| *number > 0);
    let number = number.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = open(format!("/proc/{number}"), flags, Mode::empty());
    let proc = proc.map_err(|errno| failed(errno.into()))?;
    // What was opened while it lived stays its own; its number doesn't.
    match cell.has_ended() {
        true => Err(failed(Errno::SRCH.into())),
        false => Ok(proc),
    }
}

fn write_map(proc: &OwnedFd, name: &str, map: &str) -> Result<(), Error> {
    let file = openat(proc, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    // One write call: the kernel takes a map whole or not at all.
    let written = file.and_then(|file| rustix::io::write(file, map.as_bytes()));
    let whole = written.map_err(io::Error::from).and_then(|count| match count == map.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    });
    whole.map_err(|source| Error::Maps { map: map.trim_end().replace('\n', ", "), source })
}

/// A copy of the tree that is mounted nowhere, with its attributes settled while nobody sees it.
fn detach(tree: &Tree, namespace: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
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
