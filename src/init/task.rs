//! The task: how it is found and executed.

use super::files;
use super::kernel::{self, Fault, Filter, Outcome, Text};
use super::plan::Plan;
use crate::sys::raw::{Errno, nr};

/// What is left to do when every step is done.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) stay: bool,
    pub(crate) filter: Filter,
    pub(crate) filter_flags: u32,
    /// What the init gives up once the task runs, low half and high half; the task's exec ends it.
    pub(crate) borrowed: [u32; 2],
    pub(crate) paths: *const usize,
    pub(crate) argv: *const usize,
    pub(crate) envp: *const usize,
}

impl Task {
    /// The command as it was given.
    pub(crate) fn name(&self) -> Text {
        // SAFETY: `Plan::pointers` made a NULL-terminated array of pointers to strings.
        Text::from_pointer(unsafe { self.argv.read() }).unwrap_or(Text::NONE)
    }
}

/// Looks for the command as its execution will, with the rights that it will have. Fails with "no
/// such file" when no candidate exists, else with what is wrong with the first existing one.
pub(crate) fn find(plan: &Plan) -> Outcome {
    let mut reason = Fault::new(nr::statx, Errno::ENOENT);
    for at in 0.. {
        let path = plan.list_entry(plan.header.paths, at)?;
        if path.bytes().is_empty() {
            break;
        }
        match files::executable(path) {
            Err(fault) if fault.is(Errno::ENOENT) || fault.is(Errno::ENOTDIR) => {}
            Err(fault) if fault.is(Errno::EACCES) => reason = fault,
            found => return found,
        }
    }
    Err(reason)
}

/// Executes the task in this process, with the descriptors below `closed_from`. Comes back only with
/// the reason why that failed: "no such file" when no candidate exists, else what the first existing
/// one said, as a shell would.
pub(crate) fn become_task(task: &Task, closed_from: usize) -> Fault {
    // The filter comes last: it binds what follows, which is the exec alone, and what tells of its
    // failure. A capability that loading it needed ends with the exec, which makes the task's sets
    // anew of bounding, inheritable and ambient ones.
    let sealed = kernel::close_on_exec_from(closed_from)
        .and_then(|()| kernel::set_signal_mask(0))
        .and_then(|()| kernel::set_filter(&task.filter, task.filter_flags));
    if let Err(fault) = sealed {
        return fault;
    }
    let mut reason = Errno::ENOENT;
    let mut slot = task.paths;
    loop {
        // SAFETY: `Plan::pointers` made a NULL-terminated array of pointers to strings.
        let pointer = unsafe { slot.read() };
        let Some(path) = Text::from_pointer(pointer) else {
            return Fault::new(nr::execve, reason);
        };
        let errno = kernel::exec(path, task.argv, task.envp);
        if errno != Errno::ENOENT && errno != Errno::ENOTDIR {
            reason = errno;
            // Only "not permitted" lets a later directory of PATH have a try.
            if errno != Errno::EACCES {
                return Fault::new(nr::execve, reason);
            }
        }
        // SAFETY: the terminating NULL has not been reached.
        slot = unsafe { slot.add(1) };
    }
}
