//! What the parent does for a cell with ids of its own, between the birth of its init and the plan:
//! the maps, and the mounts that the init can't reach.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};

use super::plan::{IdMaps, Plan, Step};
use super::program::init_program;
use super::start::{control_socket, host_null, spawn_error};
use super::target::in_proc;
use super::{Cell, Error, trees};
use crate::cgroup::Cgroup;
use crate::fault::{self, Point};
use crate::sys::abi::CLONE_NEWUSER;
use crate::sys::limits::raise_hard;
use crate::sys::spawn::{Spawn, spawn};

/// Gives the cell's user namespace its maps, and opens what the plan sends along. The cell's init
/// waits for it.
pub(super) fn settle(
    cell: &Cell,
    maps: &IdMaps,
    plan: &Plan,
    others: &[(IdMaps, OwnedFd)],
) -> Result<Vec<OwnedFd>, Error> {
    let proc = in_proc(cell.pidfd())?;
    write_map(&proc, "uid_map", &maps.uid)?;
    write_map(&proc, "gid_map", &maps.gid)?;
    raise_limits(cell, plan);
    for step in &plan.steps {
        if let Step::OomScore { adjust, required: true } = step {
            // The init's own capabilities don't count for that; what this process may not do either
            // fails at the step, which says so.
            let _ = lower_oom_score(&proc, *adjust);
        }
    }
    trees::detach_all(plan, Some(open_namespace(&proc)?.as_fd()), others)
}

/// The user namespaces whose ids mounts name that are not the cell's, each once.
pub(super) fn of_mounts(plan: &Plan, cgroup: &Cgroup) -> Result<Vec<(IdMaps, OwnedFd)>, Error> {
    let mut made: Vec<(IdMaps, OwnedFd)> = Vec::new();
    for ids in plan.trees().filter_map(|tree| tree.ids.as_ref()) {
        if !made.iter().any(|(known, _)| known == ids) {
            made.push((ids.clone(), with_ids(ids, cgroup)?));
        }
    }
    Ok(made)
}

/// A user namespace with these ids. There is none without a process that it was made for: here an init
/// that gets no plan.
fn with_ids(ids: &IdMaps, cgroup: &Cgroup) -> Result<OwnedFd, Error> {
    let (control, childs_end) = control_socket()?;
    let null = host_null()?;
    let spawned = spawn(&Spawn {
        program: init_program()?,
        descriptors: &[null, null, null, childs_end.as_fd()],
        namespaces: CLONE_NEWUSER,
        cgroup: cgroup.birthplace(),
    })
    .map_err(spawn_error)?;
    drop(childs_end);
    let holder = Cell::new(spawned.pidfd, spawned.pid, control, false);
    let opened = in_proc(holder.pidfd()).and_then(|proc| {
        write_map(&proc, "uid_map", &ids.uid)?;
        write_map(&proc, "gid_map", &ids.gid)?;
        open_namespace(&proc)
    });
    holder.put_down();
    opened
}

fn open_namespace(proc: &OwnedFd) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let open = || openat(proc, "ns/user", flags, Mode::empty());
    fault::at(Point::UserNamespace, open)
        .map_err(|errno| Error::system("open the user namespace", errno))
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

fn lower_oom_score(proc: &OwnedFd, adjust: i32) -> io::Result<usize> {
    let file = openat(proc, "oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::io::write(file, adjust.to_string().as_bytes())?)
}

/// The most of a map that an error text repeats.
const MOST_SHOWN: usize = 100;

fn write_map(proc: &OwnedFd, name: &str, map: &str) -> Result<(), Error> {
    let file = openat(proc, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    // One write call: the kernel takes a map whole or not at all.
    let written =
        file.and_then(|file| fault::at(Point::IdMap, || rustix::io::write(file, map.as_bytes())));
    let whole = written.map_err(io::Error::from).and_then(|count| match count == map.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    });
    whole.map_err(|source| {
        let mut map = map.trim_end().replace('\n', ", ");
        if map.len() > MOST_SHOWN {
            map.truncate(MOST_SHOWN);
            map.push_str("...");
        }
        Error::Maps { map, source }
    })
}
