//! The cradle: a mount namespace with nothing in it, in a copy of which cells build their roots.
//!
//! A mount namespace starts as a copy of another. Of the host's, the copy costs more the more mounts
//! the host has, and letting go of them again waits for every CPU. The cradle's copy costs nothing to
//! speak of, and has nothing of the host's to let go of.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags, fstat, mkdirat, open, stat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Error;
use super::error::missing_call;
use crate::fault::{self, Point};
use crate::sys::spawn::SignalsBlocked;
use crate::sys::unshare::leave_mount_namespace;

/// The one directory in it, for the cell's own mounts.
pub(super) const SCRATCH: &str = "/scratch";

/// The namespace, and what says that a descriptor still stands for it.
#[derive(Debug)]
struct Cradle {
    namespace: OwnedFd,
    inode: u64,
}

/// The namespace, one for the process; made when the first cell starts.
pub(super) fn cradle() -> Result<BorrowedFd<'static>, Error> {
    static CRADLE: OnceLock<Cradle> = OnceLock::new();
    let cradle = match CRADLE.get() {
        Some(cradle) => cradle,
        None => {
            let made = apart()?;
            CRADLE.get_or_init(|| made)
        }
    };
    // An embedder that closes descriptors it does not know would have us build in its next file.
    match fstat(&cradle.namespace) {
        Ok(found) if found.st_ino == cradle.inode => Ok(cradle.namespace.as_fd()),
        _ => Err(failed("fstat (its descriptor has been closed)", Errno::BADF.into())),
    }
}

/// A thread can leave its namespace only for good, so it is one that ends.
fn apart() -> Result<Cradle, Error> {
    let _blocked = SignalsBlocked::new();
    let builder = || std::thread::Builder::new().name("hotcell-cradle".to_owned());
    let thread = fault::at(Point::Cradle, || builder().spawn(make));
    let thread = thread.map_err(|error| failed("start a thread", error))?;
    thread.join().unwrap_or_else(|_| Err(failed("thread", io::ErrorKind::Other.into())))
}

fn failed(call: &'static str, source: io::Error) -> Error {
    let hint = match Errno::from_io_error(&source) {
        Some(Errno::PERM) => " (CAP_SYS_ADMIN is needed)",
        Some(Errno::AGAIN) => " (a limit on processes was reached)",
        Some(Errno::NOSPC) => " (a limit on namespaces was reached)",
        Some(Errno::NOSYS) => missing_call(&source),
        _ => " for the cells' mount namespace",
    };
    Error::System { call, hint, source }
}

/// Leaves this thread in a namespace that holds a read-only tmpfs and nothing else.
fn make() -> Result<Cradle, Error> {
    step("unshare", leave_mount_namespace)?;
    // While there is a /proc: the file stands for the namespace, whatever becomes of the path.
    let namespace = step("open /proc/thread-self/ns/mnt", || {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(open("/proc/thread-self/ns/mnt", flags, Mode::empty())?)
    })?;
    // The root of an embedder may lie somewhere below the namespace's own.
    let enter =
        || Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?);
    step("setns", enter)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    step("mount", || Ok(mount_change("/", private)?))?;
    // On top of "/" it would be out of reach, and every host has /proc.
    let bare = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = Some(c"mode=555,size=4k,nr_inodes=8");
    step("mount", || Ok(mount("tmpfs", "/proc", "tmpfs", bare, options)?))?;
    step("chdir", || Ok(chdir("/proc")?))?;
    step("mkdir", || Ok(mkdirat(CWD, "scratch", Mode::RWXU)?))?;
    step("mount", || Ok(mount_remount(".", bare | MountFlags::RDONLY, "")?))?;
    let device = step("stat", || Ok(stat(".")?.st_dev))?;
    step("pivot_root", || Ok(pivot_root(".", ".")?))?;
    step("umount2", || Ok(unmount(".", UnmountFlags::DETACH)?))?;
    // Where a cell's init will find itself.
    step("setns", enter)?;
    if step("stat", || Ok(stat("/")?.st_dev))? != device {
        return Err(failed("pivot_root did not reach the root", Errno::XDEV.into()));
    }
    let inode = step("fstat", || Ok(fstat(&namespace)?.st_ino))?;
    Ok(Cradle { namespace, inode })
}

fn step<T>(call: &'static str, run: impl FnOnce() -> io::Result<T>) -> Result<T, Error> {
    fault::at(Point::Cradle, run).map_err(|error| failed(call, error))
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
