//! Proc file systems that the init can't just make: the host's, and one of a PID namespace that it will be
//! born in, made from outside.
//!
//! The latter shows the namespace of the process that begins it, so a process in there has to
//! begin it. Whoever is in there may reach into that process. So it has no rights but in a user
//! namespace of its own, and nothing to see or to speak to: that is enough to begin a file system, and
//! not to make one. The init makes it.
//!
//! ```text
//! init ──clone──► leaves everything of the host's, enters, gives up all rights
//!                   └─clone─► in there: begins the file system ──descriptor──► init
//! ```

use core::mem::ManuallyDrop;

use super::cell::Cell;
use super::files;
use super::kernel::{self, Fault, Fd, Outcome, Text};
use crate::sys::abi::*;
use crate::sys::raw::{Errno, nr};

/// What the process in there does not share with anybody.
const APART: u64 = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

/// What a file system is begun with.
const SYS_ADMIN: u64 = 1 << 21;

/// Keeps the host's at hand, before anything stands in front of it. Whoever has ids of a cell's own and
/// the host's processes may not make one.
pub(crate) fn keep(cell: &mut Cell) -> Outcome {
    cell.proc = Some(files::open(Text::literal(c"/proc"), O_PATH)?);
    Ok(())
}

/// Begins the file system for the namespace open as descriptor `pid`; `mounts` is a mount namespace with nothing in it,
/// which is kept open if `keep` says so.
pub(crate) fn begin(cell: &mut Cell, pid: i32, mounts: Fd, keep: bool) -> Outcome {
    // Entered later.
    let pid = ManuallyDrop::new(Fd(pid));
    let mounts = ManuallyDrop::new(mounts);
    let (ours, theirs) = kernel::socket_pair()?;
    let helper = kernel::fork()?;
    if helper == 0 {
        send_begun(&pid, &mounts, &theirs);
    }
    drop(theirs);
    if !keep {
        drop(ManuallyDrop::into_inner(mounts));
    }
    let answer = receive(&ours);
    kernel::wait_for(helper)?;
    let begun = answer?;
    is_proc(&begun)?;
    cell.begun_proc = Some(begun);
    Ok(())
}

/// What came, or what went wrong in there.
fn receive(socket: &Fd) -> Outcome<Fd> {
    let (mut words, mut fds) = ([0; 8], [-1]);
    let (_, came) = kernel::receive(socket, &mut words, &mut fds)?;
    if came == 1 {
        return Ok(Fd(fds[0]));
    }
    let call = u16::from_ne_bytes([words[0], words[1]]);
    let errno = i32::from_ne_bytes([words[4], words[5], words[6], words[7]]);
    let errno = if errno > 0 { errno } else { Errno::ECHILD.0 };
    Err(Fault { call: if call > 0 { call } else { nr::wait4 as u16 }, errno: Errno(errno) })
}

/// The helper's life: it answers through the socket, itself or by its child.
fn send_begun(pid: &Fd, mounts: &Fd, socket: &Fd) -> ! {
    if let Err(Fault { call, errno }) = send_from_inside(pid, mounts, socket) {
        let mut words = [0; 8];
        words[..2].copy_from_slice(&call.to_ne_bytes());
        words[4..].copy_from_slice(&errno.0.to_ne_bytes());
        let _ = kernel::write(&ManuallyDrop::new(Fd(0)), &words);
    }
    kernel::exit(0)
}

fn send_from_inside(pid: &Fd, mounts: &Fd, socket: &Fd) -> Outcome {
    // The only thing it keeps.
    kernel::duplicate_onto(socket, 0)?;
    kernel::enter_namespace(mounts, CLONE_NEWNS)?;
    kernel::enter_namespace(pid, CLONE_NEWPID)?;
    kernel::unshare(APART)?;
    kernel::set_capabilities(SYS_ADMIN, SYS_ADMIN, 0)?;
    kernel::prctl(PR_SET_DUMPABLE, 0, 0)?;
    kernel::close_from(1)?;
    match kernel::fork()? {
        0 => {
            let socket = ManuallyDrop::new(Fd(0));
            let begun = files::new_file_system(Text::literal(c"proc"))?;
            kernel::send_with(&socket, &[0; 8], &begun)
        }
        child => kernel::wait_for(child),
    }
}

/// Sees that what has been begun is a proc file system: by an option that no other has, and one that
/// none has. Where others could reach, it may be anything.
fn is_proc(begun: &Fd) -> Outcome {
    files::configure(begun, Text::literal(c"hidepid"), Text::literal(c"0"))?;
    match files::configure(begun, Text::literal(c"hotcell"), Text::literal(c"0")) {
        Err(fault) if fault.is(Errno::EINVAL) => Ok(()),
        _ => Err(Fault::new(nr::fsconfig, Errno::EPERM)),
    }
}
