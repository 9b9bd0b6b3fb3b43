//! The pipes between a cell and its parent.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Uid};

use crate::fault::{self, Point};

/// User and group id on the host.
pub(crate) type Owner = (u32, u32);

/// A pipe for what a cell writes: our end and the cell's. Both block and close on exec.
pub(crate) fn output_pipe(owner: Owner) -> io::Result<(OwnedFd, OwnedFd)> {
    let (reads, writes) = pipe_of(owner)?;
    Ok((reads, writes))
}

/// A pipe for what a cell reads: our end and the cell's. Both block and close on exec.
pub(crate) fn input_pipe(owner: Owner) -> io::Result<(OwnedFd, OwnedFd)> {
    let (reads, writes) = pipe_of(owner)?;
    Ok((writes, reads))
}

/// The two ends are separate open files: one made non-blocking leaves the other alone. They share
/// an owner, who must be the user inside, because programs open /dev/stdout by name.
fn pipe_of(owner: Owner) -> io::Result<(OwnedFd, OwnedFd)> {
    let ends = fault::at(Point::StreamPipe, || pipe_with(PipeFlags::CLOEXEC))?;
    let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    fault::at(Point::StreamOwner, || rustix::fs::fchown(&ends.0, Some(uid), Some(gid)))?;
    Ok(ends)
}
