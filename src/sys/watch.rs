//! Waiting on tokio for a descriptor that others use too.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor the runtime watches. It stays open for as long as this lives.
#[derive(Debug)]
pub(crate) struct Watched {
    fd: AsyncFd<Arc<OwnedFd>>,
}

impl Watched {
    /// Begins to watch. Needs a runtime around it.
    pub(crate) fn new(fd: Arc<OwnedFd>) -> io::Result<Watched> {
        // SAFETY: the runtime asks for an open descriptor that stays the same one. An `OwnedFd`
        // is open and never changes its number, and the `Arc` moved in here keeps it that way
        // until the runtime has let go of it.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Watched { fd })
    }

    /// Returns when it is readable. Once it is, it stays so: this is for descriptors of which an
    /// event happens once, and nothing is ever read from them.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        // The guard is dropped as it is: the readiness is kept.
        self.fd.readable().await.map(drop)
    }
}
