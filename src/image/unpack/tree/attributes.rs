//! Owner, mode, times and extended attributes: always of an open file, never of a path.

use std::os::fd::BorrowedFd;

use rustix::fs::{
    Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown, fgetxattr, flistxattr,
    flistxattr_query, fremovexattr, fsetxattr, fstat,
};
use rustix::io::Errno;

use super::super::error::Cause;
use super::super::tar::{Attribute, Entry};

/// Whether an attribute means something in an image. What overlayfs or a security module would read
/// as its own does not: it is the host that says such things.
fn kept(name: &[u8]) -> bool {
    name == b"security.capability"
        || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
}

pub(super) fn times(seconds: i64, nanoseconds: u32) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: i64::from(nanoseconds) as _ };
    Timestamps { last_access: time, last_modification: time }
}

pub(super) fn times_of(stat: &Stat) -> Timestamps {
    times(stat.st_mtime as _, stat.st_mtime_nsec as _)
}

pub(super) fn times_for(entry: &Entry) -> Timestamps {
    times(entry.mtime.seconds, entry.mtime.nanoseconds)
}

pub(super) fn owner(uid: u32, gid: u32) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

/// The owner first: a change of owner takes set-user-id away.
pub(super) fn set_owner_and_mode(
    file: BorrowedFd<'_>,
    uid: u32,
    gid: u32,
    mode: u32,
) -> Result<(), Cause> {
    let (uid, gid) = owner(uid, gid);
    fchown(file, uid, gid).map_err(|errno| Cause::system("fchown", errno))?;
    fchmod(file, Mode::from_raw_mode(mode)).map_err(|errno| Cause::system("fchmod", errno))
}

/// All but the times; those come last, when nothing else changes them. Capabilities of files come
/// after the owner, whose change takes them away.
pub(super) fn dress(file: BorrowedFd<'_>, entry: &Entry) -> Result<(), Cause> {
    set_owner_and_mode(file, entry.uid, entry.gid, entry.mode)?;
    set(file, &entry.attributes)
}

fn set(file: BorrowedFd<'_>, attributes: &[Attribute]) -> Result<(), Cause> {
    for (name, value) in attributes.iter().filter(|(name, _)| kept(name)) {
        fsetxattr(file, name.as_slice(), value, XattrFlags::empty())
            .map_err(|errno| Cause::system("set an extended attribute", errno))?;
    }
    Ok(())
}

/// Takes away what an image may have set.
pub(super) fn clear(file: BorrowedFd<'_>) -> Result<(), Cause> {
    for name in list(file)? {
        match fremovexattr(file, name.as_slice()) {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(errno) => return Err(Cause::system("remove an extended attribute", errno)),
        }
    }
    Ok(())
}

/// Gives `made` what `model` has, and returns the times of that.
pub(super) fn copy(model: BorrowedFd<'_>, made: BorrowedFd<'_>) -> Result<Timestamps, Cause> {
    let failed = |errno| Cause::system("look into a layer below", errno);
    let stat = fstat(model).map_err(failed)?;
    set_owner_and_mode(made, stat.st_uid, stat.st_gid, stat.st_mode & 0o7777)?;
    let mut attributes = Vec::new();
    for name in list(model)? {
        let mut value = Vec::with_capacity(64 << 10);
        let spare = rustix::buffer::spare_capacity(&mut value);
        fgetxattr(model, name.as_slice(), spare).map_err(failed)?;
        attributes.push((name, value));
    }
    set(made, &attributes)?;
    Ok(times_of(&stat))
}

/// The names of those that mean something.
fn list(file: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Cause> {
    let failed = |errno| Cause::system("list extended attributes", errno);
    let size = match flistxattr_query(file) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(size) => size,
        Err(errno) => return Err(failed(errno)),
    };
    let mut names = Vec::with_capacity(size);
    flistxattr(file, rustix::buffer::spare_capacity(&mut names)).map_err(failed)?;
    let names = names.split(|byte| *byte == 0).filter(|name| kept(name));
    Ok(names.map(<[u8]>::to_vec).collect())
}
