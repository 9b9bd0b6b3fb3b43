//! What the layers below show at a path, as overlayfs would put them together.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fgetxattr, fstat, openat2};
use rustix::io::Errno;

use super::super::error::Cause;

/// How everything is looked up: below the directory given, and never through a link.
pub(super) const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// How overlayfs knows a directory that hides what lies below it; the first needs
/// `CAP_SYS_ADMIN`, the second is for mounts in user namespaces.
pub(in super::super) const TRUSTED_OPAQUE: &str = "trusted.overlay.opaque";
pub(super) const USER_OPAQUE: &str = "user.overlay.opaque";

/// The directories of the layers below, topmost first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Below<'a>(pub(super) &'a [BorrowedFd<'a>]);

/// What one layer has at a path.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Whiteout,
    Directory {
        opaque: bool,
    },
    /// A file, a link or the like.
    Other(Stat),
}

impl Below<'_> {
    /// All layers, as those that have a root.
    pub(super) fn all(self) -> Vec<u16> {
        (0..self.0.len()).map(|layer| layer as u16).collect()
    }

    /// Which of `layers`, all of which have its parent, have a directory at `path` that is not hidden.
    pub(super) fn directories(self, layers: &[u16], path: &[u8]) -> Result<Vec<u16>, Cause> {
        let mut merged = Vec::new();
        for layer in layers {
            match self.look(*layer, path)? {
                Found::Nothing => {}
                Found::Directory { opaque } => {
                    merged.push(*layer);
                    if opaque {
                        break;
                    }
                }
                Found::Whiteout | Found::Other(_) => break,
            }
        }
        Ok(merged)
    }

    /// What is to be seen at `path`, and in which of `layers`.
    pub(super) fn top(self, layers: &[u16], path: &[u8]) -> Result<Option<(u16, Found)>, Cause> {
        for layer in layers {
            match self.look(*layer, path)? {
                Found::Nothing => {}
                Found::Whiteout => return Ok(None),
                found => return Ok(Some((*layer, found))),
            }
        }
        Ok(None)
    }

    pub(super) fn open(self, layer: u16, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        openat2(self.0[usize::from(layer)], at(path), flags, Mode::empty(), BENEATH)
    }

    fn look(self, layer: u16, path: &[u8]) -> Result<Found, Cause> {
        let found = match self.open(layer, path, LOOK) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(errno) => return Err(Cause::system("look into a layer below", errno)),
        };
        let stat = fstat(&found).map_err(|e| Cause::system("look into a layer below", e))?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let readable = self.open(layer, path, DIRECTORY);
                let readable = readable.map_err(|e| Cause::system("look into a layer below", e))?;
                Found::Directory { opaque: is_opaque(&readable)? }
            }
            FileType::CharacterDevice if stat.st_rdev == 0 => Found::Whiteout,
            _ => Found::Other(stat),
        })
    }
}

/// Whether the directory hides what lies below it.
pub(super) fn is_opaque(directory: &OwnedFd) -> Result<bool, Cause> {
    // Every such directory has this one, which can be read everywhere.
    let mut value = [0; 2];
    match fgetxattr(directory, USER_OPAQUE, &mut value) {
        Ok(count) => Ok(value[..count] == *b"y"),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(false),
        Err(Errno::RANGE) => Ok(false),
        Err(errno) => Err(Cause::system("read an attribute of a directory", errno)),
    }
}

/// The path of a name's parts; the root is `.`.
pub(super) fn at(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(if path.is_empty() { b"." } else { path }))
}
