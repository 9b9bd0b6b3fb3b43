//! What the parent does for a cell with ids of its own, between the birth of its init and the plan:
//! the maps, and the mounts that the init can't reach.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};

use super::plan::{IdMaps, Plan, Step};
use super::target::in_proc;
use super::{Cell, Error, trees};
use crate::fault::{self, Point};
use crate::sys::limits::raise_hard;

/// Gives the cell's user namespace its maps, and opens what the plan sends along. The cell's init
/// waits for it.
pub(super) fn settle(cell: &Cell, maps: &IdMaps, plan: &Plan) -> Result<Vec<OwnedFd>, Error> {
    let proc = in_proc(cell.pidfd())?;
    write_map(&proc, "uid_map", &maps.uid)?;
    write_map(&proc, "gid_map", &maps.gid)?;
    raise_limits(cell, plan);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let open = || openat(&proc, "ns/user", flags, Mode::empty());
    let namespace = fault::at(Point::UserNamespace, open)
        .map_err(|errno| Error::system("open the user namespace", errno))?;
    trees::detach_all(plan, Some(namespace.as_fd()))
}

/// Raises the limits that the plan will set: root of the namespace may only lower its own. What this
/// process may not raise either fails at the step, which says so.
pub(super) fn raise_limits(cell: &Cell, plan: &Plan) {
    for step in &plan.steps {
        // By number, for there is no other way: so only while the number is its own.
        if let Step::Rlimit { resource, hard, .. } = step
            && !cell.has_ended()
        {
            let _ = raise_hard(cell.pid(), *resource, *hard);
        }
    }
}

fn write_map(proc: &OwnedFd, name: &str, map: &str) -> Result<(), Error> {
    let file = openat(proc, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    // One write call: the kernel takes a map whole or not at all.
    let written =
        file.and_then(|file| fault::at(Point::IdMap, || rustix::io::write(file, map.as_bytes())));
    let whole = written.map_err(io::Error::from).and_then(|count| match count == map.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    });
    whole.map_err(|source| Error::Maps { map: map.trim_end().replace('\n', ", "), source })
}
