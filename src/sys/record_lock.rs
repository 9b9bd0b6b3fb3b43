//! Who has locked a file: the one question about record locks that rustix does not ask.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::raw::{self, nr};

/// `struct flock` of `fcntl`, as 64-bit kernels have it.
#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    start: i64,
    length: i64,
    pid: i32,
}

const F_OFD_GETLK: usize = 36;
const F_WRLCK: i16 = 1;
const F_UNLCK: i16 = 2;

/// The process whose lock would stand in the way of locking the whole file for writing. This process's
/// own lock counts too. 0 if it can't be seen from this PID namespace, -1 if the lock is a
/// descriptor's.
pub(crate) fn holder(file: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let mut lock = Flock { kind: F_WRLCK, whence: 0, start: 0, length: 0, pid: 0 };
    let args = [file.as_raw_fd() as usize, F_OFD_GETLK, &raw mut lock as usize];
    // SAFETY: the kernel reads and writes one `struct flock`.
    unsafe { raw::syscall(nr::fcntl, args) }
        .map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
    Ok((lock.kind != F_UNLCK).then_some(lock.pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    use rustix::fs::{FlockOperation, fcntl_lock};

    #[test]
    fn the_holder_is_told_even_if_it_is_this_process() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let other = file.reopen().unwrap();
        assert_eq!(holder(other.as_fd()).unwrap(), None);
        fcntl_lock(file.as_file(), FlockOperation::LockExclusive).unwrap();
        assert_eq!(holder(other.as_fd()).unwrap(), Some(std::process::id() as i32));
    }
}
