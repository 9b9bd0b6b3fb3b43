//! A further process in a cell that runs.
//!
//! ```text
//! parent ──clone3(VM | VFORK | INTO_CGROUP), no namespaces──► init: own memory, not dumpable
//!        ──plan──►  steps: v1 cgroups, setns, directory, limits, capabilities, user
//!        ◄─AllClear─┤
//!                   └─clone(CLONE_PARENT)─► the task's process, the parent's own child
//!        ◄─Born, and a pidfd of it──────────┤        (the init that made it ends)
//!        ◄─end of stream: it runs, or Failed┘
//! ```
//!
//! Until the birth nothing in the cell sees the process, for it is in none of the cell's PID
//! namespace; from then on it has the task's rights and descriptors and nothing else (`init/enter.rs`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use oci_spec::runtime::{Process, Spec};
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::compile::{Entry, check_held, enter, keep_from_shared_root, may_trace_at_all, traces};
use super::control::{control_socket, send_all, send_with};
use super::failure::{died, failed, spawn_error};
use super::given::{self, Sources};
use super::listener::Handover;
use super::program::init_program;

use super::{Cell, Error, Listener, Plan, Stdio, Stream, listener, report, target, user_namespace};
use crate::bundle::Bundle;
use crate::cgroup::Cgroup;
use crate::fault::Point;
use crate::init::wire::{Kind, Report};
use crate::sys::abi::CLONE_NEWUSER;
use crate::sys::spawn::{Spawn, spawn};

/// A process to be started in a cell that runs.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The bundle that the cell was made of. Its own process does not count.
    pub bundle: &'a Bundle,
    /// The process.
    pub process: Process,
    /// A pidfd of the cell's first process; that it is this one, the caller has made sure.
    pub init: BorrowedFd<'a>,
    /// The cell's cgroup.
    pub cgroup: &'a Cgroup,
    /// The process's streams.
    pub stdio: Stdio,
    /// A connected unix socket, through which the master of the process's terminal goes to whoever
    /// will show it. For a `process.terminal`, whose streams are the terminal.
    pub console: Option<OwnedFd>,
    /// The cell's name, for the agent at `linux.seccomp.listenerPath`; without one there is none.
    pub id: Option<&'a str>,
    /// Whether a frozen cell is entered too. Then this waits until somebody thaws it.
    pub ignore_frozen: bool,
    /// How many descriptors of this process, from 3 on, the new one gets under the same numbers. Only
    /// what this program was executed with counts.
    pub preserved: u32,
}

/// Starts a further process in a cell and returns when it has been executed. It is this process's
/// child. Dropping what comes back lets it go on; it ends with the cell.
///
/// A cell that is frozen in this very moment holds the calling thread until it is thawed.
///
/// # Errors
/// [`Error::Ended`] when the cell's first process has ended, [`Error::Frozen`] when the cell is
/// frozen, else whatever failed, with its arguments. Then no process is left.
pub fn exec(exec: Exec<'_>) -> Result<Cell, Error> {
    let Exec { bundle, process, init, cgroup, stdio, console, id, ignore_frozen, preserved } = exec;
    if !ignore_frozen && cgroup.is_frozen()? {
        return Err(Error::Frozen);
    }
    keep_from_shared_root(bundle.spec(), &process)?;
    let namespaces = target::namespaces(init)?;
    let tasks = cgroup.tasks_files()?;
    let traced = traces(bundle.spec());
    let may_trace = may_trace_at_all(bundle.spec());
    let mut bundle = bundle.clone();
    let own_ids = namespaces & CLONE_NEWUSER != 0;
    if own_ids {
        // One that was joined has others than the specification says.
        let ids = user_namespace::maps_of(&target::in_proc(init)?)?;
        user_namespace::set_maps(bundle.spec_mut(), &ids)?;
    }
    let process = with_affinity(process, bundle.spec());
    bundle.spec_mut().set_process(Some(process));
    let entry = Entry {
        namespaces,
        traced: traced || traces(bundle.spec()),
        may_trace: may_trace || may_trace_at_all(bundle.spec()),
        joins: tasks.iter().map(|(hierarchy, _)| hierarchy.clone()).collect(),
        null_streams: stdio.each().map(|stream| matches!(stream, Stream::Null)),
        console: console.is_some(),
        preserved,
    };
    let plan = enter(&bundle, &entry)?;
    Listener::needs_name(&plan, id.is_some())?;
    let first = plan.listener.as_ref().map(|_| listener::number(init)).transpose()?;
    let mut agent = Handover::of(&plan, &bundle, id, "running", first);
    check_held(&plan, namespaces)?;
    let bytes = plan.encode()?;

    let (control, childs_end) = control_socket()?;
    let mut descriptors = stdio.descriptors()?;
    descriptors.push(childs_end.as_fd());
    let kept = given::kept(&plan)?;
    let sources = Sources::entering(init, console.as_ref(), &tasks, &kept);
    sources.add(&plan, &mut descriptors)?;
    // Without a limit to raise first, as much as fits lies ready for the child.
    let ready = match own_ids {
        true => 0,
        false => send_with(&control, &bytes, &[], SendFlags::DONTWAIT)?,
    };
    let spawned = spawn(&Spawn {
        program: init_program()?,
        name: None,
        descriptors: &descriptors,
        namespaces: 0,
        cgroup: Some(cgroup.birthplace()),
    })
    .map_err(spawn_error)?;
    let executed = Instant::now();
    drop((childs_end, stdio, console, tasks, kept));
    let entering = Cell::new(spawned.pidfd, spawned.pid, control, false);
    if own_ids {
        user_namespace::raise_limits(&entering, &plan);
    }
    let mut born = None;
    let settled = send_all(entering.control(), &bytes[ready..], Point::PlanWithMounts)
        .and_then(|()| settle(&entering, &plan, executed, &mut born, cgroup, &mut agent));
    match (settled, born) {
        (Ok(()), born) => Ok(entering.gone_over_to(born)),
        (Err(error), born) => {
            put_down_all(entering, born);
            // The cell's end explains whatever went wrong.
            Err(if is_ending(&error) || target::has_ended(init) { Error::Ended } else { error })
        }
    }
}

/// Whether there were no namespaces to enter any more. A process gives them back before its pidfd says
/// that it has ended.
fn is_ending(error: &Error) -> bool {
    let gone = Some(Errno::SRCH.raw_os_error());
    matches!(error, Error::Step { call: "setns", source, .. } if source.raw_os_error() == gone)
}

/// The cell's own process says on which CPUs those run that don't say it themselves.
fn with_affinity(mut process: Process, cell: &Spec) -> Process {
    if process.exec_cpu_affinity().is_none() {
        let first = cell.process().as_ref();
        let affinity = first.and_then(|first| first.exec_cpu_affinity().clone());
        process.set_exec_cpu_affinity(affinity);
    }
    process
}

/// Kills and reaps the init and whom it has brought into the world, `born` if that has told.
pub(super) fn put_down_all(init: Cell, mut born: Option<OwnedFd>) {
    put_down_group(&init);
    // Who has left the group has told before.
    let mut told = || report::next_with(init.control(), Instant::now(), &mut born);
    while matches!(told(), Ok(Some(_))) {}
    if let Some(born) = born {
        init.succeeded_by(born, 0).put_down();
    }
}

/// Reads the records of the init and of the task's process until it is clear whether that runs.
fn settle(
    entering: &Cell,
    plan: &Plan,
    since: Instant,
    born: &mut Option<OwnedFd>,
    cgroup: &Cgroup,
    agent: &mut Option<Handover<'_>>,
) -> Result<(), Error> {
    let mut deadline = since + report::PATIENCE;
    let mut all_clear = false;
    loop {
        match report::next_with(entering.control(), deadline, born)? {
            Some(Report { kind: Kind::AllClear, .. }) => all_clear = true,
            Some(Report { kind: Kind::Born, .. }) if born.is_some() => {
                listener::born(agent, born.as_ref())?;
            }
            Some(Report { kind: Kind::Listening, value, .. }) => {
                listener::listening(agent, entering, born.as_ref(), plan, value)?;
                // What the agent takes is not the init's time.
                deadline = Instant::now() + report::PATIENCE;
            }
            Some(report) if report.kind == Kind::Failed => return Err(failed(plan, &report)),
            // Both have let go of the socket.
            None if all_clear && born.is_some() == plan.has_birth() => return Ok(()),
            Some(_) | None => return Err(died(entering.peek_briefly(), cgroup)),
        }
    }
}

/// Kills and reaps the init, and what it has brought into the world without a word: a birth happens
/// in the init's own process group. Its number is nobody else's while one of them is not reaped.
fn put_down_group(entering: &Cell) {
    let group = Pid::from_raw(entering.pid());
    let Some(group) = group.filter(|group| kill_process_group(*group, Signal::KILL).is_ok()) else {
        // It has not come so far as to have a group of its own.
        return entering.put_down();
    };
    let deadline = Instant::now() + report::A_MOMENT;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    while Instant::now() < deadline {
        match waitid(WaitId::Pgid(Some(group)), options) {
            Ok(Some(_)) => {}
            Ok(None) => std::thread::yield_now(),
            Err(_) => return,
        }
    }
}
