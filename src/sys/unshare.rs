//! Leaving a namespace: for good, so for threads that end soon.

use std::io;

use rustix::thread::UnshareFlags;

/// Takes the calling thread, and it alone, into a copy of its mount namespace; its working directory
/// and root are its own from here on.
pub(crate) fn leave_mount_namespace() -> io::Result<()> {
    let flags = UnshareFlags::NEWNS | UnshareFlags::FS;
    // SAFETY: no descriptors are unshared, on which other code of this thread could rely.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}
