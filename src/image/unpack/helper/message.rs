//! What the two processes say to each other: packets of JSON, with descriptors along.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::error::Error;
use super::super::limits::Limits;
use super::super::source::Extent;
use super::super::{Unpacked, error::Cause};
use crate::image::digest::Algorithm;

/// The most bytes of a packet.
const LARGEST: usize = 64 << 10;
/// The most descriptors of one; the kernel takes 253.
pub(super) const MOST_ALONG: usize = 200;

/// What is to be unpacked. The source and the upper directory come along; the lower ones follow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) extent: Extent,
    pub(super) blob_algorithm: Algorithm,
    pub(super) diff_id_algorithm: Algorithm,
    pub(super) limits: Limits,
    pub(super) lowers: u16,
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Word {
    /// This directory hides what lies below it.
    Opaque(Vec<u8>),
    Done(Unpacked),
    Failed(Error),
}

/// Sends one packet.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    along: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_ALONG))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !along.is_empty() && !control.push(SendAncillaryMessage::ScmRights(along)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let text = [IoSlice::new(&text)];
    retry_on_intr(|| sendmsg(&socket, &text, &mut control, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Receives one packet; `None` if nobody is there any more.
pub(super) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut text = vec![0; LARGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_ALONG))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        let into = &mut [IoSliceMut::new(&mut text)];
        match recvmsg(&socket, into, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok(None),
            received => break received?,
        }
    };
    let mut along = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            along.extend(descriptors);
        }
    }
    if message.bytes == 0 {
        return Ok(None);
    }
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Some((serde_json::from_slice(&text[..message.bytes])?, along)))
}

/// A word that could not be said, as an error of the one who speaks.
pub(super) fn unheard(error: io::Error) -> Cause {
    Cause::helper("tell how it goes", error)
}
