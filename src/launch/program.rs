//! The init as an open file: embedded in the library, kept in one sealed memfd per process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::{Errno, write};

use super::Error;
use super::error::missing_call;
use crate::fault::{self, Point};

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hotcell-init"));

/// The init, ready for `execveat`. A cell can see it as /proc/1/exe, so it is sealed: no write,
/// no change of size, no further seals, whoever opens it.
pub(super) fn init_program() -> Result<BorrowedFd<'static>, Error> {
    static MEMFD: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(memfd) = MEMFD.get() {
        return Ok(memfd.as_fd());
    }
    let made = make()?;
    Ok(MEMFD.get_or_init(|| made).as_fd())
}

fn make() -> Result<OwnedFd, Error> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let failed = |source: io::Error| {
        let hint = match missing_call(&source) {
            "" => " (is vm.memfd_noexec=2 set? the init must be executable)",
            hint => hint,
        };
        Error::System { call: "memfd_create", hint, source }
    };
    // Kernels before 6.3 don't know the flag and make every memfd executable.
    let memfd =
        match fault::at(Point::Memfd, || memfd_create("hotcell-init", flags | MemfdFlags::EXEC)) {
            Err(Errno::INVAL) => memfd_create("hotcell-init", flags),
            made => made,
        }
        .map_err(|errno| failed(errno.into()))?;
    let mut rest = PROGRAM;
    while !rest.is_empty() {
        let count = fault::at(Point::MemfdWrite, || write(&memfd, rest))
            .map_err(|errno| Error::system("write to a memfd", errno))?;
        rest = &rest[count..];
    }
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fault::at(Point::MemfdSeal, || fcntl_add_seals(&memfd, seals))
        .map_err(|errno| Error::system("fcntl(F_ADD_SEALS)", errno))?;
    Ok(memfd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn nobody_can_write_to_it() {
        let program = init_program().unwrap();
        assert_eq!(write(program, b"x"), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(program, 0), Err(Errno::PERM));
        assert_eq!(init_program().unwrap().as_raw_fd(), program.as_raw_fd());
    }
}
