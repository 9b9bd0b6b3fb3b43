//! What the failure of a launch was about, and what it mostly means.

use std::io;

use rustix::io::Errno;

use super::error::missing_call;
use super::{Error, Plan, Step, exit};
use crate::cgroup::Cgroup;
use crate::init::wire::{BEFORE_STEPS, Report};
use crate::sys::raw;
use crate::sys::spawn::SpawnError;

/// The plan is ours, so a number is enough to say what failed, with its arguments.
pub(super) fn failed(plan: &Plan, report: &Report) -> Error {
    let source = io::Error::from_raw_os_error(report.value);
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
fn program_error(plan: &Plan, source: &io::Error) -> Error {
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
