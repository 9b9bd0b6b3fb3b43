//! Many layers in one tree: hard links to their files, with whiteouts applied.
//!
//! A mount costs more with each lower, and takes a limited number. So of an image with more than eight
//! layers the lowest ones, a multiple of eight, are merged when it is loaded; what is above stays as it
//! is. Images that share their lowest layers share the merged tree, too.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, fchmod,
    fchown, fsetxattr, futimens, linkat, mkdirat, openat, statat, unlinkat,
};
use rustix::io::Errno;

use super::tree::{FOLLOW_NOTHING, attributes, names, open_dir, open_root};

/// The most lowers that a start mounts.
pub(super) const MOST: usize = 8;

/// How many of an image's layers, from the lowest up, are in its merged tree: none, if there is
/// no need for one. What is left above is fewer than [`MOST`].
pub(in crate::image) fn merged_of(layers: usize) -> usize {
    match layers {
        0..=MOST => 0,
        _ => layers - layers % MOST,
    }
}

/// Merges the trees, the lowest first, into the directory `into`, which is empty.
pub(in crate::image) fn merge<P: AsRef<Path>>(layers: &[P], into: &Path) -> io::Result<()> {
    let target = open_root(into)?;
    for layer in layers {
        apply(open_root(layer.as_ref())?.as_fd(), target.as_fd())?;
    }
    Ok(())
}

/// One directory of a layer over what those below it left in `onto`.
fn apply(layer: BorrowedFd<'_>, onto: BorrowedFd<'_>) -> io::Result<()> {
    for name in names(layer)? {
        let stat = statat(layer, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        let below = there(onto, &name)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let directory = open_dir(layer, &name)?;
                let goes_on = below == Some(FileType::Directory) && !is_opaque(layer, &name)?;
                if !goes_on {
                    clear(onto, &name, below)?;
                    mkdirat(onto, &name, Mode::RWXU)?;
                }
                apply(directory.as_fd(), open_dir(onto, &name)?.as_fd())?;
            }
            FileType::CharacterDevice if stat.st_rdev == 0 => clear(onto, &name, below)?,
            _ => {
                clear(onto, &name, below)?;
                link(layer, onto, &name, &stat)?;
            }
        }
    }
    // Last: whatever was put in has changed its time.
    adopt(layer, onto)
}

fn there(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<FileType>> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// What is below an opaque directory is hidden, all of it.
fn is_opaque(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
    let marks = [c"trusted.overlay.opaque", c"user.overlay.opaque"];
    let is_mark = |(attribute, value): &(std::ffi::CString, Vec<u8>)| {
        marks.contains(&attribute.as_c_str()) && value == b"y"
    };
    Ok(attributes(dir, name)?.iter().any(is_mark))
}

fn clear(dir: BorrowedFd<'_>, name: &CStr, what: Option<FileType>) -> io::Result<()> {
    match what {
        None => return Ok(()),
        Some(FileType::Directory) => {
            let below = open_dir(dir, name)?;
            for name in names(below.as_fd())? {
                let what = there(below.as_fd(), &name)?;
                clear(below.as_fd(), &name, what)?;
            }
            unlinkat(dir, name, AtFlags::REMOVEDIR)?;
        }
        Some(_) => unlinkat(dir, name, AtFlags::empty())?,
    }
    Ok(())
}

/// A file has only so many names: after that it is copied.
fn link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<()> {
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    match linkat(from, name, to, name, AtFlags::empty()) {
        Err(Errno::MLINK) if is_file => copy(from, to, name),
        linked => Ok(linked?),
    }
}

fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let source = openat(from, name, OFlags::RDONLY | FOLLOW_NOTHING, Mode::empty())?;
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | FOLLOW_NOTHING;
    let target = openat(to, name, new, Mode::RUSR | Mode::WUSR)?;
    let (mut source, mut target) = (File::from(source), File::from(target));
    io::copy(&mut source, &mut target)?;
    adopt_from(source.as_fd(), target.as_fd(), attributes(from, name)?)
}

/// The topmost layer that has a directory says what it is like.
fn adopt(layer: BorrowedFd<'_>, onto: BorrowedFd<'_>) -> io::Result<()> {
    for (attribute, _) in attributes(onto, c".")? {
        if is_kept(&attribute) {
            rustix::fs::fremovexattr(onto, &attribute)?;
        }
    }
    adopt_from(layer, onto, attributes(layer, c".")?)
}

fn adopt_from(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    attributes: Vec<(std::ffi::CString, Vec<u8>)>,
) -> io::Result<()> {
    let stat = rustix::fs::fstat(from)?;
    fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    for (attribute, value) in attributes.iter().filter(|(attribute, _)| is_kept(attribute)) {
        fsetxattr(to, attribute, value, XattrFlags::empty())?;
    }
    let time = |seconds: i64, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos as i64 };
    futimens(
        to,
        &Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        },
    )?;
    Ok(())
}

/// Attributes that an image brought. Those of the overlay are about one layer, and a security
/// module writes its own.
fn is_kept(attribute: &CStr) -> bool {
    let attribute = attribute.to_bytes();
    attribute == b"security.capability"
        || attribute.starts_with(b"user.") && !attribute.starts_with(b"user.overlay.")
}
