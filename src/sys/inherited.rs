//! Descriptors that this program was started with, by their numbers.

use std::os::fd::{FromRawFd, OwnedFd};

use super::abi::F_DUPFD_CLOEXEC;
use super::raw::{self, Errno, nr};

/// A copy of the descriptor `number`, if whoever executed this program left it open for it.
///
/// What this program opened by itself is closed on exec, which what came through one can't be: so the
/// number stands for the caller's descriptor, or for none, and never for one of ours.
pub(crate) fn inherited(number: u32) -> Result<OwnedFd, Errno> {
    const F_GETFD: usize = 1;
    const FD_CLOEXEC: usize = 1;
    // SAFETY: numbers only.
    let flags = unsafe { raw::syscall(nr::fcntl, [number as usize, F_GETFD]) }?;
    if flags & FD_CLOEXEC != 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: numbers only.
    let copy = unsafe { raw::syscall(nr::fcntl, [number as usize, F_DUPFD_CLOEXEC, 0]) }?;
    // SAFETY: the kernel has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy as i32) })
}

/// Keeps what this program was started with, from descriptor `first` on, from every program that it
/// executes itself.
#[cfg(feature = "cli")]
pub(crate) fn keep_from(first: u32) -> Result<(), Errno> {
    let args = [first as usize, u32::MAX as usize, super::abi::CLOSE_RANGE_CLOEXEC];
    // SAFETY: numbers only; nothing is closed before an exec.
    unsafe { raw::syscall(nr::close_range, args) }.map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn what_this_program_opened_is_not_inherited() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(inherited(file.as_raw_fd() as u32).unwrap_err(), Errno::EBADF);
        assert_eq!(inherited(1 << 20).unwrap_err(), Errno::EBADF);
        assert!(inherited(2).is_ok(), "a stream comes from outside");
    }
}
