//! Deletes a directory tree of whatever shape: what a cell leaves on a disk is its own making.
//!
//! As `std::fs::remove_dir_all` it follows no link. But it goes only so deep at a time, and moves what
//! lies deeper to the top of the tree: with a descriptor and a frame of the stack for each level, a
//! cell that makes directories in directories would have this process run out of both.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// How many directories are open at a time, each in the one before.
const DEPTH: usize = 32;

/// How often a directory is emptied that has something in it again: a listing may pass over what moves
/// while others are deleted, and somebody may still be writing.
const TRIES: usize = 10;

/// Deletes the tree, or the file or link that is there instead.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when there is nothing, and [`io::ErrorKind::DirectoryNotEmpty`] while
/// somebody goes on writing. What goes away by itself meanwhile is no failure.
pub(crate) fn delete(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) => return std::fs::remove_file(path),
        opened => opened?,
    };
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let mut deep = Deep { top: top.as_fd(), prefix: u64::from_ne_bytes(random), count: 0 };
    let mut tries = 0;
    loop {
        let before = deep.count;
        empty(Dir::read_from(&top)?, &mut deep, 1)?;
        match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) if deep.count > before => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) if tries < TRIES => tries += 1,
            removed => return Ok(gone(removed)?),
        }
    }
}

/// What lies too deep, and where it goes.
struct Deep<'a> {
    top: BorrowedFd<'a>,
    /// Of a name that nobody could make beforehand.
    prefix: u64,
    count: u64,
}

impl Deep<'_> {
    fn lift(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        self.count += 1;
        let place = format!("{:016x}-{}", self.prefix, self.count);
        gone(renameat(dir, name, self.top, place))
    }
}

/// Deletes what is in a directory, but for what it moves to the top.
fn empty(mut dir: Dir, deep: &mut Deep<'_>, depth: usize) -> Result<(), Errno> {
    while let Some(entry) = dir.read() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        // Not every file system says what it is.
        if entry.file_type() != FileType::Directory {
            match unlinkat(dir.fd()?, name, AtFlags::empty()) {
                Err(Errno::ISDIR) => {}
                removed => {
                    gone(removed)?;
                    continue;
                }
            }
        }
        empty_and_remove(dir.fd()?, &CString::from(name), deep, depth)?;
    }
    Ok(())
}

fn empty_and_remove(
    dir: BorrowedFd<'_>,
    name: &CStr,
    deep: &mut Deep<'_>,
    depth: usize,
) -> Result<(), Errno> {
    let mut tries = 0;
    loop {
        match unlinkat(dir, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) if tries <= TRIES => tries += 1,
            removed => return gone(removed),
        }
        if depth == DEPTH {
            return deep.lift(dir, name);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(dir, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            opened => empty(Dir::new(opened?)?, deep, depth + 1)?,
        }
    }
}

/// Somebody else may delete the same tree.
fn gone(removed: Result<(), Errno>) -> Result<(), Errno> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, OwnedFd};

    use rustix::fs::mkdirat;

    use super::*;

    fn make(dir: impl AsFd, name: &str) -> OwnedFd {
        mkdirat(&dir, name, Mode::RWXU).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&dir, name, flags, Mode::empty()).unwrap()
    }

    #[test]
    fn a_tree_may_be_deeper_than_a_process_has_descriptors_and_stack() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("tree");
        let mut dir = make(CWD, path.to_str().unwrap());
        for level in 0..20_000 {
            if level % 100 == 0 {
                std::fs::write(format!("/proc/self/fd/{}/file", dir.as_raw_fd()), "x").unwrap();
                make(&dir, "beside");
            }
            dir = make(&dir, "d");
        }
        drop(dir);
        let small = std::thread::Builder::new().stack_size(128 << 10);
        let there = path.clone();
        small.spawn(move || delete(&there)).unwrap().join().unwrap().unwrap();
        assert!(!path.exists());
        assert_eq!(delete(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn nothing_that_a_link_leads_to_is_deleted() {
        let at = tempfile::tempdir().unwrap();
        let (tree, kept) = (at.path().join("tree"), at.path().join("kept"));
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::create_dir_all(kept.join("c")).unwrap();
        for link in ["link", "a/link", "a/b/link"] {
            std::os::unix::fs::symlink(&kept, tree.join(link)).unwrap();
        }
        delete(&tree).unwrap();
        assert!(!tree.exists() && kept.join("c").exists());
        std::os::unix::fs::symlink(&kept, &tree).unwrap();
        delete(&tree).unwrap();
        assert!(tree.symlink_metadata().is_err() && kept.join("c").exists());
    }

    #[test]
    fn many_things_in_one_directory_all_go() {
        let at = tempfile::tempdir().unwrap();
        let tree = at.path().join("tree");
        for number in 0..3000 {
            std::fs::create_dir_all(tree.join(format!("{number}/inside"))).unwrap();
            std::fs::write(tree.join(format!("file-{number}")), "").unwrap();
        }
        delete(&tree).unwrap();
        assert!(!tree.exists());
    }
}
