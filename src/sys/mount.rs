//! Mounts that are nowhere yet: what rustix has no call for.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::abi::{AT_EMPTY_PATH, AT_RECURSIVE, MountAttr};
use super::raw::{self, nr};

/// Changes attributes, propagation and id map of an open mount, or of its whole tree.
pub(crate) fn set_attributes(
    mount: BorrowedFd<'_>,
    attr: &MountAttr,
    recursive: bool,
) -> io::Result<()> {
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    let empty = c"".as_ptr() as usize;
    let size = size_of_val(attr);
    let args = [mount.as_raw_fd() as usize, empty, flags, std::ptr::from_ref(attr) as usize, size];
    // SAFETY: an empty path, and a structure that outlives the call and whose size is given.
    match unsafe { raw::syscall(nr::mount_setattr, args) } {
        Ok(_) => Ok(()),
        Err(errno) => Err(io::Error::from_raw_os_error(errno.0)),
    }
}
