//! The control socket, and what the parent says through it.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    send, sendmsg, socketpair,
};

use super::Error;
use crate::fault::{self, Point};
use crate::init::wire::MOST_TREES;

/// Both ends; the second is the child's.
pub(super) fn control_socket() -> Result<(OwnedFd, OwnedFd), Error> {
    let flags = SocketFlags::CLOEXEC;
    fault::at(Point::ControlSocket, || {
        socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
    })
    .map_err(|errno| Error::system("socketpair", errno))
}

/// Sends as much as fits, and the descriptors that come along; with `DONTWAIT` that may be nothing.
pub(super) fn send_with(
    control: &OwnedFd,
    bytes: &[u8],
    trees: &[OwnedFd],
    flags: SendFlags,
) -> Result<usize, Error> {
    let borrowed: Vec<_> = trees.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_TREES))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() && !along.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(Error::system("send the mounts", Errno::TOOBIG));
    }
    loop {
        let flags = flags | SendFlags::NOSIGNAL;
        let mut send = || sendmsg(control, &[IoSlice::new(bytes)], &mut along, flags);
        match fault::at(Point::PlanWithMounts, &mut send) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if flags.contains(SendFlags::DONTWAIT) => return Ok(0),
            // The child has gone; its report or its status says why.
            Err(Errno::PIPE | Errno::CONNRESET) => return Ok(bytes.len()),
            sent => return sent.map_err(|errno| Error::system("send the plan", errno)),
        }
    }
}

pub(super) fn send_all(control: &OwnedFd, mut bytes: &[u8], point: Point) -> Result<(), Error> {
    while !bytes.is_empty() {
        match fault::at(point, || send(control, bytes, SendFlags::NOSIGNAL)) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            // The child has gone; its report or its status says why.
            Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
            Err(errno) => return Err(Error::system("send the plan", errno)),
        }
    }
    Ok(())
}
