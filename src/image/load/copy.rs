//! A part of a file becomes a file.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

/// Copies a part of one file into another, in the kernel where it can.
pub(super) fn copy_range(
    from: &File,
    mut offset: u64,
    mut bytes: u64,
    to: &File,
) -> io::Result<()> {
    let end = || io::Error::from(io::ErrorKind::UnexpectedEof);
    while bytes > 0 {
        let most = usize::try_from(bytes).unwrap_or(usize::MAX).min(16 << 20);
        let (from, to) = (from.as_fd(), to.as_fd());
        match rustix::fs::copy_file_range(from, Some(&mut offset), to, None, most) {
            Ok(0) => return Err(end()),
            Ok(copied) => bytes -= copied as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return copy_through(from, offset, bytes, to);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn copy_through(
    from: BorrowedFd<'_>,
    mut offset: u64,
    mut bytes: u64,
    to: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut buffer = vec![0_u8; 1 << 20];
    while bytes > 0 {
        let most = usize::try_from(bytes).unwrap_or(usize::MAX).min(buffer.len());
        let read =
            rustix::io::retry_on_intr(|| rustix::io::pread(from, &mut buffer[..most], offset))?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut left = &buffer[..read];
        while !left.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(to, left))?;
            left = &left[written..];
        }
        offset += read as u64;
        bytes -= read as u64;
    }
    Ok(())
}
