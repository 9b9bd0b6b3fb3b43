//! Hooks that run in the cell: a program is started and watched, and a bad end of it is told.
//!
//! ```text
//! init                                           the hook
//! clone(VFORK | PIDFD), in a copy of the memory ─► streams, no other descriptor, signals, execve
//! poll the pidfd until its time is up
//! reap it; a bad end: say so, and end
//! ```
//!
//! One before the root is entered is a program of the host's, found by the host's paths, and runs
//! with the init's rights in the root. Nothing that it started goes on when the root is entered: the
//! kernel would take that along, and the image would decide what it executes. One after that is the cell's own, found by the cell's paths:
//! hostile. By then the init has the task's rights, is bound by the task's filter, and has let go of
//! what the cell was built with.

use core::sync::atomic::{AtomicU64, Ordering};

use super::cell::Cell;
use super::kernel::{self, Fault, Fd, Outcome, Text};
use super::line::Line;
use super::plan::Plan;
use super::run::SETUP_FAILED;
use super::wire::{CONTROL_FD, Kind, OF_THE_CELL, Step};
use crate::sys::abi::*;
use crate::sys::raw::{Errno, nr};

/// How much of what a hook wrote is told.
const TOLD: usize = 4096;

/// How often it is looked whether what a hook left has ended: in all a second.
const LOOKS: usize = 100;

/// What the host's hooks may leave to others.
const UMASK: u64 = 0o022;

/// A program, and what it starts with.
struct Hook<'a> {
    path: Text,
    argv: *const usize,
    envp: *const usize,
    /// What it reads as its standard input.
    state: Fd,
    /// What it writes to.
    output: Fd,
    /// Where it starts, if not where this process is.
    directory: Option<&'a Fd>,
}

/// How a hook came to its end.
enum End {
    Status(i32),
    Late,
    Broken(Fault),
}

/// Lets the parent run hooks, which may mount what they like.
pub(crate) fn let_others_run(line: &Line, cell: &mut Cell) -> Outcome {
    cell.forget();
    line.pause()
}

/// Runs the hook of a step. A bad end of it is the init's too.
#[cold]
#[inline(never)]
pub(crate) fn run(line: &Line, plan: &mut Plan, cell: &mut Cell, step: &Step) -> Outcome {
    let of_the_cell = step.flags & OF_THE_CELL != 0;
    // It may mount what it likes.
    cell.forget();
    if of_the_cell {
        cell.let_go();
    }
    let [files, seconds, _] = step.number;
    let hook = Hook {
        path: plan.text(step.text[0])?,
        argv: plan.pointers(step.text[1])?,
        envp: plan.pointers(step.text[2])?,
        state: Fd(files as u32 as i32),
        output: Fd((files >> 32) as i32),
        directory: (!of_the_cell).then_some(cell.root()),
    };
    let end = match of_the_cell {
        true => hook.run(seconds),
        false => hook.run_alone(seconds),
    };
    let (kind, call, value) = match end {
        End::Status(0) => return Ok(()),
        End::Status(status) => (Kind::HookEnded, 0, status),
        End::Late => (Kind::HookLate, 0, seconds.min(i32::MAX as u64) as i32),
        End::Broken(fault) => (Kind::HookBroken, fault.call, fault.errno.0),
    };
    line.report(kind, 0, Fault { call, errno: Errno(value) });
    let mut output = [0; TOLD];
    let told = read_at_start(&hook.output, &mut output);
    for text in [plan.text(step.text[3])?.bytes(), b"\0", hook.path.bytes(), b"\0", told] {
        line.say(text);
    }
    kernel::exit(SETUP_FAILED)
}

impl Hook<'_> {
    /// Runs it, and sees that nothing of it is left.
    fn run_alone(&self, seconds: u64) -> End {
        // What loses its parent becomes this process's child, in every PID namespace.
        let adopt = |yes| kernel::prctl(PR_SET_CHILD_SUBREAPER, yes, 0);
        if let Err(fault) = adopt(1) {
            return End::Broken(fault);
        }
        match self.run(seconds) {
            End::Status(0) => match clear().and_then(|()| adopt(0)) {
                Ok(()) => End::Status(0),
                Err(fault) => End::Broken(fault),
            },
            end => end,
        }
    }

    fn run(&self, seconds: u64) -> End {
        let (pid, pidfd, failure) = match self.start() {
            Ok(started) => started,
            Err(fault) => return End::Broken(fault),
        };
        let ended = ends(&pidfd, seconds);
        if !matches!(ended, Ok(true)) {
            // It is not reaped yet, so the number is still its own.
            let _ = kernel::kill(pid, SIGKILL);
        }
        let status = match (ended, reap(pid, 0).map(|(_, status)| status)) {
            (Err(fault), _) | (_, Err(fault)) => return End::Broken(fault),
            (Ok(false), _) => return End::Late,
            (Ok(true), Ok(status)) => status,
        };
        match failure.load(Ordering::Relaxed) {
            0 => End::Status(status),
            failure => {
                let (call, errno) = ((failure >> 32) as u16, Errno(failure as i32));
                End::Broken(Fault { call, errno })
            }
        }
    }

    /// Starts it; returns when it has been executed or has failed, which the number tells: the call
    /// in the high half, its errno in the low one.
    fn start(&self) -> Outcome<(i32, Fd, &'static AtomicU64)> {
        let failure = shared_number()?;
        let mut pidfd = -1i32;
        let flags = CLONE_VFORK as usize | CLONE_PIDFD as usize | SIGCHLD as usize;
        // Not clone3, which filters refuse because they can't look into it. Without CLONE_VM the
        // child goes on in a copy of this memory, its stack included.
        // SAFETY: the kernel writes one int, to this process's memory alone.
        let pid =
            unsafe { kernel::call(nr::clone, [flags, 0, &raw mut pidfd as usize, 0, 0]) }? as i32;
        if pid != 0 {
            return Ok((pid, Fd(pidfd), failure));
        }
        let fault = match self.settle() {
            Ok(()) => Fault::new(nr::execve, kernel::exec(self.path, self.argv, self.envp)),
            Err(fault) => fault,
        };
        failure.store((fault.call as u64) << 32 | fault.errno.0 as u64, Ordering::Relaxed);
        kernel::exit(SETUP_FAILED)
    }

    /// In the child: all that is left to do before the exec. Nothing may be open then but the streams,
    /// for a link in an image may lead to what this process has open.
    fn settle(&self) -> Outcome {
        if let Some(directory) = self.directory {
            kernel::fchdir(directory)?;
            kernel::umask(UMASK)?;
        }
        kernel::duplicate_onto(&self.state, 0)?;
        kernel::duplicate_onto(&self.output, 1)?;
        kernel::duplicate_onto(&self.output, 2)?;
        kernel::close_from(CONTROL_FD)?;
        kernel::set_signal_mask(0)
    }
}

/// Whether the process ends within so many seconds; 0 are all the time there is.
fn ends(pidfd: &Fd, seconds: u64) -> Outcome<bool> {
    let mut watched = PollFd { fd: pidfd.0, events: POLLIN, revents: 0 };
    // Where a signal stops the call, the kernel leaves here what is left.
    let mut left = [seconds as i64, 0];
    let timeout = if seconds == 0 { 0 } else { left.as_mut_ptr() as usize };
    // SAFETY: one `struct pollfd`, and a `struct timespec` or none; no signal mask.
    unsafe { kernel::call(nr::ppoll, [&raw mut watched as usize, 1, timeout, 0, 0]) }
        .map(|ready| ready == 1)
}

/// The number and the wait status of this child, or of any for -1, once it has ended.
fn reap(pid: i32, options: usize) -> Outcome<(i32, i32)> {
    let mut status = 0i32;
    // SAFETY: the kernel writes one int.
    let ended =
        unsafe { kernel::call(nr::wait4, [pid as usize, &raw mut status as usize, options, 0]) }?;
    Ok((ended as i32, status))
}

/// Ends whatever a hook has left. Where that can't be told from processes of others it must end by
/// itself, soon.
fn clear() -> Outcome {
    // SAFETY: no arguments.
    let alone = unsafe { kernel::call::<0>(nr::getpid, []) }? == 1;
    if alone {
        // The first process of a PID namespace reaches all others in it, and none outside.
        match kernel::kill(-1, SIGKILL) {
            Err(fault) if !fault.is(Errno::ESRCH) => return Err(fault),
            _ => {}
        }
    }
    let options = if alone { 0 } else { WNOHANG };
    let mut looks = 0;
    loop {
        match reap(-1, options) {
            Ok((0, _)) if looks == LOOKS => return Err(Fault::new(nr::wait4, Errno::EBUSY)),
            Ok((0, _)) => {
                looks += 1;
                pause()?;
            }
            Err(fault) if fault.is(Errno::ECHILD) => return Ok(()),
            reaped => drop(reaped?),
        }
    }
}

/// Waits for 10 ms.
fn pause() -> Outcome {
    let mut time = [0i64, 10_000_000];
    // SAFETY: no `struct pollfd`, one `struct timespec`; no signal mask.
    unsafe { kernel::call(nr::ppoll, [0, 0, time.as_mut_ptr() as usize, 0, 0]) }.map(drop)
}

/// A number, 0 at first, that this process and its children have in common until they execute.
fn shared_number() -> Outcome<&'static AtomicU64> {
    let size = size_of::<AtomicU64>();
    let args = [0, size, PROT_READ_WRITE, MAP_SHARED_ANONYMOUS, usize::MAX, 0];
    // SAFETY: a fresh anonymous mapping aliases nothing.
    let start = unsafe { kernel::call(nr::mmap, args) }?;
    // SAFETY: the kernel just mapped a page there, zeroed, and nobody unmaps it.
    Ok(unsafe { &*(start as *const AtomicU64) })
}

/// What the file starts with; nothing of one that can't be read.
fn read_at_start<'a>(file: &Fd, bytes: &'a mut [u8]) -> &'a [u8] {
    let args = [file.0 as usize, bytes.as_mut_ptr() as usize, bytes.len(), 0];
    // SAFETY: the kernel writes into the slice only.
    let count = unsafe { kernel::call(nr::pread64, args) }.unwrap_or(0);
    bytes.get(..count).unwrap_or_default()
}
