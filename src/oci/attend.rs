//! This program beside a process that it waits for: signals go there, and so does what is typed.

use std::io;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::console::Relay;
use super::{Error, signal};
use crate::launch::{Cell, Exit};

/// How many reads of a terminal take all that the kernel keeps of it.
const LAST_WORDS: usize = 64;

/// Hands signals on until the container's process has ended, and carries between its terminal and this
/// program's streams.
pub(super) fn attend(
    cell: &Cell,
    signals: &Signals,
    mut relay: Option<&mut Relay>,
) -> Result<Exit, Error> {
    let input = io::stdin();
    loop {
        let mut watched = vec![
            PollFd::new(cell.pidfd(), PollFlags::POLLIN),
            PollFd::new(signals.0.as_fd(), PollFlags::POLLIN),
        ];
        let shown = relay.as_ref().and_then(|relay| relay.terminal());
        if let Some((terminal, takes)) = shown {
            let writable = if takes { PollFlags::POLLOUT } else { PollFlags::empty() };
            watched.push(PollFd::new(terminal, PollFlags::POLLIN | writable));
        }
        if shown.is_some() && relay.as_ref().is_some_and(|relay| relay.wants_input()) {
            watched.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(Error::io("wait for", "the container", errno)),
        }
        let ready: Vec<bool> = watched.iter().map(|one| one.any() == Some(true)).collect();
        let typed = ready.get(3) == Some(&true);
        if let Some(relay) = &mut relay {
            if typed {
                relay.take_input();
            }
            relay.carry()?;
        }
        if ready[0]
            && let Some(exit) = cell.wait(None)?
        {
            // What it said last is still there. Others that it left on the terminal may never stop.
            let mut reads = 0..LAST_WORDS;
            while let Some(relay) = &mut relay
                && reads.next().is_some()
                && relay.carry()?
            {}
            return Ok(exit);
        }
        if ready[1]
            && let Some(number) = signals.next()?
            && let Some(signal) = signal::of(number)
        {
            match &relay {
                Some(relay) if signal == rustix::process::Signal::WINCH => relay.resize(),
                _ => cell.signal(signal)?,
            }
        }
    }
}

/// The signals that are the container's business, read instead of handled.
pub(super) struct Signals(SignalFd);

impl Signals {
    /// Those of this process itself: it would be no use to hand on that it has done wrong, or that
    /// its child has ended.
    const OWN: [Signal; 8] = [
        Signal::SIGCHLD,
        Signal::SIGPIPE,
        Signal::SIGURG,
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGTRAP,
    ];

    pub(super) fn watch() -> Result<Signals, Error> {
        let failed = |errno| Error::io("watch", "signals", errno);
        let mut set = SigSet::all();
        Signals::OWN.into_iter().for_each(|own| set.remove(own));
        set.thread_block().map_err(failed)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Signals(SignalFd::with_flags(&set, flags).map_err(failed)?))
    }

    fn next(&self) -> Result<Option<i32>, Error> {
        let info = self.0.read_signal().map_err(|errno| Error::io("read", "signals", errno))?;
        Ok(info.map(|info| info.ssi_signo as i32))
    }
}
