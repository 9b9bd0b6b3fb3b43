//! Entering namespaces of others, and a birth among their processes.
//!
//! ```text
//! init, child of the parent, seen by nobody in there
//!   steps: cgroups, namespaces, directory, limits, capabilities, user
//!   clone(CLONE_PARENT) ──► the task's process, seen in there from here on: says who it is, exec
//!   exit
//! ```
//!
//! Where others are, what gives up privilege comes before the birth. Whatever one of them may do to a
//! process that appears beside it, there is nothing to gain: it has the task's rights and the task's
//! descriptors, and its memory holds this program and the plan. In a PID namespace of the cell's own
//! nobody is there yet, and the birth comes first.

use super::cell::Cell;
use super::kernel::{self, Fd, Filter, Outcome};
use super::line::Line;
use super::plan::Plan;
use super::terminal;
use super::wire::{BOUND_EARLY, Kind, LISTENED, Report, SENT, Step};
use crate::sys::abi::*;
use crate::sys::raw::nr;

/// Enters the cgroup whose `tasks` file the step names.
pub(crate) fn join(plan: &mut Plan, step: &Step) -> Outcome {
    let number = step.number[0];
    let tasks = if step.flags & SENT != 0 { plan.tree(number)? } else { Fd(number as i32) };
    kernel::write(&tasks, b"0").map(drop)
}

/// Enters the namespace that is open, or the namespaces (`CLONE_NEW*`) of the process behind the
/// pidfd, all or none.
pub(crate) fn enter(namespace: Fd, kinds: u64) -> Outcome {
    kernel::enter_namespace(&namespace, kinds)?;
    // A change of user namespace makes the process dumpable by the host's policy again.
    kernel::prctl(PR_SET_DUMPABLE, 0, 0)
}

/// Enters the namespaces of a cell that runs, and takes nothing along that shows the host's processes.
pub(crate) fn enter_cell(cell: &mut Cell, target: Fd, kinds: u64) -> Outcome {
    cell.proc = None;
    enter(target, kinds)
}

/// Gives the parent a pidfd of this process: it has no other way to know its number, and none at all
/// to be sure of it.
///
/// Before it leaves the session that it was born in: until then the parent finds it there.
fn tell(control: &Fd) -> Outcome {
    let record = Report { kind: Kind::Born, call: 0, step: 0, value: 0 };
    kernel::send_with(control, &record.encode(), &kernel::own_pidfd()?)
}

/// Goes on as a new process where this one's children are born, the parent's own child. This one ends.
pub(crate) fn be_born(line: &Line, plan: &mut Plan, cell: &mut Cell) -> Outcome {
    let terminal = cell.terminal;
    *cell = Cell::new();
    if plan.header.birth & BOUND_EARLY != 0 {
        bind(line, plan)?;
    }
    // Without CLONE_VM the child goes on in a copy of this memory, its stack included.
    // SAFETY: numbers only; nothing else runs in this memory.
    if unsafe { kernel::call(nr::clone, [CLONE_PARENT as usize, 0, 0, 0, 0]) }? != 0 {
        kernel::exit(0);
    }
    tell(line.fd())?;
    // A session of its own, at the terminal if there is one.
    kernel::set_session()?;
    if terminal { terminal::control() } else { Ok(()) }
}

/// Binds this process to the filter now, and gives up what only loading it took: programs of the cell
/// come next, and could gain by a process that is not bound.
pub(crate) fn bind(line: &Line, plan: &mut Plan) -> Outcome {
    load(line, plan)?;
    kernel::give_up(core::mem::take(&mut plan.header.borrowed))
}

/// Binds this process to the filter, unless it is bound already.
pub(crate) fn load(line: &Line, plan: &mut Plan) -> Outcome {
    let (filter, flags) = (plan.filter()?, plan.header.filter_flags);
    match plan.header.birth & LISTENED {
        0 => kernel::set_filter(&filter, flags)?,
        _ => listen(line, &filter, flags)?,
    }
    plan.header.filter_length = 0;
    Ok(())
}

/// Loads the filter and has the parent take its listener.
///
/// Calls from here on may be left to whoever gets it, who may say that what he did not do is done. So
/// what must not outlive the exec is closed by it already, the listener included.
fn listen(line: &Line, filter: &Filter, flags: u32) -> Outcome {
    if filter.length == 0 {
        return Ok(());
    }
    kernel::close_on_exec_from(line.closed_from)?;
    let listener = kernel::set_listened_filter(filter, flags)?;
    // By its number: a filter may well leave the sending of messages to the agent that has still to
    // get this.
    line.ask(Kind::Listening, listener.0)
}
