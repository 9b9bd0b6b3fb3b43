//! Leaving a namespace: for good, so for threads that end soon.

use std::io;
#[cfg(feature = "cli")]
use std::os::fd::OwnedFd;

use rustix::thread::UnshareFlags;

/// Takes the calling thread, and it alone, into a copy of its mount namespace; its working directory
/// and root are its own from here on.
pub(crate) fn leave_mount_namespace() -> io::Result<()> {
    let flags = UnshareFlags::NEWNS | UnshareFlags::FS;
    // SAFETY: no descriptors are unshared, on which other code of this thread could rely.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Takes the calling thread, and it alone, into a new network namespace, and opens that.
#[cfg(feature = "cli")]
pub(crate) fn new_network_namespace() -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, open};
    // SAFETY: nothing that other code of this thread could rely on but the network.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(open("/proc/thread-self/ns/net", flags, Mode::empty())?)
}
