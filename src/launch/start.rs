//! The parent's half of a launch.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    send, sendmsg, socketpair,
};

use super::compile::{Place, check_held, compile};
use super::error::missing_call;
use super::exec::put_down_all;
use super::given::Sources;
use super::hooks::WhileMade;
use super::listener::Handover;
use super::program::init_program;
use super::{
    Cell, Error, Plan, Step, cell, exit, given, inside, joined, listener, report, target, trees,
    user_namespace,
};
use crate::bundle::Bundle;
use crate::cgroup::Cgroup;
use crate::fault::{self, Point};
use crate::init::wire::{BEFORE_STEPS, Header, Kind, MOST_TREES, Report};
use crate::sys::abi::CLONE_NEWUSER;
use crate::sys::spawn::{Spawn, SpawnError, Spawned, spawn};
use crate::sys::{namespace, raw};

/// One standard stream of a cell.
#[derive(Debug, Default)]
pub enum Stream {
    /// The cell's own null device.
    #[default]
    Null,
    /// This descriptor. The cell can reopen what it refers to: give it a pipe, not a file or a
    /// terminal of yours.
    Fd(OwnedFd),
}

/// The standard streams of a cell.
#[derive(Debug, Default)]
pub struct Stdio {
    /// Descriptor 0.
    pub stdin: Stream,
    /// Descriptor 1.
    pub stdout: Stream,
    /// Descriptor 2.
    pub stderr: Stream,
}

impl Stdio {
    pub(super) fn each(&self) -> [&Stream; 3] {
        [&self.stdin, &self.stdout, &self.stderr]
    }

    /// What the child starts with as 0, 1 and 2.
    pub(super) fn descriptors(&self) -> Result<Vec<BorrowedFd<'_>>, Error> {
        let mut descriptors = Vec::with_capacity(8);
        for stream in self.each() {
            descriptors.push(match stream {
                Stream::Null => host_null()?,
                Stream::Fd(fd) => fd.as_fd(),
            });
        }
        Ok(descriptors)
    }
}

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
    let tasks = cgroup.tasks_files()?;
    place.joins = tasks.iter().map(|(hierarchy, _)| hierarchy.clone()).collect();
    place.views = cgroup.views();
    place.null_streams = stdio.each().map(|stream| matches!(stream, Stream::Null));
    let user = user_namespace::joined(bundle.spec_mut(), cgroup)?;
    let (plan, namespaces) = compile(&bundle, &place)?;
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
            &trees::detach_all(&plan, None, &others)?,
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
        .and_then(|()| {
            // A specification is a thousand small pieces of memory: mostly it ends here.
            let mut agent = Handover::of(&plan, &bundle, id.as_deref(), "creating", None);
            let hooks = WhileMade::of(bundle, id);
            meanwhile();
            settle(&cell, &plan, executed, &mut born, cgroup, &hooks, &mut agent)
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

pub(super) fn control_socket() -> Result<(OwnedFd, OwnedFd), Error> {
    let flags = SocketFlags::CLOEXEC;
    fault::at(Point::ControlSocket, || {
        socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
    })
    .map_err(|errno| Error::system("socketpair", errno))
}

/// What the child starts with where it is going to open its own null device.
pub(super) fn host_null() -> Result<BorrowedFd<'static>, Error> {
    static NULL: OnceLock<File> = OnceLock::new();
    if NULL.get().is_none() {
        let open = || File::options().read(true).write(true).open("/dev/null");
        let file = fault::at(Point::HostNull, open)
            .map_err(|error| Error::system("open /dev/null", error))?;
        let _ = NULL.set(file);
    }
    NULL.get().map(AsFd::as_fd).ok_or_else(|| Error::system("open /dev/null", Errno::NXIO))
}

/// Sends as much as fits, and the mounts that come along; with `DONTWAIT` that may be nothing.
pub(super) fn send_with(
    control: &OwnedFd,
    bytes: &[u8],
    trees: &[OwnedFd],
    flags: SendFlags,
) -> Result<usize, Error> {
    let borrowed: Vec<_> = trees.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_TREES))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() && !along.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(Error::system("send the mounts", Errno::TOOBIG));
    }
    loop {
        let flags = flags | SendFlags::NOSIGNAL;
        let mut send = || sendmsg(control, &[IoSlice::new(bytes)], &mut along, flags);
        match fault::at(Point::PlanWithMounts, &mut send) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if flags.contains(SendFlags::DONTWAIT) => return Ok(0),
            // The child has gone; its report or its status says why.
            Err(Errno::PIPE | Errno::CONNRESET) => return Ok(bytes.len()),
            sent => return sent.map_err(|errno| Error::system("send the plan", errno)),
        }
    }
}

pub(super) fn send_all(control: &OwnedFd, mut bytes: &[u8], point: Point) -> Result<(), Error> {
    while !bytes.is_empty() {
        match fault::at(point, || send(control, bytes, SendFlags::NOSIGNAL)) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            // The child has gone; its report or its status says why.
            Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
            Err(errno) => return Err(Error::system("send the plan", errno)),
        }
    }
    Ok(())
}

/// Reads the init's records until it is clear whether the task runs.
fn settle(
    cell: &Cell,
    plan: &Plan,
    since: Instant,
    born: &mut Option<OwnedFd>,
    cgroup: &Cgroup,
    hooks: &WhileMade,
    agent: &mut Option<Handover<'_>>,
) -> Result<(), Error> {
    let birth = plan.has_birth();
    let patience = report::PATIENCE + inside::time(plan);
    let mut deadline = since + patience;
    let mut all_clear = false;
    if !plan.talks() {
        report::wait_for_end(cell.control(), deadline)?;
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

/// The plan is ours, so a number is enough to say what failed, with its arguments.
pub(super) fn failed(plan: &Plan, report: &Report) -> Error {
    let source = std::io::Error::from_raw_os_error(report.value);
    let call = raw::name(usize::from(report.call));
    match plan.steps.get(report.step as usize) {
        None if call == "execve" => {
            Error::Exec { command: plan.argv.first().cloned().unwrap_or_default(), source }
        }
        Some(Step::FindProgram) => program_error(plan, &source),
        step => {
            let before = report.step == BEFORE_STEPS;
            let other = if before {
                "leave the embedder's standing and namespaces"
            } else {
                "start the task"
            };
            let text = step.map_or_else(|| other.to_owned(), ToString::to_string);
            Error::Step {
                index: if before { 0 } else { plan.steps.len().min(report.step as usize + 1) },
                count: plan.steps.len(),
                step: format!(
                    "{text}{}{}",
                    step.map_or("", |step| step_hint(step, Errno::from_io_error(&source))),
                    missing_call(&source)
                ),
                call,
                source,
            }
        }
    }
}

/// What other runtimes say when the command is not there: their callers look for it.
fn program_error(plan: &Plan, source: &std::io::Error) -> Error {
    let command = plan.argv.first().cloned().unwrap_or_default();
    let errno = Errno::from_io_error(source).unwrap_or(Errno::NOENT);
    let why = match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::ISDIR | Errno::LOOP
            if !command.contains('/') =>
        {
            "executable file not found in $PATH".to_owned()
        }
        Errno::NOENT => format!("stat {command}: no such file or directory"),
        Errno::NOTDIR => format!("stat {command}: not a directory"),
        Errno::ACCESS => "permission denied".to_owned(),
        Errno::ISDIR => "is a directory".to_owned(),
        Errno::LOOP => "too many levels of symbolic links".to_owned(),
        _ => source.to_string(),
    };
    Error::NoProgram { command, why, errno: errno.raw_os_error() }
}

/// What a step's failure mostly means.
fn step_hint(step: &Step, errno: Option<Errno>) -> &'static str {
    match step {
        Step::OomScore { .. } => " (less than this process's own takes CAP_SYS_RESOURCE)",
        Step::Listen if errno == Some(Errno::INVAL) => {
            " (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV takes Linux 5.19)"
        }
        _ => "",
    }
}

pub(super) fn died(status: Option<i32>, cgroup: &Cgroup) -> Error {
    let how = match status {
        Some(status) => exit::describe(status),
        None => "no exit status within a second".to_owned(),
    };
    let oom = cgroup.oom_events().is_ok_and(|oom| oom.kills > 0);
    let why = if oom { ", killed by the kernel at its memory limit" } else { "" };
    Error::Died { how: format!("{how}{why}") }
}

pub(super) fn spawn_error(error: SpawnError) -> Error {
    let SpawnError { call, source } = error;
    let hint = match (call, Errno::from_io_error(&source)) {
        ("clone3", Some(Errno::AGAIN)) => " (a limit on processes was reached)",
        ("clone3", Some(Errno::NOENT)) => {
            " (the mounted cgroup tree lies outside this process's cgroup namespace: mount cgroup2 \
             anew in it)"
        }
        ("clone3", Some(Errno::PERM)) => " (CAP_SYS_ADMIN is needed)",
        ("prctl", Some(Errno::PERM)) => " (the securebits of the thread that starts it are locked)",
        ("clone3", Some(Errno::NOSPC)) => " (a limit on namespaces was reached)",
        ("execveat", Some(Errno::ACCESS)) => " (is vm.memfd_noexec=2 set?)",
        _ => missing_call(&source),
    };
    Error::System { call, hint, source }
}
