//! The cradle: a mount namespace with nothing in it, in a copy of which cells build their roots.
//!
//! A mount namespace starts as a copy of another. Of the host's, the copy costs more the more mounts
//! the host has, and letting go of them again waits for every CPU. The cradle's copy costs nothing to
//! speak of, and has nothing of the host's to let go of.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, open};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

use super::Error;
use crate::sys::spawn::SignalsBlocked;
use crate::sys::unshare::leave_mount_namespace;

/// The one directory in it, for the cell's own mounts.
pub(super) const SCRATCH: &str = "/scratch";

/// The namespace, one for the process; made when the first cell starts.
pub(super) fn cradle() -> Result<BorrowedFd<'static>, Error> {
    static CRADLE: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(cradle) = CRADLE.get() {
        return Ok(cradle.as_fd());
    }
    // A thread can leave its namespace only for good, so it is one that ends.
    let _blocked = SignalsBlocked::new();
    let thread = std::thread::Builder::new().name("hotcell-cradle".to_owned()).spawn(make);
    let thread = thread.map_err(|error| failed("start a thread", error))?;
    let made = thread.join().unwrap_or_else(|_| Err(failed("thread", io::ErrorKind::Other.into())));
    let made = made?;
    Ok(CRADLE.get_or_init(|| made).as_fd())
}

fn failed(call: &'static str, source: io::Error) -> Error {
    let hint = match source.kind() {
        io::ErrorKind::PermissionDenied => " (CAP_SYS_ADMIN is needed)",
        _ => " for the cells' mount namespace",
    };
    Error::System { call, hint, source }
}

/// Leaves this thread in a namespace that holds a read-only tmpfs and nothing else.
fn make() -> Result<OwnedFd, Error> {
    let call =
        |call, done: rustix::io::Result<()>| done.map_err(|errno| failed(call, errno.into()));
    leave_mount_namespace().map_err(|error| failed("unshare", error))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    call("mount", mount_change("/", private))?;
    let bare = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    // While there is a /proc: the file stands for the namespace, whatever becomes of the path.
    let namespace = open("/proc/thread-self/ns/mnt", flags, Mode::empty());
    let namespace =
        namespace.map_err(|errno| failed("open /proc/thread-self/ns/mnt", errno.into()))?;
    // On top of "/" it would be out of reach, and every host has /proc.
    call("mount", mount("tmpfs", "/proc", "tmpfs", bare, Some(c"mode=555,size=4k,nr_inodes=8")))?;
    call("chdir", chdir("/proc"))?;
    call("mkdir", mkdirat(CWD, "scratch", Mode::RWXU))?;
    call("mount", mount_remount(".", bare | MountFlags::RDONLY, ""))?;
    call("pivot_root", pivot_root(".", "."))?;
    call("umount2", unmount(".", UnmountFlags::DETACH))?;
    Ok(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_this_thread_stays_where_it_was() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let here = || std::fs::read_link("/proc/thread-self/ns/mnt").unwrap();
        let before = here();
        let first = cradle().unwrap();
        let at = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).unwrap().st_ino;
        assert_eq!(at(first), at(cradle().unwrap()));
        assert_eq!(here(), before);
        assert_ne!(format!("mnt:[{}]", at(first)), before.to_string_lossy());
    }
}
