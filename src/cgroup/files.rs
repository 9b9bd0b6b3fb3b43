//! One cgroup directory, held open, and the small files in it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, chmodat, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use super::Error;
use crate::fault::{self, Point};

/// What one read of a kernel file gives at most; only the files about devices are longer.
const PAGE: usize = 4096;

/// The mode of a directory that everybody may look at.
const OPEN_TO_READERS: Mode = Mode::from_raw_mode(0o755);

/// An open cgroup directory. Its descriptor stays valid whatever is mounted over the path later.
#[derive(Debug)]
pub(super) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    pub(super) fn open(path: &Path) -> Result<Dir, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = fault::at(Point::CgroupRoot, || rustix::fs::open(path, flags, Mode::empty()))
            .map_err(|errno| Error::io("open", path, errno.into()))?;
        Ok(Dir { fd, path: path.to_owned() })
    }

    /// The same, if it exists.
    pub(super) fn open_if_there(path: &Path) -> Result<Option<Dir>, Error> {
        match Dir::open(path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// The same directory once more.
    pub(super) fn again(&self) -> Result<Dir, Error> {
        let failed = |error| Error::io("open", &self.path, error);
        Ok(Dir { fd: self.fd.try_clone().map_err(failed)?, path: self.path.clone() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory `name` and opens it. One that exists is an error: nobody else's
    /// processes may be in a cell's cgroup.
    pub(super) fn make(&self, name: &str) -> Result<Dir, Error> {
        let path = self.path.join(name);
        fault::at(Point::CgroupDirectory, || mkdirat(&self.fd, name, OPEN_TO_READERS))
            .map_err(|errno| Error::io("make", &path, errno.into()))?;
        self.enter_new(name)
    }

    /// Opens a directory just made.
    fn enter_new(&self, name: &str) -> Result<Dir, Error> {
        let dir = self.enter(name)?;
        dir.let_readers_in()?;
        Ok(dir)
    }

    /// The cell looks at it, so the umask of whoever made it must not close it.
    fn let_readers_in(&self) -> Result<(), Error> {
        let failed = |errno: Errno| Error::io("open to readers", &self.path, errno.into());
        let mode = Mode::from_raw_mode(fstat(&self.fd).map_err(failed)?.st_mode);
        if !mode.contains(OPEN_TO_READERS) {
            let chmod = || chmodat(&self.fd, ".", OPEN_TO_READERS, AtFlags::empty());
            fault::at(Point::CgroupMode, chmod).map_err(failed)?;
        }
        Ok(())
    }

    /// Opens the directory `name`, made when missing.
    pub(super) fn make_or_enter(&self, name: &str) -> Result<Dir, Error> {
        self.make_unless_there(name).map(|(dir, _)| dir)
    }

    /// Opens the directory `name` and tells whether it was missing, and has been made.
    pub(super) fn make_if_missing(&self, name: &str) -> Result<(Dir, bool), Error> {
        match self.find(name)? {
            Some(dir) => Ok((dir, false)),
            None => self.make_unless_there(name),
        }
    }

    /// The directory at a path, if it was all that was missing there, and has been made.
    pub(super) fn make_last(path: &Path) -> Result<Option<Dir>, Error> {
        match fault::at(Point::CgroupDirectory, || mkdirat(CWD, path, OPEN_TO_READERS)) {
            Ok(()) => {}
            Err(Errno::NOENT | Errno::EXIST) => return Ok(None),
            Err(errno) => return Err(Error::io("make", path, errno.into())),
        }
        let made = Dir::open(path).and_then(|dir| dir.let_readers_in().map(|()| Some(dir)));
        made.inspect_err(|_| {
            let _ = rustix::fs::rmdir(path);
        })
    }

    fn make_unless_there(&self, name: &str) -> Result<(Dir, bool), Error> {
        match fault::at(Point::CgroupDirectory, || mkdirat(&self.fd, name, OPEN_TO_READERS)) {
            Ok(()) => {
                let made = self.enter_new(name).map(|dir| (dir, true));
                made.inspect_err(|_| {
                    let _ = self.remove(name);
                })
            }
            Err(Errno::EXIST) => Ok((self.enter(name)?, false)),
            Err(errno) => Err(Error::io("make", self.path.join(name), errno.into())),
        }
    }

    /// Opens the directory `name` if it exists.
    pub(super) fn find(&self, name: impl AsRef<Path>) -> Result<Option<Dir>, Error> {
        match self.enter(name) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    pub(super) fn enter(&self, name: impl AsRef<Path>) -> Result<Dir, Error> {
        let name = name.as_ref();
        let path = self.path.join(name);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = fault::at(Point::CgroupOpen, || openat(&self.fd, name, flags, Mode::empty()))
            .map_err(|errno| Error::io("open", &path, errno.into()))?;
        Ok(Dir { fd, path })
    }

    /// The directory that this one is in.
    pub(super) fn above(&self) -> Result<Dir, Error> {
        let above = self.enter("..")?;
        let path = self.path.parent().unwrap_or(&self.path).to_owned();
        Ok(Dir { path, ..above })
    }

    /// Removes the empty directory `name`; one that is gone already is fine.
    pub(super) fn remove(&self, name: impl AsRef<Path>) -> Result<(), Errno> {
        let name = name.as_ref();
        match fault::at(Point::CgroupRemoval, || unlinkat(&self.fd, name, AtFlags::REMOVEDIR)) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// The names of the directories in this one. Those that a container made may be no UTF-8.
    pub(super) fn children(&self) -> Result<Vec<OsString>, Error> {
        let failed = |errno: Errno| Error::io("list", &self.path, errno.into());
        let mut names = Vec::new();
        // The kept descriptor is only a handle (O_PATH); listing needs one that can be read.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || openat(&self.fd, ".", flags, Mode::empty());
        let readable = fault::at(Point::CgroupList, open).map_err(failed)?;
        for entry in rustix::fs::Dir::new(readable).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if entry.file_type().is_dir() && name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    pub(super) fn has(&self, file: &str) -> bool {
        rustix::fs::accessat(&self.fd, file, rustix::fs::Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// Opens a file for repeated use.
    pub(super) fn file(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Error> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        fault::at(Point::CgroupFile, || openat(&self.fd, name, flags, Mode::empty()))
            .map_err(|errno| Error::io("open", self.path.join(name), errno.into()))
    }

    pub(super) fn write(&self, name: &str, value: &str) -> Result<(), Error> {
        let failed = |error| Error::io(format!("write {value:?} to"), self.path.join(name), error);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = fault::at(Point::CgroupFile, || openat(&self.fd, name, flags, Mode::empty()));
        let file = file.map_err(|errno| failed(errno.into()))?;
        write_value(file.as_fd(), value).map_err(failed)
    }

    /// Writes values one after the other; each is a write of its own.
    pub(super) fn write_each(
        &self,
        name: &str,
        values: impl Iterator<Item = String>,
    ) -> Result<(), Error> {
        let file = self.file(name, OFlags::WRONLY)?;
        for value in values {
            write_value(file.as_fd(), &value).map_err(|error| {
                Error::io(format!("write {value:?} to"), self.path.join(name), error)
            })?;
        }
        Ok(())
    }

    /// The text of a file that may be longer than a page.
    pub(super) fn read_whole(&self, name: &str) -> Result<String, Error> {
        let file = self.file(name, OFlags::RDONLY)?;
        read_pages(file.as_fd()).map_err(|source| Error::io("read", self.path.join(name), source))
    }

    pub(super) fn read(&self, name: &str) -> Result<String, Error> {
        let file = self.file(name, OFlags::RDONLY)?;
        read_page(file.as_fd()).map_err(|source| Error::io("read", self.path.join(name), source))
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Gives a kernel file its value; the descriptor can be written again and again.
pub(super) fn write_value(file: BorrowedFd<'_>, value: &str) -> io::Result<()> {
    match fault::at(Point::CgroupWrite, || rustix::io::pwrite(file, value.as_bytes(), 0))? {
        count if count == value.len() => Ok(()),
        _ => Err(Errno::IO.into()),
    }
}

/// The text of a kernel file, from its start; the descriptor can be read again and again.
pub(super) fn read_page(file: BorrowedFd<'_>) -> io::Result<String> {
    let mut page = [0u8; PAGE];
    let length = fault::at(Point::CgroupRead, || rustix::io::pread(file, &mut page, 0))?;
    Ok(String::from_utf8_lossy(&page[..length]).into_owned())
}

/// The same of a file with a line for each device, which may be longer than a page.
pub(super) fn read_pages(file: BorrowedFd<'_>) -> io::Result<String> {
    let mut text = Vec::new();
    let mut page = [0u8; PAGE];
    loop {
        match fault::at(Point::CgroupRead, || {
            rustix::io::pread(file, &mut page, text.len() as u64)
        })? {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            length => text.extend_from_slice(&page[..length]),
        }
    }
}

/// The value behind `key` in a file of "key value" lines.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyed_values_need_the_whole_key() {
        let text = "oom 4\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(keyed(text, "oom_kill"), Some(2));
        assert_eq!(keyed(text, "oom_k"), None);
        assert_eq!(keyed("", "oom"), None);
    }

    #[test]
    fn children_are_the_directories() {
        let fixture = tempfile::tempdir().unwrap();
        std::fs::create_dir(fixture.path().join("leaf")).unwrap();
        std::fs::write(fixture.path().join("pids.max"), "").unwrap();
        assert_eq!(Dir::open(fixture.path()).unwrap().children().unwrap(), ["leaf"]);
    }

    #[test]
    fn a_written_value_is_read_back_and_errors_name_file_and_value() {
        let fixture = tempfile::tempdir().unwrap();
        std::fs::write(fixture.path().join("pids.max"), "").unwrap();
        let dir = Dir::open(fixture.path()).unwrap();
        dir.write("pids.max", "32").unwrap();
        assert_eq!(dir.read("pids.max").unwrap(), "32");
        let error = dir.write("memory.max", "64").unwrap_err().to_string();
        assert!(error.contains("memory.max") && error.contains("64"), "{error}");
    }
}
