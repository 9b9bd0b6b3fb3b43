//! Removing what an entry takes the place of, by descriptors.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, openat2, statat, unlinkat};
use rustix::io::Errno;

use super::super::error::Cause;
use super::below::{BENEATH, DIRECTORY, at};

/// Removes what has this name in the directory, with everything in it. It has been made by the layer
/// itself, so it is no deeper than a layer may be.
pub(super) fn remove(within: BorrowedFd<'_>, name: &[u8]) -> Result<(), Cause> {
    let failed = |errno| Cause::system("remove what an entry takes the place of", errno);
    match unlinkat(within, at(name), AtFlags::empty()) {
        Ok(()) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let directory = openat2(within, at(name), DIRECTORY, Mode::empty(), BENEATH).map_err(failed)?;
    let mut entries = Dir::read_from(&directory).map_err(failed)?;
    while let Some(entry) = entries.read() {
        let entry = entry.map_err(failed)?;
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            name => remove(std::os::fd::AsFd::as_fd(&directory), name)?,
        }
    }
    unlinkat(within, at(name), AtFlags::REMOVEDIR).map_err(failed)
}

/// Removes the whiteouts in the directory: where nothing shows through, they would be seen.
pub(super) fn remove_whiteouts(directory: BorrowedFd<'_>) -> Result<(), Cause> {
    let failed = |errno| Cause::system("remove whiteouts", errno);
    let mut entries = Dir::read_from(directory).map_err(failed)?;
    while let Some(entry) = entries.read() {
        let entry = entry.map_err(failed)?;
        if entry.file_type() == FileType::CharacterDevice {
            let name = at(entry.file_name().to_bytes());
            let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            if stat.st_rdev == 0 {
                unlinkat(directory, name, AtFlags::empty()).map_err(failed)?;
            }
        }
    }
    Ok(())
}

/// What is in the directory.
pub(super) fn names(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Cause> {
    let failed = |errno| Cause::system("read a directory", errno);
    let mut entries = Dir::read_from(directory).map_err(failed)?;
    let mut names = Vec::new();
    while let Some(entry) = entries.read() {
        match entry.map_err(failed)?.file_name().to_bytes() {
            b"." | b".." => {}
            name => names.push(name.to_vec()),
        }
    }
    Ok(names)
}
