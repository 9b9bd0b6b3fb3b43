//! What a plan says of a mount: a new file system, or a part of the host's tree.

use std::fmt;

use super::plan::IdMaps;
use crate::init::wire::COPY_UP;
use crate::sys::abi::{MOUNT_ATTR_RDONLY, MS_RDONLY};

/// A new file system.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are the arguments of mount(2)")]
pub struct Mount {
    pub source: String,
    pub target: String,
    pub kind: String,
    pub flags: u64,
    /// The same as `MOUNT_ATTR_*`.
    pub attributes: u64,
    pub data: String,
    /// How the target is found and made: the flags of a step on the wire.
    pub how: u16,
}

/// A part of the host's tree. The parent opens it, settles its attributes while nobody sees it and
/// sends it along: the init has nothing of the host's in its mount namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are the arguments of mount_setattr(2)")]
pub struct Tree {
    pub path: String,
    /// `MOUNT_ATTR_*` to set and to clear on the mount itself.
    pub own: [u64; 2],
    /// The same for the mount and all that comes along below it.
    pub tree: [u64; 2],
    /// `MS_PRIVATE`, …; with `MS_REC` for the whole tree.
    pub propagation: u64,
    /// Whether a shared tree stays one with the host's: what is mounted in the cell is mounted there.
    pub peer: bool,
    /// Whether what is mounted below it comes along.
    pub recursive: bool,
    /// Whose ids the files have, in a cell with ids of its own.
    pub mapped: Mapped,
    /// The ids for it that are not the cell's: files of the first number of a line appear as the
    /// second's.
    pub ids: Option<IdMaps>,
}

/// Whether a cell's ids stand for the same ids on the file systems of a part of the host's tree.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Mapped {
    /// They don't: most owners are nobody inside.
    #[default]
    No,
    /// On the mount itself.
    Top,
    /// And on all that comes along below it.
    All,
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mount { kind, target, flags, data, .. } = self;
        let ro = if flags & MS_RDONLY as u64 != 0 { "read-only " } else { "" };
        let copy = if self.how & COPY_UP != 0 { " with a copy of what is there" } else { "" };
        write!(f, "mount {ro}{kind} at {target}{copy} (flags {flags:#x}, {data:?})")
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ro =
            if (self.own[0] | self.tree[0]) & MOUNT_ATTR_RDONLY != 0 { "read-only " } else { "" };
        let mapped = if self.mapped == Mapped::No { "" } else { ", ids mapped," };
        write!(f, "bind {ro}{}{mapped}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::*;

    #[test]
    fn steps_read_like_sentences_with_their_arguments() {
        let tree = Tree {
            path: "/img/lib".into(),
            own: [0, 0],
            tree: [MOUNT_ATTR_RDONLY, 0],
            propagation: 0,
            peer: false,
            recursive: false,
            mapped: Mapped::No,
            ids: None,
        };
        let step = Step::Tree { tree: Box::new(tree), target: "/lib".into(), how: 0 };
        assert_eq!(step.to_string(), "bind read-only /img/lib at /lib");
    }
}
