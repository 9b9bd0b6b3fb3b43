//! Another process does the work: the same program, or one that is named, executed again in
//! namespaces of its own.
//!
//! ```text
//!  parent                                   helper
//!  copies of the directories' mounts,
//!    upper writable, lower read-only
//!  clone3(user, mount, PID, network, …)
//!  identity map                             waits
//!  order, with descriptors        ───────►  empty root, limits, landlock, capabilities, filter
//!                                           unpacks below the descriptors
//!  sets trusted.overlay.opaque    ◄───────  this directory is opaque
//!  waits for its end              ◄───────  what the layer turned out to be, or why not
//! ```
//!
//! Whoever takes the helper over finds no files but the layer's own and, to read, those below it; no
//! network, no other process, no program to start. It can spoil the layer, which comes of its bytes
//! anyway. The directories come as mounts of their own, so that `..` ends there. The
//! ids are the host's, for owners to be right, and so the helper may do nothing by them: it sees no
//! file of the host's.

mod confine;
mod message;
mod serve;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags, fcntl_getfl, fsetxattr, fstat, open};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Signal, pidfd_send_signal};

use super::error::{Cause, Error};
use super::limits::Limits;
use super::source::Source;
use super::tree;
use super::{Target, Unpacked};
use crate::sys::abi::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER,
    CLONE_NEWUTS, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY,
    MountAttr,
};
use crate::sys::pidfd::{self, Waited};
use crate::sys::spawn::{Spawn, Spawned, spawn};
use message::{MOST_ALONG, Order, Word, receive, send};
pub use serve::serve_if_asked;
pub(super) use serve::serves;

const NAMESPACES: u64 = CLONE_NEWUSER
    | CLONE_NEWNS
    | CLONE_NEWPID
    | CLONE_NEWNET
    | CLONE_NEWIPC
    | CLONE_NEWUTS
    | CLONE_NEWCGROUP;

/// Has the layer unpacked by `program`.
pub(super) fn unpack(
    program: &Path,
    source: &Source,
    target: &Target,
    limits: &Limits,
) -> Result<Unpacked, Error> {
    let upper = mount_of(target.upper.as_fd(), 0)?;
    let lowers = target.lowers.iter().map(|lower| mount_of(lower.as_fd(), MOUNT_ATTR_RDONLY));
    let lowers = lowers.collect::<Result<Vec<_>, _>>()?;
    let file = read_only(&source.file)?;
    let helper = Helper::start(program)?;
    let order = Order {
        extent: source.extent,
        blob_algorithm: source.blob_algorithm,
        diff_id_algorithm: source.diff_id_algorithm,
        limits: limits.clone(),
        lowers: lowers.len() as u16,
    };
    let told =
        |result: io::Result<()>| result.map_err(|error| Cause::helper("give it the order", error));
    told(send(&helper.control, &order, &[file.as_fd(), upper.as_fd()]))?;
    for lowers in lowers.chunks(MOST_ALONG) {
        let lowers: Vec<BorrowedFd<'_>> = lowers.iter().map(AsFd::as_fd).collect();
        told(send(&helper.control, &(), &lowers))?;
    }
    // The ends of a pipe that it reads, and the mounts, are its alone.
    drop((file, upper, lowers));
    helper.listen(target, limits)
}

/// A mount of the directory alone, nowhere yet.
fn mount_of(directory: BorrowedFd<'_>, more: u64) -> Result<OwnedFd, Cause> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let failed = |error: io::Error| Cause::helper("copy the mount of a directory", error);
    let mount = open_tree(directory, c"", flags).map_err(|errno| failed(errno.into()))?;
    let set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | more;
    let attributes = MountAttr { attr_set: set, ..MountAttr::default() };
    crate::sys::mount::set_attributes(mount.as_fd(), &attributes, false).map_err(failed)?;
    Ok(mount)
}

/// The source as one that can only be read: other layers may lie in the same file.
fn read_only(file: &OwnedFd) -> Result<OwnedFd, Cause> {
    let failed = |error: io::Error| Cause::helper("open the layer for reading alone", error);
    let mode = fcntl_getfl(file).map_err(|errno| failed(errno.into()))? & OFlags::ACCMODE;
    let stat = fstat(file).map_err(|errno| failed(errno.into()))?;
    if mode == OFlags::RDONLY || FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return file.try_clone().map_err(failed);
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))
}

/// A helper, which does not outlive this.
struct Helper {
    process: Spawned,
    control: OwnedFd,
    ended: bool,
}

impl Helper {
    fn start(program: &Path) -> Result<Helper, Cause> {
        let failed = |error: io::Error| Cause::helper("start it", error);
        let pair =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (control, theirs) = pair.map_err(|errno| failed(errno.into()))?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let program = open(program, flags, Mode::empty());
        let program = program.map_err(|errno| failed(errno.into()))?;
        let null = File::options().read(true).write(true).open("/dev/null").map_err(failed)?;
        let process = spawn(&Spawn {
            program: program.as_fd(),
            name: Some(serve::NAME),
            descriptors: &[theirs.as_fd(), null.as_fd(), null.as_fd()],
            namespaces: NAMESPACES,
            cgroup: None,
        });
        let process = process.map_err(|error| {
            let what = format!("start it ({})", error.call);
            Cause::Helper { what: what.into(), source: error.source }
        })?;
        let helper = Helper { process, control, ended: false };
        helper.write_map("uid_map")?;
        helper.write_map("gid_map")?;
        Ok(helper)
    }

    /// Every id of this namespace stays what it is.
    fn write_map(&self, name: &str) -> Result<(), Cause> {
        let failed = |error: io::Error| Cause::helper("give it ids", error);
        let own = std::fs::read_to_string(format!("/proc/self/{name}")).map_err(failed)?;
        let mut map = String::new();
        for line in own.lines() {
            let mut numbers = line.split_ascii_whitespace();
            if let (Some(first), Some(_), Some(count)) =
                (numbers.next(), numbers.next(), numbers.next())
            {
                map += &format!("{first} {first} {count}\n");
            }
        }
        // By number: it waits for its order, and nobody but this process takes its status away.
        let path = format!("/proc/{}/{name}", self.process.pid);
        let file = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let file = file.map_err(|errno| failed(errno.into()))?;
        match rustix::io::write(file, map.as_bytes()) {
            Ok(count) if count == map.len() => Ok(()),
            Ok(_) => Err(failed(io::ErrorKind::WriteZero.into())),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    /// Does what only this process may, until the helper has done its part.
    fn listen(mut self, target: &Target, limits: &Limits) -> Result<Unpacked, Error> {
        let mut opaque = 0;
        loop {
            let word = receive::<Word>(&self.control)
                .map_err(|error| Cause::helper("understand it", error))?;
            match word {
                Some((Word::Opaque(path), _)) => {
                    opaque += 1;
                    if opaque > limits.entries {
                        let error = io::Error::from(io::ErrorKind::InvalidData);
                        return Err(Cause::helper("understand it", error).into());
                    }
                    mark(target.upper.as_fd(), &path)?;
                }
                Some((Word::Done(unpacked), _)) => return Ok(unpacked),
                Some((Word::Failed(error), _)) => return Err(error),
                None => return Err(self.died().into()),
            }
        }
    }

    fn died(&mut self) -> Cause {
        self.ended = true;
        let how = match pidfd::wait(&self.process.pidfd) {
            Ok(Waited::Ended(status)) => format!("it died (wait status {:#x})", status.0),
            _ => "it died".to_owned(),
        };
        Cause::Helper { what: how.into(), source: io::ErrorKind::UnexpectedEof.into() }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if !self.ended {
            // It has said its last word, or will not be heard.
            let _ = pidfd_send_signal(&self.process.pidfd, Signal::KILL);
            let _ = pidfd::wait(&self.process.pidfd);
        }
    }
}

/// The path is the helper's word: it leads to a directory of the layer, or nowhere.
fn mark(upper: BorrowedFd<'_>, path: &[u8]) -> Result<(), Cause> {
    let directory = tree::open_beneath(upper, path)
        .map_err(|errno| Cause::system("open a directory", errno))?;
    fsetxattr(directory, tree::TRUSTED_OPAQUE, b"y", XattrFlags::empty())
        .map_err(|errno| Cause::system("mark a directory as opaque", errno))
}
