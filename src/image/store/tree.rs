//! Trees of unpacked layers, walked by descriptor and never through a link: what one looks like, in
//! one digest, and how one is deleted.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::delete::delete;
use crate::image::{Algorithm, Digest, Hasher};

/// What a tree looked like when it was whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::image) struct Fingerprint {
    /// How many files, links and directories it has, itself included.
    pub(in crate::image) entries: u64,
    /// Bytes in its files; a file with several names counts once.
    pub(in crate::image) bytes: u64,
    /// Over names, types, modes, owners, sizes, times, devices, targets and attributes.
    pub(in crate::image) digest: Digest,
}

/// Whether a look reads what is in the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Contents {
    Unread,
    Read,
}

/// Deeper is no tree of ours: unpacking refuses it.
const DEEPEST: usize = 2048;

/// Looks at all of the tree at `root`.
pub(super) fn fingerprint(root: &Path, contents: Contents) -> io::Result<Fingerprint> {
    let dir = open_root(root)?;
    let hasher = Hasher::new(Algorithm::Sha256);
    let mut look = Look { contents, hasher, entries: 1, bytes: 0, linked: BTreeSet::new() };
    let stat = rustix::fs::fstat(&dir)?;
    look.metadata(c".", &stat);
    look.attributes(dir.as_fd(), c".")?;
    look.below(dir.as_fd(), 0)?;
    Ok(Fingerprint { entries: look.entries, bytes: look.bytes, digest: look.hasher.finish() })
}

/// Whether two trees hold the same, the bytes of their files included.
pub(in crate::image) fn look_alike(one: &Path, other: &Path) -> Result<bool, Error> {
    let look = |root: &Path| {
        fingerprint(root, Contents::Read).map_err(|error| Error::io("look through", root, error))
    };
    Ok(look(one)? == look(other)?)
}

struct Look {
    contents: Contents,
    hasher: Hasher,
    entries: u64,
    bytes: u64,
    /// Files with several names that were seen.
    linked: BTreeSet<u64>,
}

impl Look {
    fn below(&mut self, dir: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(Errno::NAMETOOLONG.into());
        }
        for name in names(dir)? {
            let stat = statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            self.entries += 1;
            self.metadata(&name, &stat);
            self.attributes(dir, &name)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    self.below(open_dir(dir, &name)?.as_fd(), depth + 1)?;
                    self.field(b"/");
                }
                FileType::Symlink => {
                    let target = readlinkat(dir, &name, Vec::new())?;
                    self.field(target.as_bytes());
                }
                FileType::RegularFile => self.file(dir, &name, &stat)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn metadata(&mut self, name: &CStr, stat: &Stat) {
        self.field(name.to_bytes());
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            // A whiteout is nobody's, and of the time at which it was made.
            return self.field(b"whiteout");
        }
        // How long a directory is depends on its history.
        let size = if kind == FileType::Directory { 0 } else { stat.st_size };
        for number in [
            i128::from(stat.st_mode),
            i128::from(stat.st_uid),
            i128::from(stat.st_gid),
            i128::from(size),
            i128::from(stat.st_mtime),
            i128::from(stat.st_mtime_nsec),
            i128::from(stat.st_rdev),
        ] {
            self.hasher.update(&number.to_le_bytes());
        }
    }

    fn attributes(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        for (attribute, value) in attributes(dir, name)? {
            self.field(attribute.to_bytes());
            self.field(&value);
        }
        Ok(())
    }

    fn file(&mut self, dir: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<()> {
        if stat.st_nlink < 2 || self.linked.insert(stat.st_ino) {
            self.bytes += stat.st_size as u64;
        }
        if self.contents == Contents::Read {
            let file = openat(dir, name, OFlags::RDONLY | FOLLOW_NOTHING, Mode::empty())?;
            let mut hasher = Hasher::new(Algorithm::Sha256);
            io::copy(&mut File::from(file).take(u64::MAX), &mut hasher)?;
            self.field(hasher.finish().to_string().as_bytes());
        }
        Ok(())
    }

    /// With its length, so that no two lists of fields hash the same.
    fn field(&mut self, bytes: &[u8]) {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
    }
}

pub(super) const FOLLOW_NOTHING: OFlags =
    OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// Opens the directory at the top of a tree.
pub(super) fn open_root(root: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | FOLLOW_NOTHING;
    Ok(rustix::fs::open(root, flags, Mode::empty())?)
}

pub(super) fn open_dir(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | FOLLOW_NOTHING;
    Ok(openat(dir, name, flags, Mode::empty())?)
}

/// What is in a directory, in order.
pub(super) fn names(dir: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The extended attributes of something that may be no file to open, in order.
pub(super) fn attributes(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<(CString, Vec<u8>)>> {
    let path = below_descriptor(dir, name);
    let size = match rustix::fs::llistxattr_query(&path) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(size) => size,
        Err(errno) => return Err(errno.into()),
    };
    let mut list = vec![0_u8; size];
    let filled = rustix::fs::llistxattr(&path, &mut list[..])?;
    list.truncate(filled);
    let mut all = Vec::new();
    for attribute in list.split_inclusive(|byte| *byte == 0) {
        let Ok(attribute) = CStr::from_bytes_with_nul(attribute) else { continue };
        let size = rustix::fs::lgetxattr_query(&path, attribute)?;
        let mut value = vec![0_u8; size];
        if size > 0 {
            let filled = rustix::fs::lgetxattr(&path, attribute, &mut value[..])?;
            value.truncate(filled);
        }
        all.push((attribute.to_owned(), value));
    }
    all.sort_unstable();
    Ok(all)
}

/// A path to `name` in an open directory, for calls that take no descriptor for a link or a device.
fn below_descriptor(dir: BorrowedFd<'_>, name: &CStr) -> CString {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    // Neither part has a zero in it.
    CString::new(path).unwrap_or_default()
}

/// How long something may go on writing in a tree that is being deleted.
const STRAGGLER: Duration = Duration::from_secs(10);

/// Deletes all of the tree. Whoever unpacked it may have been killed a moment ago, and a process of
/// its own may be about to end: what that still writes is deleted with the rest.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let deadline = Instant::now() + STRAGGLER;
    loop {
        match delete(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                if Instant::now() > deadline {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn tree() -> tempfile::TempDir {
        let at = tempfile::tempdir().unwrap();
        let path = |name: &str| at.path().join(name);
        std::fs::create_dir_all(path("a/b")).unwrap();
        std::fs::write(path("a/file"), "text").unwrap();
        std::fs::hard_link(path("a/file"), path("a/b/other")).unwrap();
        symlink("../../outside", path("a/link")).unwrap();
        at
    }

    fn look(at: &tempfile::TempDir, contents: Contents) -> Fingerprint {
        fingerprint(at.path(), contents).unwrap()
    }

    type Change = (&'static str, fn(&Path));

    #[test]
    fn whatever_changes_in_a_tree_changes_its_fingerprint() {
        let changes: [Change; 8] = [
            ("a file more", |at| std::fs::write(at.join("new"), "").unwrap()),
            ("a file less", |at| std::fs::remove_file(at.join("a/b/other")).unwrap()),
            ("a mode", |at| {
                let mode = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(at.join("a/b"), mode).unwrap();
            }),
            ("a size", |at| std::fs::write(at.join("a/file"), "longer text").unwrap()),
            ("a time", |at| {
                let file = File::open(at.join("a/file")).unwrap();
                file.set_modified(std::time::UNIX_EPOCH).unwrap();
            }),
            ("a target", |at| {
                std::fs::remove_file(at.join("a/link")).unwrap();
                symlink("../../Outside", at.join("a/link")).unwrap();
            }),
            ("a name", |at| std::fs::rename(at.join("a/file"), at.join("a/File")).unwrap()),
            ("a place", |at| std::fs::rename(at.join("a/file"), at.join("a/b/file")).unwrap()),
        ];
        for (what, change) in changes {
            let at = tree();
            let before = look(&at, Contents::Unread);
            assert_eq!(before, look(&at, Contents::Unread));
            change(at.path());
            assert_ne!(before, look(&at, Contents::Unread), "{what}");
        }
    }

    #[test]
    fn what_is_in_files_counts_when_it_is_read() {
        let at = tree();
        let (quick, whole) = (look(&at, Contents::Unread), look(&at, Contents::Read));
        assert_eq!((quick.entries, quick.bytes), (6, 4));
        let path = at.path().join("a/file");
        let time = path.metadata().unwrap().modified().unwrap();
        std::fs::write(&path, "TEXT").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        assert_eq!(quick, look(&at, Contents::Unread));
        assert_ne!(whole, look(&at, Contents::Read));
    }

    #[test]
    fn a_tree_is_removed_and_not_what_its_links_lead_to() {
        let at = tree();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("kept"), "").unwrap();
        symlink(outside.path(), at.path().join("a/out")).unwrap();
        remove(&at.path().join("a")).unwrap();
        remove(&at.path().join("a")).unwrap();
        assert_eq!(std::fs::read_dir(at.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
    }
}
