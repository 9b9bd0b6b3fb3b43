//! Resource limits of another process, by the kernel's numbers.

use std::io;

use super::abi::Rlimit64;
use super::raw::{self, nr};

/// Raises the hard limit `resource` of process `pid` to at least `hard`.
pub(crate) fn raise_hard(pid: i32, resource: u64, hard: u64) -> io::Result<()> {
    let mut limit = Rlimit64::default();
    let args = [pid as usize, resource as usize, 0, &raw mut limit as usize];
    // SAFETY: the kernel writes one structure, and no new value is given.
    unsafe { raw::syscall(nr::prlimit64, args) }
        .map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
    if limit.hard >= hard {
        return Ok(());
    }
    limit.hard = hard;
    let args = [pid as usize, resource as usize, &raw const limit as usize, 0];
    // SAFETY: the kernel reads one structure, and no old value is asked for.
    match unsafe { raw::syscall(nr::prlimit64, args) } {
        Ok(_) => Ok(()),
        Err(errno) => Err(io::Error::from_raw_os_error(errno.0)),
    }
}
