//! A fault that a test has put into the plan. Not part of an init that is not built for that.

use super::kernel::{self, Fault, Outcome};
use crate::sys::abi::PollFd;
use crate::sys::raw::Errno;

/// In [`Step::reserved`](super::wire::Step): end here, without a word. Lower numbers are an errno to
/// fail with.
pub const KILL: u32 = 0x1_0000;
/// In [`Step::reserved`](super::wire::Step): wait here for ever.
pub const HANG: u32 = 0x1_0001;

/// A call that the parent knows by no name, for none was made.
const NO_CALL: u16 = u16::MAX;

/// Does what the mark says before the step is done.
pub(crate) fn obey(mark: u32) -> Outcome {
    match mark {
        0 => Ok(()),
        KILL => kernel::exit(SILENT),
        HANG => loop {
            let _ = kernel::poll(&mut [NOBODY, NOBODY]);
        },
        errno => Err(Fault { call: NO_CALL, errno: Errno(errno as i32) }),
    }
}

/// A descriptor that poll ignores.
const NOBODY: PollFd = PollFd { fd: -1, events: 0, revents: 0 };

/// What the parent sees as the exit code of an init that ended here.
const SILENT: i32 = 99;
