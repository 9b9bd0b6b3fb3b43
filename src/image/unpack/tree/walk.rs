//! The way to a directory: a stack of open directories, each opened in the one before.
//!
//! No path is looked up twice. Entries of an archive mostly come directory by directory, so most of
//! the way is open already. A directory gets its times back when it is left, for everything made in
//! it changes them; so nothing has to be remembered but the way.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, Timestamps, XattrFlags, fsetxattr, fstat, futimens,
    mkdirat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use super::super::error::Cause;
use super::super::limits::{Limit, Limits};
use super::super::tar::Refusal;
use super::attributes::{self, times};
use super::below::{BENEATH, Below, DIRECTORY, Found, TRUSTED_OPAQUE, USER_OPAQUE, at, is_opaque};
use super::remove::remove;

/// How many symbolic links may lie on the way, as for the kernel.
const MOST_LINKS: usize = 40;

/// A directory on the way, which is in the layer that is being made.
#[derive(Debug)]
struct Node {
    name: Vec<u8>,
    directory: OwnedFd,
    /// Which layers below show through; asked for when it is needed.
    below: Option<Vec<u16>>,
    /// What it is to have when it is left.
    times: Timestamps,
    /// Whether its times have to be set again.
    touched: bool,
}

/// Whether a directory that is nowhere is made, or reason enough to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missing {
    Make,
    Leave,
}

/// What one step on the way comes to.
enum Step {
    Entered,
    Link(Vec<u8>),
    Missing,
}

/// Who gives a directory the attribute that only `CAP_SYS_ADMIN` may give.
pub(in super::super) enum Marker<'a> {
    /// Whoever makes the tree.
    Here,
    /// Another process, which is told the directory's path.
    Told(&'a mut dyn FnMut(&[u8]) -> Result<(), Cause>),
}

/// A way from the root of the layer to one of its directories.
pub(super) struct Walk<'a> {
    nodes: Vec<Node>,
    below: Below<'a>,
    limits: &'a Limits,
    marker: Marker<'a>,
}

impl<'a> Walk<'a> {
    /// A way that ends at the root.
    pub(super) fn new(
        root: BorrowedFd<'_>,
        below: Below<'a>,
        limits: &'a Limits,
        marker: Marker<'a>,
    ) -> Result<Walk<'a>, Cause> {
        let directory = openat2(root, ".", DIRECTORY, Mode::empty(), BENEATH)
            .map_err(|errno| Cause::system("open the layer's directory", errno))?;
        let node = Node {
            name: Vec::new(),
            directory,
            below: Some(below.all()),
            times: times(0, 0),
            touched: true,
        };
        Ok(Walk { nodes: vec![node], below, limits, marker })
    }

    /// The directory at the end of the way.
    pub(super) fn here(&self) -> BorrowedFd<'_> {
        self.last().directory.as_fd()
    }

    /// The same, about to be changed.
    pub(super) fn touch(&mut self) -> BorrowedFd<'_> {
        let last = self.nodes.len() - 1;
        self.nodes[last].touched = true;
        self.nodes[last].directory.as_fd()
    }

    /// The times that the last directory is to have when it is left.
    pub(super) fn set_times(&mut self, times: Timestamps) {
        let last = self.nodes.len() - 1;
        self.nodes[last].times = times;
        self.nodes[last].touched = true;
    }

    /// Where the way leads: the names of all directories with slashes between.
    pub(super) fn path(&self) -> Vec<u8> {
        self.path_to(self.nodes.len())
    }

    fn path_to(&self, count: usize) -> Vec<u8> {
        let mut path = Vec::new();
        for node in &self.nodes[1..count] {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&node.name);
        }
        path
    }

    /// The path of something in the last directory.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    fn last(&self) -> &Node {
        &self.nodes[self.nodes.len() - 1]
    }

    /// Which layers below show through in the last directory.
    pub(super) fn layers(&mut self) -> Result<&[u16], Cause> {
        let known = self.nodes.iter().rposition(|node| node.below.is_some()).unwrap_or(0);
        for at in known + 1..self.nodes.len() {
            let parents = self.nodes[at - 1].below.as_deref().unwrap_or_default();
            let layers = if parents.is_empty() || is_opaque(&self.nodes[at].directory)? {
                Vec::new()
            } else {
                self.below.directories(parents, &self.path_to(at + 1))?
            };
            self.nodes[at].below = Some(layers);
        }
        Ok(self.last().below.as_deref().unwrap_or_default())
    }

    /// What the layers below show under this name in the last directory.
    pub(super) fn shown(&mut self, name: &[u8]) -> Result<Option<(u16, Found)>, Cause> {
        if self.layers()?.is_empty() {
            return Ok(None);
        }
        let path = self.path_of(name);
        self.below.top(self.last().below.as_deref().unwrap_or_default(), &path)
    }

    /// Lets nothing show through in the last directory any more. The root can't be marked so:
    /// overlayfs does not look.
    pub(super) fn seal(&mut self) -> Result<(), Cause> {
        let set = |fd: BorrowedFd<'_>, name| {
            fsetxattr(fd, name, b"y", XattrFlags::empty())
                .map_err(|errno| Cause::system("mark a directory as opaque", errno))
        };
        set(self.here(), USER_OPAQUE)?;
        let path = self.path();
        match &mut self.marker {
            Marker::Told(tell) => tell(&path)?,
            Marker::Here => set(self.here(), TRUSTED_OPAQUE)?,
        }
        let last = self.nodes.len() - 1;
        self.nodes[last].below = Some(Vec::new());
        Ok(())
    }

    /// The layers below.
    pub(super) fn below(&self) -> Below<'a> {
        self.below
    }

    /// Makes the way lead to this directory, through links where there are any. False if it is
    /// nowhere and `missing` says that this is enough.
    pub(super) fn go(&mut self, parts: &[&[u8]], missing: Missing) -> Result<bool, Cause> {
        let way = self.nodes[1..].iter().map(|node| &node.name[..]);
        let shared = way.zip(parts).take_while(|(known, part)| known == *part).count();
        self.leave(1 + shared)?;
        let mut rest: Vec<Vec<u8>> =
            parts[shared..].iter().rev().map(|part| part.to_vec()).collect();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            match self.step(&part)? {
                Step::Entered => {}
                Step::Missing if missing == Missing::Leave => return Ok(false),
                Step::Missing => self.make_default(&part)?,
                Step::Link(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Refusal::Loop.into());
                    }
                    if target.starts_with(b"/") {
                        self.leave(1)?;
                    }
                    self.follow(&target, &mut rest)?;
                }
            }
        }
        Ok(true)
    }

    /// The parts of a link's target go before the rest of the way.
    fn follow(&mut self, target: &[u8], rest: &mut Vec<Vec<u8>>) -> Result<(), Cause> {
        let parts = target.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
        let parts: Vec<_> = parts.map(<[u8]>::to_vec).collect();
        rest.extend(parts.into_iter().rev());
        let bytes: usize = rest.iter().map(|part| part.len() + 1).sum();
        match bytes as u64 > 2 * self.limits.path_bytes {
            true => Err(Limit::PathBytes.exceeded(self.limits.path_bytes)),
            false => Ok(()),
        }
    }

    fn step(&mut self, part: &[u8]) -> Result<Step, Cause> {
        if part == b".." {
            // Links may lead upwards; above the root is the root.
            self.leave(self.nodes.len().saturating_sub(1).max(1))?;
            return Ok(Step::Entered);
        }
        if self.nodes.len() as u64 > self.limits.depth {
            return Err(Limit::Depth.exceeded(self.limits.depth));
        }
        match open_directory(self.here(), part) {
            Ok(directory) => {
                let stat = fstat(&directory);
                let stat = stat.map_err(|errno| Cause::system("look at a directory", errno))?;
                self.enter(part, directory, attributes::times_of(&stat), false);
                Ok(Step::Entered)
            }
            Err(Errno::NOENT) => self.step_below(part),
            Err(Errno::NOTDIR | Errno::LOOP) => self.step_aside(part),
            Err(errno) => Err(Cause::system("open a directory", errno)),
        }
    }

    /// The layer has something of this name that is no directory.
    fn step_aside(&mut self, part: &[u8]) -> Result<Step, Cause> {
        let stat = self.stat(part)?.ok_or(Cause::Refused(Refusal::NoDirectory))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target = readlinkat(self.here(), at(part), Vec::new())
                    .map_err(|errno| Cause::system("readlinkat", errno))?;
                Ok(Step::Link(target.into_bytes()))
            }
            FileType::CharacterDevice if stat.st_rdev == 0 => Ok(Step::Missing),
            _ => Err(Refusal::NoDirectory.into()),
        }
    }

    /// The layer has nothing of this name; those below may.
    fn step_below(&mut self, part: &[u8]) -> Result<Step, Cause> {
        match self.shown(part)? {
            None | Some((_, Found::Nothing | Found::Whiteout)) => Ok(Step::Missing),
            Some((layer, Found::Directory { .. })) => {
                let path = self.path_of(part);
                let model = self.below.open(layer, &path, DIRECTORY);
                let model = model.map_err(|e| Cause::system("look into a layer below", e))?;
                self.make(part, |made, _| attributes::copy(model.as_fd(), made))?;
                Ok(Step::Entered)
            }
            Some((layer, Found::Other(stat)))
                if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink =>
            {
                let path = self.path_of(part);
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let target = self.below.open(layer, &path, flags);
                let target = target.and_then(|link| readlinkat(&link, "", Vec::new()));
                let target = target.map_err(|e| Cause::system("look into a layer below", e))?;
                Ok(Step::Link(target.into_bytes()))
            }
            Some((_, Found::Other(_))) => Err(Refusal::NoDirectory.into()),
        }
    }

    /// What is called so in the last directory of this layer.
    pub(super) fn stat(&self, name: &[u8]) -> Result<Option<Stat>, Cause> {
        match statat(self.here(), at(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Cause::system("fstatat", errno)),
        }
    }

    /// A directory that the archive takes for granted, and that is nowhere.
    fn make_default(&mut self, part: &[u8]) -> Result<(), Cause> {
        self.make(part, |made, _| {
            attributes::set_owner_and_mode(made, 0, 0, 0o755).map(|()| times(0, 0))
        })
    }

    /// Goes into the directory of this name in the last one, which is made if need be, in place of
    /// whatever else is there. `dress` is told whether it was there and says which times it gets.
    pub(super) fn make(
        &mut self,
        part: &[u8],
        dress: impl FnOnce(BorrowedFd<'_>, bool) -> Result<Timestamps, Cause>,
    ) -> Result<(), Cause> {
        let failed = |errno| Cause::system("mkdirat", errno);
        let mode = Mode::RWXU;
        let (mut was_there, mut hidden) = (false, false);
        match mkdirat(self.touch(), at(part), mode) {
            Err(Errno::EXIST) => match open_directory(self.here(), part) {
                Ok(_) => was_there = true,
                Err(_) => {
                    remove(self.here(), part)?;
                    mkdirat(self.here(), at(part), mode).map_err(failed)?;
                    // What was there hid what lies below, and that stays hidden.
                    hidden = self.shows_directory(part)?;
                }
            },
            made => made.map_err(failed)?,
        }
        let directory = open_directory(self.here(), part)
            .map_err(|errno| Cause::system("open a directory", errno))?;
        let times = dress(directory.as_fd(), was_there)?;
        self.enter(part, directory, times, true);
        if hidden {
            self.seal()?;
        }
        Ok(())
    }

    fn shows_directory(&mut self, name: &[u8]) -> Result<bool, Cause> {
        Ok(matches!(self.shown(name)?, Some((_, Found::Directory { .. }))))
    }

    fn enter(&mut self, name: &[u8], directory: OwnedFd, times: Timestamps, touched: bool) {
        self.nodes.push(Node { name: name.to_vec(), directory, below: None, times, touched });
    }

    /// Shortens the way to `count` directories, the root included.
    pub(super) fn leave(&mut self, count: usize) -> Result<(), Cause> {
        while self.nodes.len() > count {
            if let Some(node) = self.nodes.pop() {
                settle(&node)?;
            }
        }
        Ok(())
    }

    /// Leaves them all.
    pub(super) fn finish(mut self) -> Result<(), Cause> {
        self.leave(0)
    }
}

fn open_directory(within: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    openat2(within, at(name), DIRECTORY, Mode::empty(), BENEATH)
}

/// Gives a directory its times back.
fn settle(node: &Node) -> Result<(), Cause> {
    match node.touched {
        true => futimens(&node.directory, &node.times)
            .map_err(|errno| Cause::system("set the times of a directory", errno)),
        false => Ok(()),
    }
}
