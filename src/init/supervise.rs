//! The staying init: PID 1 of the cell. It starts the task, hands signals on, reaps orphans, and
//! ends with the task, which takes the whole PID namespace with it.

use core::ptr::{read_volatile, write_volatile};

use super::kernel::{self, Fault, Fd, Outcome};
use super::line::Line;
use super::memory::{self, STACK_AT};
use super::task::{Task, become_task};
use super::wire::{CONTROL_FD, Kind};
use crate::sys::abi::*;
use crate::sys::raw::{self, Errno, nr};

/// Enough for the few frames of the child, and then of this init; they run no recursion and have no buffers
/// larger than a path.
const STACK: usize = 32 << 10;
/// What a shell adds to the number of a fatal signal.
const SIGNALLED: i32 = 128;

/// What the child shares with the init until it has exec'd.
#[derive(Debug)]
struct Shared<'a> {
    task: &'a Task,
    closed_from: usize,
    call: u16,
    errno: i32,
}

extern "C" fn child(shared: usize) -> ! {
    let shared = shared as *mut Shared<'_>;
    // SAFETY: the init waits (CLONE_VFORK) while this runs, so the structure is this child's alone.
    let (task, closed_from) = unsafe {
        (read_volatile(&raw const (*shared).task), read_volatile(&raw const (*shared).closed_from))
    };
    let fault = match kernel::set_session() {
        Ok(()) => become_task(task, closed_from),
        Err(fault) => fault,
    };
    // SAFETY: as above.
    unsafe {
        write_volatile(&raw mut (*shared).call, fault.call);
        write_volatile(&raw mut (*shared).errno, fault.errno.0);
    }
    kernel::exit(0)
}

/// Starts the task on the stack and sees it exec.
fn start(task: &Task, closed_from: usize, stack: &mut [u8]) -> Outcome<i32> {
    let mut shared = Shared { task, closed_from, call: 0, errno: 0 };
    let args = CloneArgs {
        flags: CLONE_VM | CLONE_VFORK,
        exit_signal: SIGCHLD as u64,
        stack: stack.as_mut_ptr() as u64,
        stack_size: STACK as u64,
        ..CloneArgs::default()
    };
    // SAFETY: the stack is fresh and CLONE_VFORK keeps the init off `shared` until the child has
    // exec'd or exited; the init has no thread-local storage and no allocator.
    let pid = unsafe { raw::clone3(&args, child, &raw mut shared as usize) }
        .map_err(|errno| Fault::new(nr::clone3, errno))?;
    // SAFETY: the child is out of this memory now.
    let (call, errno) =
        unsafe { (read_volatile(&raw const shared.call), read_volatile(&raw const shared.errno)) };
    match errno {
        0 => kernel::give_up(task.borrowed).map(|()| pid),
        _ => Err(Fault { call, errno: Errno(errno) }),
    }
}

/// What the init has to look after.
struct Watch {
    line: Line,
    signals: Fd,
    task: i32,
}

/// Runs the task as a child until it ends. Comes back only when it could not be started.
pub(crate) fn supervise(line: &Line, task: &Task) -> Fault {
    let started = memory::allocate(STACK_AT, STACK).and_then(|stack| {
        let signals = kernel::signal_fd()?;
        Ok((start(task, line.closed_from, stack)?, signals, stack))
    });
    let (pid, signals, stack) = match started {
        Ok(started) => started,
        Err(fault) => return fault,
    };
    line.report_good(Kind::Started);
    // The task's ends of the streams are the task's: a reader must see their end with it.
    let _ = (Fd(0), Fd(1), Fd(2));
    for kept in CONTROL_FD..line.closed_from {
        let _ = kernel::close_number(kept);
    }
    // The child has left its stack: the page that it used is all that is needed from here on.
    let (stack, above) = stack.split_at_mut(STACK - 1024);
    let watch = above.as_mut_ptr().cast::<Watch>();
    // SAFETY: the memory is aligned, large enough, and nobody else's. The line goes along: nothing comes
    // back to the one that stays here.
    unsafe {
        watch.write(Watch { line: core::ptr::read(line), signals, task: pid });
        memory::settle_on(stack, look_after, watch as usize)
    }
}

/// Looks after the task, with as little memory as it takes.
extern "C" fn look_after(watch: usize) -> ! {
    // SAFETY: `supervise` has put it there.
    let Watch { line, signals, task } = unsafe { &*(watch as *const Watch) };
    memory::let_go_above();
    loop {
        let watch = |fd: &Fd| PollFd { fd: fd.0, events: POLLIN, revents: 0 };
        let mut watched = [watch(signals), watch(line.fd())];
        if kernel::poll(&mut watched).is_err() {
            kernel::exit(SIGNALLED + SIGKILL);
        }
        if watched[0].revents != 0 {
            forward_one(signals, *task);
            reap_all(line, *task);
        }
        if watched[1].revents != 0 && parent_gone(line.fd()) {
            kernel::exit(SIGNALLED + SIGKILL);
        }
    }
}

/// Reads one signal and hands it to the task, if it is not about children.
fn forward_one(signals: &Fd, task: i32) {
    // `struct signalfd_siginfo` is 128 bytes and starts with the number.
    let mut info = [0u8; 128];
    if kernel::read(signals, &mut info).is_err() {
        return;
    }
    let signal = i32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
    if signal != SIGCHLD {
        let _ = kernel::kill(task, signal);
    }
}

/// Reaps whoever has ended; with the task's end comes our own.
fn reap_all(line: &Line, task: i32) {
    while let Ok(Some((pid, status))) = kernel::reap() {
        if pid == task {
            line.report(Kind::Exited, 0, Fault { call: 0, errno: Errno(status) });
            let signal = status & 0x7f;
            kernel::exit(if signal == 0 { status >> 8 & 0xff } else { SIGNALLED + signal });
        }
    }
}

/// The parent never sends after the plan: whatever is readable is its end.
fn parent_gone(control: &Fd) -> bool {
    !matches!(kernel::read(control, &mut [0u8; 16]), Ok(count) if count > 0)
}
