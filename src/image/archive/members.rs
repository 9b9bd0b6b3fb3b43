//! The members of an archive: files with exact names, in a tar file or below a directory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

use super::region::Region;
use super::{Error, tar};
use crate::image::DOCUMENT_LIMIT;

/// The members of an archive, by name.
#[derive(Debug)]
pub(super) struct Members {
    from: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Tar { file: Region, members: BTreeMap<String, Member> },
    Directory(OwnedFd),
}

/// What a tar file holds under a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Member {
    File {
        offset: u64,
        len: u64,
    },
    Directory,
    Symlink(String),
    /// What no image is made of, by its name in messages.
    Other(&'static str),
}

impl Members {
    /// Lists a tar file without reading what its members hold.
    pub(super) fn of_tar(file: Region, from: &Path) -> Result<Members, Error> {
        let members = tar::list(&file, from)?;
        Ok(Members { from: from.to_owned(), source: Source::Tar { file, members } })
    }

    pub(super) fn of_directory(path: &Path) -> Result<Members, Error> {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let dir =
            open(path, flags, Mode::empty()).map_err(|errno| Error::io("open", path, errno))?;
        Ok(Members { from: path.to_owned(), source: Source::Directory(dir) })
    }

    /// Where the archive came from.
    pub(super) fn shown(&self) -> PathBuf {
        self.from.clone()
    }

    /// Whether there is anything with this name.
    pub(super) fn has(&self, name: &str) -> Result<bool, Error> {
        match &self.source {
            Source::Tar { members, .. } => Ok(members.contains_key(name)),
            Source::Directory(dir) => Ok(self.look(dir, name)?.is_some()),
        }
    }

    /// The file with this name. Anything else with it is an error.
    pub(super) fn file(&self, name: &str) -> Result<Option<Region>, Error> {
        match &self.source {
            Source::Directory(dir) => self.open(dir, name),
            Source::Tar { file, members } => match members.get(name) {
                None => Ok(None),
                Some(Member::File { offset, len }) => {
                    let offset = file.offset + offset;
                    Ok(Some(Region { file: file.file.clone(), offset, len: *len }))
                }
                Some(Member::Directory) => Err(not_a_file(name, "a directory")),
                Some(Member::Symlink(_)) => Err(not_a_file(name, "a symbolic link")),
                Some(Member::Other(what)) => Err(not_a_file(name, what)),
            },
        }
    }

    /// The same, if it must be there.
    pub(super) fn wanted(&self, name: &str) -> Result<Region, Error> {
        self.file(name)?.ok_or_else(|| Error::member(name, "is missing"))
    }

    /// Where a symbolic link in a tar file points to.
    pub(super) fn link(&self, name: &str) -> Option<&str> {
        match &self.source {
            Source::Tar { members, .. } => match members.get(name) {
                Some(Member::Symlink(target)) => Some(target),
                _ => None,
            },
            Source::Directory(_) => None,
        }
    }

    /// What a document's file holds.
    pub(super) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.file(name)?.map(|region| self.read(name, &region)).transpose()
    }

    /// What a document's region holds.
    pub(super) fn read(&self, name: &str, region: &Region) -> Result<Vec<u8>, Error> {
        let limit = DOCUMENT_LIMIT as u64;
        if region.len > limit {
            let why = format!("has {} bytes, more than a document's {limit}", region.len);
            return Err(Error::member(name, why));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(region.len).unwrap_or_default());
        let failed = |error: io::Error| Error::member(name, format!("can't be read: {error}"));
        region.reader().read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// Looks for a name without opening what is there: opening a device does things.
    fn look(&self, dir: &OwnedFd, name: &str) -> Result<Option<FileType>, Error> {
        let Some(place) = self.at(dir, name, OFlags::PATH)? else { return Ok(None) };
        let stat = fstat(&place).map_err(|errno| self.failed(name, errno))?;
        Ok(Some(FileType::from_raw_mode(stat.st_mode)))
    }

    fn open(&self, dir: &OwnedFd, name: &str) -> Result<Option<Region>, Error> {
        match self.look(dir, name)? {
            None => return Ok(None),
            Some(FileType::RegularFile) => {}
            Some(kind) => return Err(not_a_file(name, kind_of(kind))),
        }
        // Somebody may have put another thing there by now: a FIFO must not hold this back.
        let Some(file) = self.at(dir, name, OFlags::RDONLY | OFlags::NONBLOCK)? else {
            return Ok(None);
        };
        let stat = fstat(&file).map_err(|errno| self.failed(name, errno))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let failed = |error| Error::io("look at", self.from.join(name), error);
                Region::whole(File::from(file)).map(Some).map_err(failed)
            }
            kind => Err(not_a_file(name, kind_of(kind))),
        }
    }

    /// Opens what has the name, below the directory and through no link.
    fn at(&self, dir: &OwnedFd, name: &str, flags: OFlags) -> Result<Option<OwnedFd>, Error> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            match openat2(dir, name, flags, Mode::empty(), resolve) {
                Ok(found) => return Ok(Some(found)),
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                // The kernel gives up when a rename elsewhere may have raced.
                Err(Errno::AGAIN) if tries < 128 => tries += 1,
                Err(Errno::LOOP) => {
                    return Err(not_a_file(name, "reached through a symbolic link"));
                }
                Err(Errno::XDEV) => return Err(Error::member(name, "lies outside the directory")),
                Err(errno) => return Err(self.failed(name, errno)),
            }
        }
    }

    fn failed(&self, name: &str, errno: Errno) -> Error {
        Error::io("open", self.from.join(name), errno)
    }
}

fn not_a_file(name: &str, what: &str) -> Error {
    Error::member(name, format!("is {what}, and must be a regular file"))
}

fn kind_of(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        _ => "something unknown",
    }
}
