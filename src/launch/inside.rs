//! Hooks that the init runs inside the cell: their steps, what they read and write, how they failed.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use oci_spec::runtime::{Hook, Hooks, Spec};

use super::hooks::{describe, hook_state, memory};
use super::{Error, Given, Plan, Step};
use crate::bundle::Bundle;
use crate::init::wire::{Kind, Report};
use crate::sys::raw::{self, Errno};

/// How long hooks without a time limit may take, and all of them together: for ever, nearly.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// When a hook of the cell's namespaces runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InsidePoint {
    /// All is mounted, and the root is not entered yet: a program of the host's.
    CreateContainer,
    /// The command comes next: a program of the cell's.
    StartContainer,
}

impl InsidePoint {
    /// Whether the program is the cell's, and gets what the task gets.
    #[must_use]
    pub fn of_the_cell(self) -> bool {
        self == InsidePoint::StartContainer
    }

    /// What such a hook reads in the state that it gets.
    fn status(self) -> &'static str {
        match self {
            InsidePoint::CreateContainer => "creating",
            InsidePoint::StartContainer => "created",
        }
    }

    fn of(self, hooks: &Hooks) -> &[Hook] {
        let list = match self {
            InsidePoint::CreateContainer => hooks.create_container(),
            InsidePoint::StartContainer => hooks.start_container(),
        };
        list.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for InsidePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InsidePoint::CreateContainer => "createContainer",
            InsidePoint::StartContainer => "startContainer",
        })
    }
}

/// A hook that the init runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InsideHook {
    /// When.
    pub point: InsidePoint,
    /// Its point and its number there, from 0.
    pub name: String,
    /// The program, a path of the host's or of the cell's.
    pub path: String,
    /// Arguments, the program's name first.
    pub args: Vec<String>,
    /// Environment.
    pub env: Vec<String>,
    /// Seconds that it may take; 0 for all the time there is.
    pub timeout: u64,
    /// The number in the init of what it reads.
    pub state: usize,
    /// The number in the init of what it writes to.
    pub output: usize,
}

impl fmt::Display for InsideHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} ({})", self.name, self.path)
    }
}

/// The hooks of a specification for one point, in order, before they have their descriptors.
pub(super) fn steps(spec: &Spec, point: InsidePoint) -> Result<Vec<InsideHook>, Error> {
    let hooks = spec.hooks().as_ref().map(|hooks| point.of(hooks)).unwrap_or_default();
    hooks.iter().enumerate().map(|(number, hook)| compile(hook, point, number)).collect()
}

fn compile(hook: &Hook, point: InsidePoint, number: usize) -> Result<InsideHook, Error> {
    let invalid = |field: &str, why: String| Error::Invalid {
        field: format!("hooks.{point}[{number}].{field}"),
        why,
    };
    let path = hook.path();
    if !path.is_absolute() {
        return Err(invalid("path", format!("{path:?} is not an absolute path")));
    }
    let path = path.to_str().ok_or_else(|| invalid("path", "must be UTF-8".to_owned()))?.to_owned();
    let timeout = match hook.timeout() {
        None => 0,
        Some(seconds @ 1..) => seconds.unsigned_abs(),
        Some(seconds) => return Err(invalid("timeout", format!("{seconds} is not above 0"))),
    };
    let args = hook.args().clone().filter(|args| !args.is_empty());
    Ok(InsideHook {
        point,
        name: format!("{point} hook #{number}"),
        args: args.unwrap_or_else(|| vec![path.clone()]),
        path,
        env: hook.env().clone().unwrap_or_default(),
        timeout,
        state: 0,
        output: 0,
    })
}

/// Adds the hooks to the steps, and what they read and write to what the init starts with.
pub(super) fn add(hooks: Vec<InsideHook>, given: &mut Vec<Given>, steps: &mut Vec<Step>) {
    for mut hook in hooks {
        hook.state = Given::HookState.to(given);
        hook.output = Given::HookOutput.to(given);
        steps.push(Step::Hook(Box::new(hook)));
    }
}

fn hooks(plan: &Plan) -> impl Iterator<Item = &InsideHook> {
    plan.steps.iter().filter_map(|step| match step {
        Step::Hook(hook) => Some(hook.as_ref()),
        _ => None,
    })
}

/// How long the hooks may take before the caller hears of the cell.
pub(super) fn time(plan: &Plan) -> Duration {
    let at_once = plan.steps.iter().take_while(|step| !matches!(step, Step::Latch { .. }));
    let of = |step: &Step| match step {
        Step::Hook(hook) if hook.timeout == 0 => FOR_EVER,
        Step::Hook(hook) => Duration::from_secs(hook.timeout),
        _ => Duration::ZERO,
    };
    at_once.map(of).fold(Duration::ZERO, Duration::saturating_add).min(FOR_EVER)
}

/// What the hooks of a plan read and write, in order: files in memory, so that one that neither reads
/// nor writes can't make anybody wait, and neither can what it leaves running.
pub(super) struct Files(Vec<[File; 2]>);

impl Files {
    pub(super) fn of(plan: &Plan) -> Result<Files, Error> {
        let file = || memory().map_err(|error| Error::system("memfd_create for a hook", error));
        hooks(plan).map(|_| Ok([file()?, file()?])).collect::<Result<_, Error>>().map(Files)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order of what the init starts with.
    pub(super) fn each(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().flatten().map(AsFd::as_fd)
    }

    /// Writes the state that each hook reads; `pid` is the init's on the host.
    pub(super) fn fill(
        &self,
        plan: &Plan,
        bundle: &Bundle,
        id: Option<&str>,
        pid: i32,
    ) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let pid = inside(pid)?;
        for ([file, _], hook) in self.0.iter().zip(hooks(plan)) {
            let state = hook_state(bundle, id.unwrap_or_default(), hook.point.status(), pid);
            file.write_all_at(state.as_bytes(), 0)
                .map_err(|error| Error::system("write a hook's state", error))?;
        }
        Ok(())
    }
}

/// The number that a process which is a child of ours has for itself.
fn inside(pid: i32) -> Result<i32, Error> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|error| Error::system("read the status of the cell's process", error))?;
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let number = line.and_then(|line| line.split_whitespace().next_back()?.parse().ok());
    number.ok_or_else(|| Error::system("read NSpid", std::io::ErrorKind::InvalidData))
}

/// What a record says of a hook, with what came behind it; `None` for other records.
pub(super) fn failure(report: &Report, behind: &[u8]) -> Option<Error> {
    let mut texts = behind.splitn(3, |byte| *byte == 0).map(String::from_utf8_lossy);
    let [name, path, output] = [(); 3].map(|()| texts.next().unwrap_or_default());
    let why = match report.kind {
        Kind::HookEnded => describe(ExitStatus::from_raw(report.value)),
        Kind::HookLate => format!("timed out after {} s", report.value),
        Kind::HookBroken => {
            let error = std::io::Error::from_raw_os_error(report.value);
            match raw::name(usize::from(report.call)) {
                "execve" => format!("cannot execute {path}: {error}"),
                // The call itself never says so.
                "wait4" if report.value == Errno::EBUSY.0 => {
                    "left a process running, which nothing ends in a PID namespace of others"
                        .to_owned()
                }
                call => format!("{call}: {error}"),
            }
        }
        _ => return None,
    };
    Some(Error::Hook { hook: name.into_owned(), why, output: harmless(output.trim_end()) })
}

/// A program of the cell's may have written it to whoever's terminal it ends on.
fn harmless(text: &str) -> String {
    let strange = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    text.replace(strange, "\u{fffd}")
}
