//! A file in a root of several layers, found without mounting it: the way overlayfs merges them.
//!
//! The layers are an image's, and hostile. Each step of a path is one name, looked up in every layer's
//! open directory and never followed; links are taken apart here, and lead nowhere but into the root.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fgetxattr, openat, readlinkat, statat};
use rustix::io::Errno;

/// How many links a path may lead over, as in the kernel.
const MOST_LINKS: usize = 40;

/// The attributes by which a directory hides what is below it; which counts depends on how an overlay
/// is mounted, and the unpacker sets both.
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// A directory as the root shows it: one of each layer that has a part in it, topmost first.
type Dir = Vec<OwnedFd>;

/// What a name stands for.
enum Found {
    Dir(Dir),
    Link(PathBuf),
    /// Neither: opened as a place, not as a file.
    Other(OwnedFd),
}

/// Opens the layer at `path` to look things up in it.
pub(super) fn open_layer(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, DIRECTORY, Mode::empty())
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens what `path` leads to in the root of these `layers`, topmost first, as a place (`O_PATH`). A
/// link at its end is followed, unless `no_follow` asks for the link.
pub(super) fn find(layers: &[OwnedFd], path: &str, no_follow: bool) -> Result<OwnedFd, Errno> {
    let mut way = Way { layers, dirs: Vec::new(), links: 0 };
    way.walk(Path::new(path), no_follow)
}

/// Where a search stands: the directories from the root, which is left out, to where it is.
struct Way<'a> {
    layers: &'a [OwnedFd],
    dirs: Vec<Dir>,
    links: usize,
}

impl Way<'_> {
    fn here(&self) -> &[OwnedFd] {
        self.dirs.last().map_or(self.layers, Vec::as_slice)
    }

    fn walk(&mut self, path: &Path, no_follow: bool) -> Result<OwnedFd, Errno> {
        // What is still to be walked, the next part last.
        let mut rest = parts(path);
        while let Some(part) = rest.pop() {
            match part.components().next() {
                Some(Component::RootDir) => self.dirs.clear(),
                // Above the root is the root.
                Some(Component::ParentDir) => drop(self.dirs.pop()),
                Some(Component::Normal(name)) => match look_up(self.here(), name)? {
                    Found::Dir(dir) => self.dirs.push(dir),
                    Found::Link(_) if rest.is_empty() && no_follow => {
                        return place(self.here(), name);
                    }
                    Found::Link(target) => {
                        self.links += 1;
                        if self.links > MOST_LINKS {
                            return Err(Errno::LOOP);
                        }
                        rest.extend(parts(&target));
                    }
                    Found::Other(place) if rest.is_empty() => return Ok(place),
                    Found::Other(_) => return Err(Errno::NOTDIR),
                },
                _ => {}
            }
        }
        let here = self.here().first().ok_or(Errno::NOENT)?;
        openat(here, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
    }
}

/// The parts of a path, the last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    path.components().rev().map(|part| PathBuf::from(part.as_os_str())).collect()
}

/// What the topmost layers that have something under `name` make of it.
fn look_up(dir: &[OwnedFd], name: &OsStr) -> Result<Found, Errno> {
    let mut merged = Dir::new();
    for layer in dir {
        let status = match statat(layer, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        };
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                let part = openat(layer, name, DIRECTORY, Mode::empty())?;
                let last = is_opaque(&part)?;
                merged.push(part);
                if last {
                    break;
                }
            }
            // Below a directory it is hidden, and hides what is below itself.
            _ if !merged.is_empty() || is_whiteout(&status) => break,
            FileType::Symlink => {
                let target = readlinkat(layer, name, Vec::new())?;
                return Ok(Found::Link(OsStr::from_bytes(target.to_bytes()).into()));
            }
            _ => return place(std::slice::from_ref(layer), name).map(Found::Other),
        }
    }
    match merged.is_empty() {
        true => Err(Errno::NOENT),
        false => Ok(Found::Dir(merged)),
    }
}

/// Opens what is not a directory in the topmost layer that has it, whatever it is, and does not use it.
fn place(dir: &[OwnedFd], name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |layer| openat(layer, name, flags, Mode::empty());
    let found = dir.iter().map(open).find(|opened| !matches!(opened, Err(Errno::NOENT)));
    found.unwrap_or(Err(Errno::NOENT))
}

fn is_whiteout(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice && status.st_rdev == 0
}

fn is_opaque(dir: &OwnedFd) -> Result<bool, Errno> {
    for name in OPAQUE {
        let mut value = [0_u8; 2];
        match fgetxattr(dir, name, &mut value) {
            Ok(1) if value[0] == b'y' => return Ok(true),
            // Not there, longer, or on a file system that has none.
            Ok(_) | Err(Errno::NODATA | Errno::RANGE | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(false)
}

#[cfg(test)]
#[path = "merged_tests.rs"]
mod tests;
