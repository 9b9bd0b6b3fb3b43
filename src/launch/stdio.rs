//! The standard streams of a cell.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::io::Errno;

use super::Error;
use crate::fault::{self, Point};

/// One standard stream of a cell.
#[derive(Debug, Default)]
pub enum Stream {
    /// The cell's own null device.
    #[default]
    Null,
    /// This descriptor. The cell can reopen what it refers to: give it a pipe, not a file or a
    /// terminal of yours.
    Fd(OwnedFd),
}

/// The standard streams of a cell.
#[derive(Debug, Default)]
pub struct Stdio {
    /// Descriptor 0.
    pub stdin: Stream,
    /// Descriptor 1.
    pub stdout: Stream,
    /// Descriptor 2.
    pub stderr: Stream,
}

impl Stdio {
    pub(super) fn each(&self) -> [&Stream; 3] {
        [&self.stdin, &self.stdout, &self.stderr]
    }

    /// What the child starts with as 0, 1 and 2.
    pub(super) fn descriptors(&self) -> Result<Vec<BorrowedFd<'_>>, Error> {
        let mut descriptors = Vec::with_capacity(8);
        for stream in self.each() {
            descriptors.push(match stream {
                Stream::Null => host_null()?,
                Stream::Fd(fd) => fd.as_fd(),
            });
        }
        Ok(descriptors)
    }
}

/// What the child starts with where it is going to open its own null device.
pub(super) fn host_null() -> Result<BorrowedFd<'static>, Error> {
    static NULL: OnceLock<File> = OnceLock::new();
    if NULL.get().is_none() {
        let open = || File::options().read(true).write(true).open("/dev/null");
        let file = fault::at(Point::HostNull, open)
            .map_err(|error| Error::system("open /dev/null", error))?;
        let _ = NULL.set(file);
    }
    NULL.get().map(AsFd::as_fd).ok_or_else(|| Error::system("open /dev/null", Errno::NXIO))
}
