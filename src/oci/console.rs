//! A container's terminal: whoever waits for it at a socket gets it, or this program carries between
//! it and its own.

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use oci_spec::runtime::Process;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use super::Error;

const BUFFER: usize = 16 << 10;

/// Where a container sends its terminal.
#[derive(Default)]
pub(super) struct Console {
    /// The container's end; none without a terminal.
    pub(super) theirs: Option<OwnedFd>,
    /// The other end, if it is this program's.
    pub(super) ours: Option<OwnedFd>,
}

impl Console {
    /// An engine's socket, or for a process in the foreground this program.
    pub(super) fn of(
        process: Option<&Process>,
        socket: Option<&Path>,
        foreground: bool,
    ) -> Result<Console, Error> {
        match socket {
            // It may be given where there is no terminal.
            _ if process.and_then(Process::terminal) != Some(true) => Ok(Console::default()),
            Some(path) => {
                let stream = UnixStream::connect(path)
                    .map_err(|error| Error::io("connect to the console socket", path, error))?;
                Ok(Console { theirs: Some(stream.into()), ours: None })
            }
            None if foreground => {
                let flags = SocketFlags::CLOEXEC;
                let (ours, theirs) =
                    socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
                        .map_err(|errno| Error::io("make", "a console socket", errno))?;
                Ok(Console { theirs: Some(theirs), ours: Some(ours) })
            }
            None => Err(Error::Usage(
                "process.terminal needs --console-socket, for nobody here would show it".to_owned(),
            )),
        }
    }
}

/// The terminal that was sent.
pub(super) fn receive(socket: &OwnedFd) -> Result<OwnedFd, Error> {
    let failed = |error: io::Error| Error::io("receive", "the terminal", error);
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut bytes)];
    recvmsg(socket, &mut into, &mut along, RecvFlags::CMSG_CLOEXEC)
        .map_err(|errno| failed(errno.into()))?;
    for message in along.drain() {
        if let RecvAncillaryMessage::ScmRights(mut files) = message
            && let Some(terminal) = files.next()
        {
            return Ok(terminal);
        }
    }
    Err(failed(io::ErrorKind::UnexpectedEof.into()))
}

/// Carries between a container's terminal and this program's streams, without a thread.
pub(super) struct Relay {
    terminal: File,
    /// What was typed and not taken yet.
    typed: Vec<u8>,
    input_ended: bool,
    output_ended: bool,
    /// How this program's own terminal was before.
    before: Option<Termios>,
}

impl Relay {
    /// Takes the terminal, makes it as large as this program's own, and hands keys on as they come.
    pub(super) fn new(terminal: OwnedFd) -> Result<Relay, Error> {
        let failed = |errno: Errno| Error::io("set up", "the terminal", errno);
        let flags = fcntl_getfl(&terminal).map_err(failed)?;
        fcntl_setfl(&terminal, flags | OFlags::NONBLOCK).map_err(failed)?;
        let mut before = None;
        if isatty(io::stdin()) {
            let own = tcgetattr(io::stdin()).map_err(failed)?;
            let mut raw = own.clone();
            raw.make_raw();
            tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
            before = Some(own);
        }
        let relay = Relay {
            terminal: File::from(terminal),
            typed: Vec::new(),
            input_ended: false,
            output_ended: false,
            before,
        };
        relay.resize();
        Ok(relay)
    }

    /// Makes the terminal as large as this program's own. Without one there is nothing to follow.
    pub(super) fn resize(&self) {
        if let Ok(size) = tcgetwinsize(io::stdin()) {
            let _ = tcsetwinsize(&self.terminal, size);
        }
    }

    /// Whether more keys can be taken: not while those before have not been.
    pub(super) fn wants_input(&self) -> bool {
        !self.input_ended && self.typed.is_empty()
    }

    /// Where to wait for the container, and whether it is to take something; `None` once nobody has
    /// the other side open any more.
    pub(super) fn terminal(&self) -> Option<(BorrowedFd<'_>, bool)> {
        (!self.output_ended).then(|| (self.terminal.as_fd(), !self.typed.is_empty()))
    }

    /// Reads what was typed.
    pub(super) fn take_input(&mut self) {
        let mut bytes = [0; BUFFER];
        match io::stdin().read(&mut bytes) {
            Ok(0) => self.input_ended = true,
            Ok(count) => self.typed.extend_from_slice(&bytes[..count]),
            Err(error) if is_not_now(&error) => {}
            Err(_) => self.input_ended = true,
        }
    }

    /// Gives the terminal what was typed, and shows what it says; returns whether there was anything.
    pub(super) fn carry(&mut self) -> Result<bool, Error> {
        while !self.typed.is_empty() {
            match self.terminal.write(&self.typed) {
                Ok(count) => drop(self.typed.drain(..count)),
                Err(error) if is_not_now(&error) => break,
                Err(_) => self.typed.clear(),
            }
        }
        let mut bytes = [0; BUFFER];
        match self.terminal.read(&mut bytes) {
            Ok(0) => self.output_ended = true,
            Ok(count) => {
                let mut out = io::stdout();
                out.write_all(&bytes[..count])
                    .and_then(|()| out.flush())
                    .map_err(|error| Error::io("write", "standard output", error))?;
                return Ok(true);
            }
            Err(error) if is_not_now(&error) => {}
            // Nobody has the other side open any more.
            Err(_) => self.output_ended = true,
        }
        Ok(false)
    }
}

fn is_not_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
