//! The task: how it is executed, and how the parent is told.

use super::kernel::{self, Fault, Fd, Filter, Text};
use super::wire::{CONTROL_FD, Kind, Report};
use crate::sys::raw::{Errno, nr};

/// What is left to do when every step is done.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) stay: bool,
    pub(crate) born_inside: bool,
    pub(crate) filter: Filter,
    pub(crate) filter_flags: u32,
    /// What the init gives up once the task runs, low half and high half; the task's exec ends it.
    pub(crate) borrowed: [u32; 2],
    pub(crate) paths: *const usize,
    pub(crate) argv: *const usize,
    pub(crate) envp: *const usize,
}

/// Sends a record; a parent that has gone hears nothing, and then nothing is lost.
pub(crate) fn report(control: &Fd, kind: Kind, step: u32, fault: Fault) {
    let record = Report { kind, call: fault.call, step, value: fault.errno.0 };
    // Not sent but written: a filter that is in force by now may leave a task without sockets, rarely
    // without writing.
    let _ = kernel::write(control, &record.encode());
}

/// Executes the task in this process. Comes back only with the reason why that failed: "no such
/// file" when no candidate exists, else what the first existing one said, as a shell would.
pub(crate) fn become_task(task: &Task) -> Fault {
    // The filter comes last: it binds what follows, which is the exec alone, and what tells of its
    // failure. A capability that loading it needed ends with the exec, which makes the task's sets
    // anew of bounding, inheritable and ambient ones.
    let sealed = kernel::close_on_exec_from(CONTROL_FD)
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
