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
use super::task::{Task, become_task};
use super::terminal;
use super::wire::{BOUND_EARLY, Kind, Report};
use crate::sys::abi::*;
use crate::sys::raw::nr;

/// Enters the namespaces (`CLONE_NEW*`) of the process behind the pidfd, all or none.
pub(crate) fn enter(process: Fd, namespaces: u64) -> Outcome {
    kernel::enter_namespace(&process, namespaces)?;
    // A change of user namespace makes the process dumpable by the host's policy again.
    kernel::prctl(PR_SET_DUMPABLE, 0, 0)
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
pub(crate) fn be_born(line: &Line, task: &mut Task) -> Fault {
    if let Err(fault) = bind_early(task) {
        return fault;
    }
    // Without CLONE_VM the child goes on in a copy of this memory, its stack included.
    // SAFETY: numbers only; nothing else runs in this memory.
    match unsafe { kernel::call(nr::clone, [CLONE_PARENT as usize, 0, 0, 0, 0]) } {
        Ok(0) => {}
        Ok(_) => kernel::exit(0),
        Err(fault) => return fault,
    }
    match tell(line.fd()).and_then(|()| settle(task)) {
        Ok(()) => become_task(task, line.closed_from),
        Err(fault) => fault,
    }
}

/// A session of its own, at the terminal if there is one.
fn settle(task: &Task) -> Outcome {
    kernel::set_session()?;
    if task.terminal { terminal::control() } else { Ok(()) }
}

/// Loads the filter before the birth where the right to do so must not be born into the cell.
fn bind_early(task: &mut Task) -> Outcome {
    if task.birth & BOUND_EARLY == 0 {
        return Ok(());
    }
    kernel::set_filter(&task.filter, task.filter_flags)?;
    task.filter.length = 0;
    kernel::give_up(task.borrowed)
}
