//! Binds this process to a system call filter.

use std::io;

use super::raw::{self, nr};

/// `struct sock_fprog`.
#[repr(C)]
struct Filter {
    length: u16,
    instructions: *const u64,
}

/// Binds the calling thread, and those it starts from here on, to a program of `struct sock_filter`.
/// It must have set no_new_privs, or have `CAP_SYS_ADMIN`.
pub(crate) fn load(instructions: &[u64], flags: u32) -> io::Result<()> {
    const SET_MODE_FILTER: usize = 1;
    let length = u16::try_from(instructions.len());
    let length = length.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let filter = Filter { length, instructions: instructions.as_ptr() };
    let args = [SET_MODE_FILTER, flags as usize, (&raw const filter) as usize];
    // SAFETY: the structure gives a slice's place and length, and both outlive the call.
    match unsafe { raw::syscall(nr::seccomp, args) } {
        Ok(_) => Ok(()),
        Err(errno) => Err(io::Error::from_raw_os_error(errno.0)),
    }
}
