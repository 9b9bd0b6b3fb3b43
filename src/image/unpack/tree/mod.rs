//! Makes the entries of a layer below one directory, so that overlayfs can put it over others.
//!
//! Names are hostile. Each is taken apart, and each part is opened in the directory before it
//! ([`walk`]), never through a link that the kernel would follow: links are read and followed here,
//! within the image, as a process in there would see it. What is made is made in an open directory, and
//! owner, mode and times go to what was just made. So whatever somebody does to the tree
//! meanwhile, nothing outside is touched.

mod attributes;
mod below;
mod file;
mod name;
mod remove;
mod walk;
mod whiteout;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, chownat, futimens, linkat, mknodat, openat, openat2,
    symlinkat, utimensat,
};
use rustix::io::Errno;

use super::error::{Cause, Error};
use super::limits::{Limit, Limits};
use super::tar::{Blocks, Entry, Kind, Reader, Refusal};
use attributes::{dress, times_for};
pub(super) use below::TRUSTED_OPAQUE;
use below::{BENEATH, Below, DIRECTORY, Found, at};
use name::{Meaning, parts};
use remove::remove;
pub(super) use walk::Marker;
use walk::{Missing, Walk};

/// The longest target of a link that Linux takes.
const LONGEST_TARGET: usize = 4095;

/// How much was made.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Made {
    pub(super) entries: u64,
    /// Bytes of files, their holes counted as if they were full.
    pub(super) bytes: u64,
    pub(super) devices_left_out: u64,
}

/// A layer in the making.
pub(super) struct Tree<'a> {
    walk: Walk<'a>,
    limits: &'a Limits,
    made: Made,
    /// Whether all that the root shows of the layers below has been hidden.
    root_hidden: bool,
}

/// A directory below another, by its path.
pub(super) fn open_beneath(top: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    openat2(top, at(path), DIRECTORY, Mode::empty(), BENEATH)
}

/// Makes everything that the archive holds.
pub(super) fn apply<'a, B: Blocks>(
    mut reader: Reader<B>,
    upper: BorrowedFd<'_>,
    lowers: &'a [BorrowedFd<'a>],
    limits: &'a Limits,
    marker: Marker<'a>,
) -> Result<Made, Error> {
    let mut tree = Tree {
        walk: Walk::new(upper, Below(lowers), limits, marker)?,
        limits,
        made: Made::default(),
        root_hidden: false,
    };
    tree.dress_root()?;
    while let Some(entry) = reader.next()? {
        tree.entry(&entry, &mut reader).map_err(|cause| Error::new(reader.place(), cause))?;
    }
    let Tree { walk, made, .. } = tree;
    walk.finish()?;
    Ok(made)
}

impl Tree<'_> {
    /// What the root is if the layer does not say it.
    fn dress_root(&mut self) -> Result<(), Cause> {
        let times = match self.walk.below().0.first() {
            Some(_) => {
                let model = self.walk.below().open(0, b"", DIRECTORY);
                let model = model.map_err(|e| Cause::system("look into a layer below", e))?;
                attributes::copy(model.as_fd(), self.walk.here())?
            }
            None => {
                attributes::set_owner_and_mode(self.walk.here(), 0, 0, 0o755)?;
                attributes::times(0, 0)
            }
        };
        self.walk.set_times(times);
        Ok(())
    }

    fn entry<B: Blocks>(&mut self, entry: &Entry, reader: &mut Reader<B>) -> Result<(), Cause> {
        self.made.entries += 1;
        if self.made.entries > self.limits.entries {
            return Err(Limit::Entries.exceeded(self.limits.entries));
        }
        let parts = parts(&entry.name, self.limits)?;
        let Some((name, way)) = parts.split_last() else {
            return self.root(entry);
        };
        match Meaning::of(&parts)? {
            Meaning::Thing => {}
            Meaning::Nothing => return Ok(()),
            hiding => {
                // Some storage drivers wrote whiteouts as links to one file.
                return match &entry.kind {
                    Kind::File(None) if entry.size == 0 => self.hide(way, hiding),
                    Kind::HardLink(_) => self.hide(way, hiding),
                    _ => Err(Refusal::Whiteout.into()),
                };
            }
        }
        match &entry.kind {
            Kind::HardLink(target) => return self.hard_link(way, name, target),
            Kind::Device => return self.leave_out(way, name),
            _ => self.walk.go(way, Missing::Make)?,
        };
        match &entry.kind {
            Kind::Directory => self.directory(name, entry),
            Kind::File(sparse) => self.file(name, entry, sparse.as_ref(), reader),
            Kind::Symlink(target) => self.symlink(name, entry, target),
            Kind::Fifo => self.fifo(name, entry),
            Kind::HardLink(_) | Kind::Device => Ok(()),
        }
    }

    /// An entry for the root only says what the root is like.
    fn root(&mut self, entry: &Entry) -> Result<(), Cause> {
        if entry.kind != Kind::Directory {
            return Err(Refusal::Root.into());
        }
        self.walk.go(&[], Missing::Make)?;
        attributes::clear(self.walk.here())?;
        dress(self.walk.here(), entry)?;
        self.walk.set_times(times_for(entry));
        Ok(())
    }

    fn directory(&mut self, name: &[u8], entry: &Entry) -> Result<(), Cause> {
        self.walk.make(name, |directory, was_there| {
            if was_there {
                attributes::clear(directory)?;
            }
            dress(directory, entry).map(|()| times_for(entry))
        })
    }

    fn symlink(&mut self, name: &[u8], entry: &Entry, target: &[u8]) -> Result<(), Cause> {
        if target.is_empty() || target.len() > LONGEST_TARGET {
            return Err(Refusal::Target.into());
        }
        let target = at(target);
        self.place(name, "symlinkat", |here| symlinkat(target, here, at(name)))?;
        let (here, name) = (self.walk.here(), at(name));
        let (uid, gid) = attributes::owner(entry.uid, entry.gid);
        chownat(here, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Cause::system("fchownat", errno))?;
        // No attribute that an image may have goes on a link.
        utimensat(here, name, &times_for(entry), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Cause::system("utimensat", errno))
    }

    fn fifo(&mut self, name: &[u8], entry: &Entry) -> Result<(), Cause> {
        self.place(name, "mknodat", |here| {
            mknodat(here, at(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        })?;
        // Opened, so that what is dressed is what was made; that waits for no writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fifo = openat(self.walk.here(), at(name), flags, Mode::empty())
            .map_err(|errno| Cause::system("open a FIFO", errno))?;
        dress(fifo.as_fd(), entry)?;
        futimens(&fifo, &times_for(entry)).map_err(|errno| Cause::system("futimens", errno))
    }

    /// A device of an image is not made: what it would lead to is this host's. A cell has its own
    /// `/dev`. What was called so before is gone all the same.
    fn leave_out(&mut self, way: &[&[u8]], name: &[u8]) -> Result<(), Cause> {
        self.made.devices_left_out += 1;
        if !self.walk.go(way, Missing::Leave)? {
            return Ok(());
        }
        if self.walk.stat(name)?.is_some() {
            remove(self.walk.touch(), name)?;
        }
        if self.walk.shown(name)?.is_some() {
            self.whiteout(name)?;
        }
        Ok(())
    }

    /// Another name for something of this layer, or of one below: that is copied first, as overlayfs
    /// does when somebody links it. A link to a symbolic link is another name for the link.
    fn hard_link(&mut self, way: &[&[u8]], name: &[u8], target: &[u8]) -> Result<(), Cause> {
        let shown = || String::from_utf8_lossy(&target[..target.len().min(200)]).into_owned();
        let missing = || Cause::Refused(Refusal::LinkTarget(shown()));
        let no_kind = || Cause::Refused(Refusal::LinkKind(shown()));
        let parts = parts(target, self.limits)?;
        let (old, old_way) = parts.split_last().ok_or_else(no_kind)?;
        if !self.walk.go(old_way, Missing::Leave)? {
            return Err(missing());
        }
        let known = match self.walk.stat(old)? {
            Some(stat) => stat,
            None => match self.walk.shown(old)? {
                Some((layer, Found::Other(_))) => {
                    self.copy_up(layer, old)?;
                    self.walk.stat(old)?.ok_or_else(missing)?
                }
                Some((_, Found::Directory { .. })) => return Err(no_kind()),
                _ => return Err(missing()),
            },
        };
        match FileType::from_raw_mode(known.st_mode) {
            FileType::Directory => return Err(no_kind()),
            FileType::CharacterDevice => return Err(missing()),
            _ => {}
        }
        let old_directory = self.walk.here().try_clone_to_owned();
        let old_directory = old_directory.map_err(|e| Cause::system("dup", e))?;
        let old_path = self.walk.path_of(old);
        self.walk.go(way, Missing::Make)?;
        if self.walk.path_of(name) == old_path {
            return Err(no_kind());
        }
        let link = |here: BorrowedFd<'_>| {
            linkat(&old_directory, at(old), here, at(name), AtFlags::empty())
        };
        self.place(name, "linkat", link).map_err(|cause| match &cause {
            // It was in the directory that the new name took the place of.
            Cause::System { source, .. } if source.raw_os_error() == Some(2) => missing(),
            _ => cause,
        })
    }

    /// Makes something of this name in the last directory, in place of what is there.
    fn place<T>(
        &mut self,
        name: &[u8],
        call: &'static str,
        make: impl Fn(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<T, Cause> {
        let here = self.walk.touch();
        let made = match make(here) {
            Err(Errno::EXIST) => {
                remove(here, name)?;
                make(here)
            }
            made => made,
        };
        made.map_err(|errno| Cause::system(call, errno))
    }

    /// Counts bytes of files before they are written.
    fn count(&mut self, bytes: u64) -> Result<(), Cause> {
        self.made.bytes = self.made.bytes.saturating_add(bytes);
        match self.made.bytes > self.limits.bytes {
            true => Err(Limit::FileBytes.exceeded(self.limits.bytes)),
            false => Ok(()),
        }
    }
}
