//! `run`: a container from its bundle to its end, with this program's streams.

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::args::RunArgs;
use super::delete::remove;
use super::log::Log;
use super::making::{Made, make};
use super::store::Store;
use super::{Error, signal};
use crate::launch::{Cell, Exit};

/// Runs the container and gives its code; with `--detach`, returns when it has been started.
pub(super) fn run(store: &Store, args: &RunArgs, log: &Log) -> Result<u8, Error> {
    if args.detach {
        make(store, &args.make, log)?;
        return Ok(0);
    }
    // From here on signals wait to be read.
    let signals = Signals::watch()?;
    let made = make(store, &args.make, log)?;
    // Other commands may act on it while it runs.
    let Made { home, record, cell, .. } = made;
    let id = home.id().clone();
    drop(home);
    let ended = attend(&cell, &signals);
    if args.keep {
        return Ok(ended?.shell_code());
    }
    let removed = match store.lock(&id).and_then(|home| remove(home, &record)) {
        // Somebody else was faster.
        Err(Error::Unknown) => Ok(()),
        removed => removed,
    };
    let code = ended?.shell_code();
    removed.map(|()| code)
}

/// Hands signals on until the container's process has ended.
fn attend(cell: &Cell, signals: &Signals) -> Result<Exit, Error> {
    loop {
        let mut watched = [
            PollFd::new(cell.pidfd(), PollFlags::POLLIN),
            PollFd::new(signals.0.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(Error::io("wait for", "the container", errno)),
        }
        let ready = |at: usize| watched[at].any() == Some(true);
        if ready(0)
            && let Some(exit) = cell.wait(None)?
        {
            return Ok(exit);
        }
        if ready(1)
            && let Some(number) = signals.next()?
            && let Some(signal) = signal::of(number)
        {
            cell.signal(signal)?;
        }
    }
}

/// The signals that are the container's business, read instead of handled.
struct Signals(SignalFd);

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

    fn watch() -> Result<Signals, Error> {
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
