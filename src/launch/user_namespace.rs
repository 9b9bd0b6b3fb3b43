//! What the parent does for a cell with ids of its own: the maps, and the mounts that the init can't
//! reach, between the birth of its init and the plan; before that, the ids of a namespace it joins.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use std::time::Instant;

use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespaceType, Spec};
use rustix::fs::{Mode, OFlags, fstat, openat, stat};

use super::control::{control_socket, send_all};
use super::failure::{died, failed, spawn_error};
use super::joined::open_one;
use super::plan::{Given, IdMaps, Joined, Plan, Step};
use super::program::init_program;
use super::stdio::host_null;
use super::target::in_proc;
use super::{Cell, Error, report, trees};
use crate::cgroup::Cgroup;
use crate::fault::{self, Point};
use crate::init::wire::{Kind, Report};
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
    trees::detach_all(plan.trees(), Some(open_namespace(&proc)?.as_fd()), others)
}

/// Opens the user namespace that the specification joins, if it joins one, and puts its ids into the
/// specification: from here on they are the same as those of a namespace of the cell's own.
pub(super) fn joined(spec: &mut Spec, cgroup: &Cgroup) -> Result<Option<OwnedFd>, Error> {
    let linux = spec.linux().as_ref();
    let listed = linux.and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let of_ids = listed.iter().find(|one| one.typ() == LinuxNamespaceType::User);
    let path = of_ids.and_then(|found| found.path().clone()).filter(|path| path.is_absolute());
    let Some(path) = path else {
        return Ok(None);
    };
    let field = || "linux.namespaces: user".to_owned();
    let joined = Joined { flag: CLONE_NEWUSER, name: "user", path };
    let file = open_one(&joined)?;
    let identity = |found: rustix::fs::Stat| (found.st_dev, found.st_ino);
    let look = |errno| Error::system("look at a user namespace", errno);
    let own = stat("/proc/self/ns/user").map_err(look)?;
    if identity(fstat(&file).map_err(look)?) == identity(own) {
        let why = format!("{} is the host's own: leave it out", joined.path.display());
        return Err(Error::Invalid { field: field(), why });
    }
    let ids = ids_inside(&file, cgroup)?;
    refuse_others(spec, &ids)?;
    set_maps(spec, &ids)?;
    Ok(Some(file))
}

/// The ids of a user namespace, which only one who is inside can show: an init that enters it, and
/// no more than that.
fn ids_inside(namespace: &OwnedFd, cgroup: &Cgroup) -> Result<IdMaps, Error> {
    let mut given = Vec::new();
    let descriptor = Given::Namespace(CLONE_NEWUSER).to(&mut given);
    let enter = Step::EnterNamespace { name: "user", flag: CLONE_NEWUSER, descriptor };
    let plan = Plan { steps: vec![enter, Step::Pause], given, ..Plan::default() };
    let (control, childs_end) = control_socket()?;
    send_all(&control, &plan.encode()?, Point::PlanHeader)?;
    let null = host_null()?;
    let spawned = spawn(&Spawn {
        program: init_program()?,
        name: None,
        descriptors: &[null, null, null, childs_end.as_fd(), namespace.as_fd()],
        namespaces: 0,
        cgroup: Some(cgroup.birthplace()),
    })
    .map_err(spawn_error)?;
    drop(childs_end);
    let guide = Cell::new(spawned.pidfd, spawned.pid, control, false);
    let ids = match report::next(guide.control(), Instant::now() + report::PATIENCE) {
        Ok(Some(Report { kind: Kind::Paused, .. })) => {
            in_proc(guide.pidfd()).and_then(|proc| maps_of(&proc))
        }
        Ok(Some(report)) if report.kind == Kind::Failed => Err(failed(&plan, &report)),
        Ok(_) => Err(died(guide.peek_briefly(), cgroup)),
        Err(error) => Err(error),
    };
    guide.put_down();
    ids
}

/// The maps of the user namespace of a process, by its directory in /proc.
pub(super) fn maps_of(proc: &OwnedFd) -> Result<IdMaps, Error> {
    let read = |name| -> Result<String, Error> {
        let mut text = String::new();
        let file = openat(proc, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        file.map_err(io::Error::from)
            .and_then(|file| std::fs::File::from(file).read_to_string(&mut text))
            .map_err(|error| Error::system("read the ids of a user namespace", error))?;
        Ok(text)
    };
    Ok(IdMaps { uid: read("uid_map")?, gid: read("gid_map")? })
}

/// Puts the maps into the specification, in place of what it says.
pub(super) fn set_maps(spec: &mut Spec, ids: &IdMaps) -> Result<(), Error> {
    let (uids, gids) = (mappings(&ids.uid)?, mappings(&ids.gid)?);
    if let Some(linux) = spec.linux_mut() {
        linux.set_uid_mappings(Some(uids)).set_gid_mappings(Some(gids));
    }
    Ok(())
}

/// The lines of a map, by the first id inside.
fn mappings(text: &str) -> Result<Vec<LinuxIdMapping>, Error> {
    let unknown = || Error::system("read the ids of a user namespace", io::ErrorKind::InvalidData);
    let line = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<u32>().ok());
        let mut next = || numbers.next().flatten().ok_or_else(unknown);
        let mapping =
            LinuxIdMappingBuilder::default().container_id(next()?).host_id(next()?).size(next()?);
        mapping.build().map_err(|_| unknown())
    };
    let mut all = text.lines().map(line).collect::<Result<Vec<_>, _>>()?;
    all.sort_by_key(LinuxIdMapping::container_id);
    Ok(all)
}

/// Refuses ids that are not those of the namespace that is joined. What podman writes there to have
/// something written, root alone as it is, stands for nothing.
fn refuse_others(spec: &Spec, ids: &IdMaps) -> Result<(), Error> {
    let Some(linux) = spec.linux() else {
        return Ok(());
    };
    for (field, said, known) in [
        ("linux.uidMappings", linux.uid_mappings(), &ids.uid),
        ("linux.gidMappings", linux.gid_mappings(), &ids.gid),
    ] {
        let mut said = said.clone().unwrap_or_default();
        said.sort_by_key(LinuxIdMapping::container_id);
        let numbers = |one: &LinuxIdMapping| (one.container_id(), one.host_id(), one.size());
        let nothing = said.is_empty() || said.iter().map(numbers).eq([(0, 0, 1)]);
        if !nothing && said != mappings(known)? {
            let why = format!(
                "are not those of the user namespace that is joined ({}); leave them out",
                known.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
            );
            return Err(Error::Invalid { field: field.to_owned(), why });
        }
    }
    Ok(())
}

/// Does the same for a cell that joins the user `namespace`, or is in none.
pub(super) fn enter(
    cell: &Cell,
    plan: &Plan,
    namespace: Option<BorrowedFd<'_>>,
    others: &[(IdMaps, OwnedFd)],
) -> Result<Vec<OwnedFd>, Error> {
    if namespace.is_some() {
        raise_limits(cell, plan);
    }
    trees::detach_all(plan.trees_apart().0, namespace, others)
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
        name: None,
        descriptors: &[null, null, null, childs_end.as_fd()],
        namespaces: CLONE_NEWUSER,
        cgroup: Some(cgroup.birthplace()),
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
