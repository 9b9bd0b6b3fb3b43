//! The parent's half of a launch.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::net::SendFlags;

use super::compile::{Place, check_held, compile, may_join_late};
use super::control::{control_socket, send_all, send_with};
use super::exec::put_down_all;
use super::failure::{died, failed, spawn_error};
use super::given::Sources;
use super::hooks::WhileMade;
use super::listener::Handover;
use super::program::init_program;
use super::{
    Cell, Error, IdMaps, Plan, Stdio, Stream, cell, given, inside, joined, listener, report,
    target, trees, user_namespace,
};
use crate::bundle::Bundle;
use crate::cgroup::Cgroup;
use crate::fault::Point;
use crate::init::wire::{Header, Kind, Report};
use crate::sys::abi::CLONE_NEWUSER;
use crate::sys::namespace;
use crate::sys::spawn::{Spawn, Spawned, spawn};

/// A running cell, and how long its parts of the launch took.
#[derive(Debug)]
pub struct Launched {
    /// What runs.
    pub cell: Cell,
    /// Turning the specification into a plan.
    pub compile: Duration,
    /// Until the init had been executed in its namespaces.
    pub spawn: Duration,
    /// Until the task had been executed.
    pub set_up: Duration,
}

/// Starts the bundle's process in the cgroup and returns when the task has been executed, or waits at
/// its latch: then nothing of this process is needed any more for it to go on. While the cell builds
/// itself, this thread does what it would have to do later: `meanwhile`.
///
/// # Errors
/// Whatever failed, with its arguments. Then no process is left; the directories and the cgroup
/// are the caller's.
pub fn launch(
    mut bundle: Bundle,
    cgroup: &Cgroup,
    stdio: Stdio,
    mut place: Place,
    meanwhile: impl FnOnce(),
) -> Result<Launched, Error> {
    let started = Instant::now();
    place.null_streams = stdio.each().map(|stream| matches!(stream, Stream::Null));
    let user = user_namespace::joined(bundle.spec_mut(), cgroup)?;
    let (tasks, (plan, namespaces)) = compile_for(&bundle, &mut place, cgroup)?;
    check_held(&plan, namespaces)?;
    let bytes = plan.encode()?;
    let compiled = Instant::now();

    let others = user_namespace::of_mounts(&plan, cgroup)?;
    let (control, childs_end) = control_socket()?;
    let mut descriptors = stdio.descriptors()?;
    descriptors.push(childs_end.as_fd());
    let kept = given::kept(&plan)?;
    let joined = joined::Files::open(&plan, user)?;
    let files = inside::Files::of(&plan)?;
    Sources::of(&place, &tasks, &kept, &joined, &files).add(&plan, &mut descriptors)?;
    let (header, body) = bytes.split_at(size_of::<Header>());
    // There before the child looks; without ids it waits for that first.
    if plan.ids.is_none() {
        send_all(&control, header, Point::PlanHeader)?;
    }
    // A child that has a namespace to make first gets the rest meanwhile. Any other would have to
    // wait, and it is there before this thread is awake again: as much as fits lies ready for it.
    // What hooks inside read is not written yet.
    let at_once = plan.ids.is_none() && plan.unshare == 0 && files.is_empty();
    let ready = match at_once && !plan.joins(CLONE_NEWUSER) {
        true => send_with(
            &control,
            body,
            &trees::detach_all(plan.trees_apart().0, None, &others)?,
            SendFlags::DONTWAIT,
        )?,
        false => 0,
    };
    let spawned = spawn_inside(&joined, &descriptors, namespaces, cgroup)?;
    let executed = Instant::now();
    let cell = Cell::new(spawned.pidfd, spawned.pid, control, plan.stay);
    let id = place.id.take();
    let filled = files.fill(&plan, &bundle, id.as_deref(), cell.pid());
    let trees = filled.and_then(|()| match &plan.ids {
        _ if ready > 0 => Ok(Vec::new()),
        None => user_namespace::enter(&cell, &plan, joined.of(CLONE_NEWUSER), &others),
        Some(maps) => user_namespace::settle(&cell, maps, &plan, &others)
            .and_then(|trees| send_all(cell.control(), header, Point::PlanHeader).map(|()| trees)),
    });
    // Only the child holds its end and its streams now: their end is the cell's end.
    drop((childs_end, stdio, tasks, kept, joined, place));
    let begun = trees.and_then(|trees| match ready {
        0 => send_with(cell.control(), body, &trees, SendFlags::empty()),
        ready => Ok(ready),
    });
    let mut born = None;
    let settled = begun
        .and_then(|sent| send_all(cell.control(), &body[sent..], Point::PlanWithMounts))
        .and_then(|()| send_cgroups(&cell, &plan, cgroup, &others))
        .and_then(|()| {
            // A specification is a thousand small pieces of memory: mostly it ends here.
            let mut agent = Handover::of(&plan, &bundle, id.as_deref(), "creating", None);
            let hooks = WhileMade::of(bundle, id);
            meanwhile();
            settle(&cell, &plan, &mut born, cgroup, &hooks, &mut agent)
        });
    match settled {
        Ok(()) => Ok(Launched {
            cell: cell.gone_over_to(born),
            compile: compiled - started,
            spawn: executed - compiled,
            set_up: executed.elapsed(),
        }),
        Err(error) => {
            put_down(cell, &plan, born);
            Err(error)
        }
    }
}

/// Makes the cgroups that the init waits for, and lets it go on in them.
fn send_cgroups(
    cell: &Cell,
    plan: &Plan,
    cgroup: &Cgroup,
    others: &[(IdMaps, OwnedFd)],
) -> Result<(), Error> {
    let Some(trees) = plan.trees_apart().1 else {
        return Ok(());
    };
    cgroup.complete()?;
    let tasks = cgroup.tasks_files()?.into_iter().map(|(_, file)| file);
    let along: Vec<_> = tasks.chain(trees::detach_all(trees, None, others)?).collect();
    send_with(cell.control(), b"1", &along, SendFlags::empty()).map(drop)
}

/// Open `tasks` files, by their hierarchies.
type TasksFiles = Vec<(Cow<'static, str>, OwnedFd)>;

/// Says what the cell is to know of its cgroups, and compiles. Gives those to join that it finds made.
fn compile_for(
    bundle: &Bundle,
    place: &mut Place,
    cgroup: &Cgroup,
) -> Result<(TasksFiles, (Plan, u64)), Error> {
    place.views = cgroup.views();
    place.later = !cgroup.is_complete() && may_join_late(bundle.spec());
    if place.later {
        place.joins = cgroup.to_join();
        match compile(bundle, place) {
            // It may be in one of the cgroups.
            Err(Error::Missing { .. }) => place.later = false,
            compiled => return Ok((Vec::new(), compiled?)),
        }
    }
    cgroup.complete()?;
    let tasks = cgroup.tasks_files()?;
    place.joins = tasks.iter().map(|(hierarchy, _)| hierarchy.clone()).collect();
    Ok((tasks, compile(bundle, place)?))
}

fn put_down(cell: Cell, plan: &Plan, born: Option<OwnedFd>) {
    match plan.has_birth() {
        true => put_down_all(cell, born),
        false => cell.put_down(),
    }
}

/// Starts the init in the namespaces that it is born in, others' and its own.
fn spawn_inside(
    joined: &joined::Files,
    descriptors: &[BorrowedFd<'_>],
    namespaces: u64,
    cgroup: &Cgroup,
) -> Result<Spawned, Error> {
    let (program, cgroup) = (init_program()?, cgroup.birthplace());
    let spawned = namespace::inside(&joined.born(), || {
        spawn(&Spawn { program, name: None, descriptors, namespaces, cgroup: Some(cgroup) })
    });
    spawned.map_err(|(call, source)| Error::system(call, source))?.map_err(spawn_error)
}

/// Reads the init's records until it is clear whether the task runs.
fn settle(
    cell: &Cell,
    plan: &Plan,
    born: &mut Option<OwnedFd>,
    cgroup: &Cgroup,
    hooks: &WhileMade,
    agent: &mut Option<Handover<'_>>,
) -> Result<(), Error> {
    let birth = plan.has_birth();
    let patience = report::PATIENCE + inside::time(plan);
    // What this process took until here is not the init's time.
    let mut deadline = Instant::now() + patience;
    let mut all_clear = false;
    if !plan.talks() {
        // If somebody else holds the other end too, what lies there is read all the same.
        let _ = report::wait_for_end(cell.control(), deadline);
    }
    loop {
        let report = match birth {
            true => report::next_with(cell.control(), deadline, born)?,
            false => report::next(cell.control(), deadline)?,
        };
        match report {
            Some(Report { kind: Kind::AllClear, .. }) => all_clear = true,
            Some(Report { kind: Kind::Started, .. }) if all_clear => return Ok(()),
            Some(Report { kind: Kind::Born, .. }) if birth && born.is_some() => {
                listener::born(agent, born.as_ref())?;
            }
            Some(Report { kind: Kind::Paused, .. }) => {
                let born = born.as_ref().and_then(|born| target::number(born.as_fd()).ok());
                hooks.run(born.unwrap_or(cell.pid()))?;
                send_all(cell.control(), b"1", Point::PlanWithMounts)?;
                // What hooks take is not the init's time.
                deadline = Instant::now() + patience;
            }
            Some(Report { kind: Kind::Listening, value, .. }) => {
                listener::listening(agent, cell, born.as_ref(), plan, value)?;
                // What the agent takes is not the init's time.
                deadline = Instant::now() + patience;
            }
            Some(report) if report.kind == Kind::Failed => return Err(failed(plan, &report)),
            Some(report) if report.kind.is_of_a_hook() => {
                let why = inside::failure(&report, &report::rest(cell.control()));
                return Err(why.unwrap_or_else(|| died(cell.wait_briefly(), cgroup)));
            }
            // The socket closed on exec, or at the latch.
            None if all_clear && !plan.stay && born.is_some() == birth => return Ok(()),
            Some(_) | None => {
                let status = match born {
                    Some(born) => cell::status_soon(born),
                    None if birth => cell.peek_briefly(),
                    None => cell.wait_briefly(),
                };
                return Err(died(status, cgroup));
            }
        }
    }
}
