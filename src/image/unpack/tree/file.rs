//! Files with content: from the archive, or copied from a layer below.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timestamps, chownat, fstat, ftruncate, futimens, mknodat,
    openat, readlinkat, symlinkat, utimensat,
};
use rustix::io::{Errno, pwrite};

use super::super::error::Cause;
use super::super::tar::{Blocks, Entry, Reader, Refusal, Sparse};
use super::Tree;
use super::attributes::{self, dress, times_for, times_of};
use super::below::at;

const NEW: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl Tree<'_> {
    pub(super) fn file<B: Blocks>(
        &mut self,
        name: &[u8],
        entry: &Entry,
        sparse: Option<&Sparse>,
        reader: &mut Reader<B>,
    ) -> Result<(), Cause> {
        self.count(sparse.map_or(entry.size, |sparse| sparse.size))?;
        let file = self.new_file(name)?;
        match sparse {
            None => fill(&file, reader)?,
            Some(sparse) => fill_pieces(&file, sparse, reader)?,
        }
        dress(file.as_fd(), entry)?;
        set_times(&file, &times_for(entry))
    }

    fn new_file(&mut self, name: &[u8]) -> Result<OwnedFd, Cause> {
        self.place(name, "create a file", |here: BorrowedFd<'_>| {
            openat(here, at(name), NEW, Mode::RUSR | Mode::WUSR)
        })
    }

    /// Copies what a layer below has at the same place.
    pub(super) fn copy_up(&mut self, layer: u16, name: &[u8]) -> Result<(), Cause> {
        let failed = |errno| Cause::system("look into a layer below", errno);
        let path = self.walk.path_of(name);
        let open = |flags: OFlags| {
            self.walk.below().open(layer, &path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC)
        };
        let looked = open(OFlags::PATH).map_err(failed)?;
        let stat = fstat(&looked).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let mut model = File::from(open(OFlags::RDONLY).map_err(failed)?);
                self.count(u64::try_from(stat.st_size).unwrap_or_default())?;
                let mut file = File::from(self.new_file(name)?);
                std::io::copy(&mut model, &mut file)
                    .and_then(|_| file.flush())
                    .map_err(|error| Cause::system("copy a file of a layer below", error))?;
                let times = attributes::copy(model.as_fd(), file.as_fd())?;
                set_times(&OwnedFd::from(file), &times)
            }
            FileType::Symlink => {
                let target = readlinkat(&looked, "", Vec::new()).map_err(failed)?;
                let (uid, gid) = attributes::owner(stat.st_uid, stat.st_gid);
                self.place(name, "symlinkat", |here| symlinkat(&target, here, at(name)))?;
                let (here, nofollow) = (self.walk.here(), AtFlags::SYMLINK_NOFOLLOW);
                chownat(here, at(name), uid, gid, nofollow)
                    .and_then(|()| utimensat(here, at(name), &times_of(&stat), nofollow))
                    .map_err(|errno| Cause::system("copy a link of a layer below", errno))
            }
            FileType::Fifo => {
                let mode = Mode::RUSR | Mode::WUSR;
                let fifo = |here: BorrowedFd<'_>| mknodat(here, at(name), FileType::Fifo, mode, 0);
                self.place(name, "mknodat", fifo)?;
                let flags = OFlags::RDONLY | OFlags::NONBLOCK;
                let model = open_again(self.walk.here(), name, flags)?;
                attributes::set_owner_and_mode(
                    model.as_fd(),
                    stat.st_uid,
                    stat.st_gid,
                    stat.st_mode & 0o7777,
                )?;
                set_times(&model, &times_of(&stat))
            }
            _ => Err(Refusal::LinkKind(String::from_utf8_lossy(name).into_owned()).into()),
        }
    }
}

fn open_again(here: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> Result<OwnedFd, Cause> {
    openat(here, at(name), flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Cause::system("open a FIFO", errno))
}

fn set_times(file: &OwnedFd, times: &Timestamps) -> Result<(), Cause> {
    futimens(file, times).map_err(|errno| Cause::system("futimens", errno))
}

fn fill<B: Blocks>(file: &OwnedFd, reader: &mut Reader<B>) -> Result<(), Cause> {
    while let Some(mut piece) = reader.content()? {
        while !piece.is_empty() {
            match rustix::io::write(file, piece) {
                Ok(count) => piece = &piece[count..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Cause::system("write a file", errno)),
            }
        }
    }
    Ok(())
}

/// The pieces lie one behind the other in the archive, and apart in the file.
fn fill_pieces<B: Blocks>(
    file: &OwnedFd,
    sparse: &Sparse,
    reader: &mut Reader<B>,
) -> Result<(), Cause> {
    ftruncate(file, sparse.size).map_err(|errno| Cause::system("ftruncate", errno))?;
    let mut pieces = sparse.pieces.iter().copied();
    let (mut offset, mut left) = pieces.next().unwrap_or_default();
    while let Some(mut content) = reader.content()? {
        while !content.is_empty() {
            if left == 0 {
                (offset, left) = pieces.next().ok_or(Cause::Refused(Refusal::Sparse))?;
            }
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(content.len());
            match pwrite(file, &content[..now], offset) {
                Ok(count) => {
                    content = &content[count..];
                    offset += count as u64;
                    left -= count as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Cause::system("write a file", errno)),
            }
        }
    }
    Ok(())
}
