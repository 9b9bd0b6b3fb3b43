//! Waiting on tokio for a descriptor of which an event happens once.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::fault::{self, Point};

/// A descriptor that the runtime watches. Each may be watched once, so that several watchers have
/// several descriptors.
#[derive(Debug)]
pub(crate) struct Watched {
    fd: AsyncFd<OwnedFd>,
}

impl Watched {
    /// Begins to watch. Needs a runtime around it.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Watched> {
        fault::at(Point::EndWatch, || io::Result::Ok(()))?;
        // SAFETY: the runtime asks for an open descriptor that stays the same one. An `OwnedFd`
        // is open and never changes its number, and it is moved in here until the runtime has let
        // go of it.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Watched { fd })
    }

    /// Returns when it is readable. Once it is, it stays so: nothing is ever read from it.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        // The guard is dropped as it is: the readiness is kept.
        self.fd.readable().await.map(drop)
    }
}
