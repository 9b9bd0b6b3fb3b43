//! Entering a cell that runs: its namespaces, and a birth among its processes.
//!
//! ```text
//! init, child of the parent, seen by no process of the cell
//!   steps: cgroups, namespaces, directory, limits, capabilities, user
//!   clone(CLONE_PARENT) ──► the task's process, seen by the cell from here on: says who it is, exec
//!   exit
//! ```
//!
//! What gives up privilege comes before the birth. Whatever a process of the cell may do to one that
//! appears beside it, there is nothing to gain: it has the task's rights and the task's descriptors,
//! and its memory holds this program and the plan.

use super::kernel::{self, Fault, Fd, Outcome};
use super::line::Line;
use super::run::SETUP_FAILED;
use super::task::{Task, become_task};
use super::wire::{Kind, Report};
use crate::sys::abi::*;
use crate::sys::raw::{self, nr};

/// Enough for the child's few frames, as for a staying init's.
const STACK: usize = 32 << 10;

/// Enters the namespaces (`CLONE_NEW*`) of the process behind the pidfd, all or none.
pub(crate) fn enter(process: Fd, namespaces: u64) -> Outcome {
    kernel::enter_namespace(&process, namespaces)?;
    // A change of user namespace makes the process dumpable by the host's policy again.
    kernel::prctl(PR_SET_DUMPABLE, 0, 0)
}

/// What the new process finds in its copy of this memory.
#[derive(Debug)]
struct Birth<'a> {
    line: &'a Line,
    task: &'a Task,
    steps: u32,
}

extern "C" fn child(birth: usize) -> ! {
    // SAFETY: this process has a copy of all memory, and runs nothing else in it.
    let birth = unsafe { &*(birth as *const Birth<'_>) };
    let fault = match tell(birth.line.fd()).and_then(|()| kernel::set_session()) {
        Ok(()) => become_task(birth.task, birth.line.closed_from),
        Err(fault) => fault,
    };
    birth.line.report(Kind::Failed, birth.steps, fault);
    kernel::exit(SETUP_FAILED)
}

/// Gives the parent a pidfd of this process: it has no other way to know its number, and none at all
/// to be sure of it.
///
/// Before it leaves the session that it was born in: until then the parent finds it there.
fn tell(control: &Fd) -> Outcome {
    let record = Report { kind: Kind::Born, call: 0, step: 0, value: 0 };
    kernel::send_with(control, &record.encode(), &kernel::own_pidfd()?)
}

/// Has the task's process born where this one's children are born, as the parent's own child, and
/// ends. Comes back only when that failed.
pub(crate) fn be_born(line: &Line, task: &Task, steps: u32) -> Fault {
    let stack = match kernel::allocate(STACK) {
        Ok(stack) => stack,
        Err(fault) => return fault,
    };
    let birth = Birth { line, task, steps };
    let args = CloneArgs {
        flags: CLONE_PARENT,
        stack: stack.as_mut_ptr() as u64,
        stack_size: STACK as u64,
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM the child runs in a copy of this memory, the fresh stack included.
    match unsafe { raw::clone3(&args, child, &raw const birth as usize) } {
        Ok(_) => kernel::exit(0),
        Err(errno) => Fault::new(nr::clone3, errno),
    }
}
