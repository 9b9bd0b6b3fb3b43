//! What the init holds while it builds the cell: the new root, and paths that lead nowhere else.

use core::ffi::CStr;

use super::files;
use super::kernel::{self, Fault, Fd, Outcome, Text};
use crate::sys::abi::*;
use crate::sys::raw::{Errno, nr};

const PATH_MAX: usize = 4096;

/// The cell under construction.
#[derive(Debug)]
pub(crate) struct Cell {
    root: Fd,
    /// The directory that the last node or link went into: /dev has a dozen of them.
    parent: Option<(Text, Fd)>,
    /// The memory file system that the root is put together in, where there is one and the cell can't get
    /// at all of it by a part.
    pub(crate) scratch: Option<Fd>,
    /// The directory there that the root was mounted on: it is empty, and nothing of the cell's leads to
    /// it.
    pub(crate) ground: Option<Fd>,
    /// What hides directories and files, once the first has been hidden.
    pub(crate) empty_dir: Option<Fd>,
    pub(crate) null: Option<Fd>,
    /// The null device, open as a stream.
    pub(crate) null_stream: Option<Fd>,
    /// The memory file system that other mounts stand in.
    pub(crate) tray: Option<Fd>,
    /// The proc file system that nobody else sees, or the host's.
    pub(crate) proc: Option<Fd>,
    /// The proc file system of a PID namespace that this process is not in, begun and not yet mounted.
    pub(crate) begun_proc: Option<Fd>,
    /// Whether the streams are a terminal of the task's.
    pub(crate) terminal: bool,
}

impl Cell {
    pub(crate) fn new() -> Cell {
        Cell {
            root: Fd(-1),
            parent: None,
            scratch: None,
            ground: None,
            empty_dir: None,
            null: None,
            null_stream: None,
            tray: None,
            proc: None,
            begun_proc: None,
            terminal: false,
        }
    }

    /// Takes the open directory for the root.
    pub(crate) fn enter(&mut self, root: Fd) -> Outcome {
        self.root = root;
        kernel::fchdir(&self.root)
    }

    /// Closes all that the cell was built with.
    pub(crate) fn let_go(&mut self) {
        *self = Cell { terminal: self.terminal, ..Cell::new() };
    }

    pub(crate) fn root(&self) -> &Fd {
        &self.root
    }

    /// Opens `path` in root as a handle to mount on.
    pub(crate) fn locate(&self, path: Text, no_symlinks: bool) -> Outcome<Fd> {
        files::open_in_root(&self.root, path, O_PATH, no_symlinks)
    }

    /// The same, `None` when nothing is there.
    pub(crate) fn locate_existing(&self, path: Text) -> Outcome<Option<Fd>> {
        match self.locate(path, false) {
            Err(fault) if fault.is(Errno::ENOENT) || fault.is(Errno::ENOTDIR) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Opens the directory `path` in root that nodes go into, made where it is missing.
    pub(crate) fn parent(&mut self, path: Text) -> Outcome<&Fd> {
        let open = match self.parent.take() {
            Some((known, open)) if known.bytes() == path.bytes() => open,
            _ => match self.locate(path, true) {
                Err(fault) if fault.is(Errno::ENOENT) => {
                    self.make_dir(path)?;
                    self.locate(path, true)?
                }
                found => found?,
            },
        };
        Ok(&self.parent.insert((path, open)).1)
    }

    /// Lets go of the directory that nodes went into if what is mounted on `path` may cover it; a path
    /// that may lead through links may lead anywhere.
    pub(crate) fn cover(&mut self, path: Text, no_symlinks: bool) {
        self.parent.take_if(|(known, _)| !no_symlinks || known.bytes().starts_with(path.bytes()));
    }

    /// The same where others may have mounted something, or nobody knows where a path leads.
    pub(crate) fn forget(&mut self) {
        self.parent = None;
    }

    /// An empty directory that no path leads to, mounted nowhere yet. Each memory file system more is
    /// one to make, and one to end with the cell.
    pub(crate) fn empty(&self, attributes: u64) -> Outcome<Fd> {
        match &self.ground {
            Some(ground) => part(ground, c"", attributes),
            None => files::detached_tmpfs(attributes),
        }
    }

    /// The same, to be filled.
    pub(crate) fn fresh(&self, name: &'static CStr, attributes: u64) -> Outcome<Fd> {
        let Some(scratch) = &self.scratch else {
            return files::detached_tmpfs(attributes);
        };
        match kernel::mkdir_at(scratch.0, Text::literal(name), 0o755) {
            Err(fault) if fault.is(Errno::EEXIST) => files::detached_tmpfs(attributes),
            made => made.and_then(|()| part(scratch, name, attributes)),
        }
    }

    /// Makes the directory `path` in root, and those above it, where they are missing.
    pub(crate) fn make_dir(&self, path: Text) -> Outcome {
        self.make_each(path.bytes())
    }

    /// Makes the empty file `path` in root where it is missing.
    pub(crate) fn make_file(&self, path: Text) -> Outcome {
        let bytes = path.bytes();
        let slash = last_slash(bytes);
        self.make_each(&bytes[..slash])?;
        self.make_last(bytes, slash, |parent, name| {
            kernel::mknod_at(parent.0, name, u64::from(S_IFREG | 0o644), 0)
        })
    }

    /// Climbs from the last component to the first one that can be made, then makes those below.
    /// Each prefix is resolved from the root, so that an absolute link inside means what it will
    /// mean to the task.
    fn make_each(&self, path: &[u8]) -> Outcome {
        let make = |parent: &Fd, name| kernel::mkdir_at(parent.0, name, 0o755);
        // The root itself is there.
        let path = if path == b"/" { b"" } else { path };
        let mut end = path.len();
        while end > 0 {
            let slash = last_slash(&path[..end]);
            match self.make_last(&path[..end], slash, make) {
                Err(fault) if fault.is(Errno::ENOENT) && slash > 0 => end = slash,
                made => {
                    made?;
                    break;
                }
            }
        }
        while end < path.len() {
            let slash = end;
            end = next_slash(path, slash + 1);
            self.make_last(&path[..end], slash, make)?;
        }
        Ok(())
    }

    /// Makes the last component of `path`, which starts behind `slash`, in its parent.
    fn make_last(
        &self,
        path: &[u8],
        slash: usize,
        make: impl FnOnce(&Fd, Text) -> Outcome,
    ) -> Outcome {
        let above = if slash == 0 { b"/" } else { &path[..slash] };
        let opened;
        let parent = match &self.parent {
            Some((known, open)) if known.bytes() == above => open,
            _ => {
                opened = terminated(above, |path| self.locate(path, false))?;
                &opened
            }
        };
        match terminated(&path[slash + 1..], |name| make(parent, name)) {
            Err(fault) if fault.is(Errno::EEXIST) => Ok(()),
            other => other,
        }
    }
}

/// A directory of a memory file system, mounted nowhere yet.
fn part(dir: &Fd, name: &'static CStr, attributes: u64) -> Outcome<Fd> {
    let part = files::clone_tree(dir.0, Text::literal(name), false)?;
    let attr = MountAttr { attr_set: attributes, ..MountAttr::default() };
    files::set_attributes(&part, &attr, false)?;
    Ok(part)
}

/// Where the last component's slash is. Paths in root start with one and have no empty parts.
fn last_slash(path: &[u8]) -> usize {
    path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)
}

/// Where the component that starts at `from` ends.
fn next_slash(path: &[u8], from: usize) -> usize {
    path[from..].iter().position(|byte| *byte == b'/').map_or(path.len(), |at| from + at)
}

/// Hands `path` on with a NUL behind it.
fn terminated<T>(path: &[u8], then: impl FnOnce(Text) -> Outcome<T>) -> Outcome<T> {
    // Most paths are short, and each page of the stack that is touched is one to fault in.
    const SHORT: usize = 128;
    match path.len() < SHORT {
        true => terminated_in([0; SHORT], path, then),
        false => terminated_long(path, then),
    }
}

#[cold]
#[inline(never)]
fn terminated_long<T>(path: &[u8], then: impl FnOnce(Text) -> Outcome<T>) -> Outcome<T> {
    terminated_in([0; PATH_MAX], path, then)
}

#[inline]
fn terminated_in<T, const SIZE: usize>(
    mut buffer: [u8; SIZE],
    path: &[u8],
    then: impl FnOnce(Text) -> Outcome<T>,
) -> Outcome<T> {
    let Some(start) = buffer.get_mut(..path.len()) else {
        return Err(Fault::new(nr::openat2, Errno::ENAMETOOLONG));
    };
    start.copy_from_slice(path);
    match Text::within(&buffer) {
        Some(text) => then(text),
        None => Err(Fault::new(nr::openat2, Errno::ENAMETOOLONG)),
    }
}
