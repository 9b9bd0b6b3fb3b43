//! Namespaces of others: what an open file stands for, and work done inside.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::thread::move_into_link_name_space;

use super::raw::{self, Errno, nr};
use super::spawn::SignalsBlocked;

/// `_IO(0xb7, 3)`: which kind of namespace a file stands for.
const NS_GET_NSTYPE: usize = 0xb703;

/// Which kind of namespace (`CLONE_NEW*`) the file stands for; `None` if for none.
pub(crate) fn kind(file: BorrowedFd<'_>) -> Result<Option<u64>, io::Error> {
    // SAFETY: numbers only.
    match unsafe { raw::syscall(nr::ioctl, [file.as_raw_fd() as usize, NS_GET_NSTYPE]) } {
        Ok(kind) => Ok(Some(kind as u64)),
        Err(Errno::ENOTTY | Errno::EINVAL | Errno::EBADF) => Ok(None),
        Err(errno) => Err(io::Error::from_raw_os_error(errno.0)),
    }
}

/// Does `work` in a thread that has entered the namespaces, and ends then: no other of this process
/// is ever in one of them. Of a PID namespace only the thread's children are part.
///
/// # Errors
/// The call that failed before `work`.
pub(crate) fn inside<T: Send>(
    namespaces: &[BorrowedFd<'_>],
    work: impl FnOnce() -> T + Send,
) -> Result<T, (&'static str, io::Error)> {
    if namespaces.is_empty() {
        return Ok(work());
    }
    // A handler of the embedder's must not run in there.
    let _blocked = SignalsBlocked::new();
    let enter_and_work = || {
        for namespace in namespaces {
            move_into_link_name_space(*namespace, None).map_err(|errno| ("setns", errno.into()))?;
        }
        Ok(work())
    };
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("hotcell-namespaces".to_owned());
        let thread = builder.spawn_scoped(scope, enter_and_work);
        let thread = thread.map_err(|error| ("start a thread", error))?;
        thread.join().unwrap_or_else(|_| Err(("thread", io::ErrorKind::Other.into())))
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::super::abi::{CLONE_NEWNET, CLONE_NEWUTS};
    use super::*;

    #[test]
    fn a_file_says_what_it_stands_for() {
        let of = |path: &str| kind(File::open(path).unwrap().as_fd()).unwrap();
        assert_eq!(of("/proc/self/ns/net"), Some(CLONE_NEWNET));
        assert_eq!(of("/proc/self/ns/uts"), Some(CLONE_NEWUTS));
        assert_eq!(of("/dev/null"), None);
        assert_eq!(of("/proc/self/status"), None);
        assert_eq!(of("/"), None);
    }

    #[test]
    fn work_in_no_namespace_is_done_here() {
        let here = std::thread::current().id();
        assert_eq!(inside(&[], || std::thread::current().id()).unwrap(), here);
    }
}
