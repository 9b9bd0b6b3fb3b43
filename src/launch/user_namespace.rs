//! What the parent does for a cell with ids of its own, between the birth of its init and the plan:
//! the maps, and the mounts that the init can't reach.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;

use super::plan::{IdMaps, Plan, Step};
use super::{Cell, Error, trees};
use crate::fault::{self, Point};
use crate::sys::limits::raise_hard;

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
    let open = || openat(&proc, "ns/user", flags, Mode::empty());
    let namespace = fault::at(Point::UserNamespace, open)
        .map_err(|errno| Error::system("open the user namespace", errno))?;
    trees::detach_all(plan, Some(namespace.as_fd()))
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
    let path = format!("/proc/{number}");
    let proc = fault::at(Point::InitProc, || open(path, flags, Mode::empty()));
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
    let written =
        file.and_then(|file| fault::at(Point::IdMap, || rustix::io::write(file, map.as_bytes())));
    let whole = written.map_err(io::Error::from).and_then(|count| match count == map.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    });
    whole.map_err(|source| Error::Maps { map: map.trim_end().replace('\n', ", "), source })
}
