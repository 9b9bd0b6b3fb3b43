//! Signals that are read instead of suffered.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::runtime::Builder;

use super::Failure;
use crate::sys::watch::Watched;

/// Signals that this process reads.
pub(super) struct Signals {
    set: SigSet,
    fd: SignalFd,
}

impl Signals {
    /// Those that ask for an end.
    pub(super) const ASKS: [Signal; 4] =
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGHUP];

    /// From now on these, and others, are read. Threads and children that start later have it from here.
    /// What whoever started this program has it ignore, as nohup(1) and scripts do, stays ignored.
    pub(super) fn watch(more: &[Signal]) -> Result<Signals, Failure> {
        let ignored = ignored();
        let heeded = |signal: &Signal| ignored >> (*signal as i32 - 1) & 1 == 0;
        let asks = Signals::ASKS.into_iter().filter(heeded);
        let set = SigSet::from_iter(asks.chain(more.iter().copied()));
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Signals { fd: SignalFd::with_flags(&set, flags)?, set })
    }

    pub(super) fn next(&self) -> Result<Option<Signal>, Failure> {
        let info = self.fd.read_signal()?;
        Ok(info.and_then(|info| Signal::try_from(info.ssi_signo as i32).ok()))
    }

    /// Gives the signals their usual effect on this program again.
    pub(super) fn unwatch(&self) -> Result<(), Failure> {
        Ok(self.set.thread_unblock()?)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The signals that this process ignores, the first in the lowest bit; none where nobody tells.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

/// Runs what needs a runtime to its end, on this thread. A signal that asks for an end drops it; what it
/// began is taken back, for which `settled` waits, before the signal does what it does. A second one does so
/// at once.
pub(super) fn unless_interrupted<T>(
    task: impl Future<Output = T>,
    settled: impl Future<Output = ()>,
) -> Result<T, Failure> {
    let signals = Signals::watch(&[])?;
    let failed = |error: io::Error| Failure::refused(format!("starting a runtime: {error}"));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let ended = runtime.block_on(async {
        let interrupted = Watched::new(signals.as_fd().try_clone_to_owned()?)?;
        tokio::select! {
            ended = task => Ok(Some(ended)),
            ready = interrupted.readable() => ready.map(|()| None),
        }
    });
    let ended = ended.map_err(failed)?;
    let signal = match &ended {
        Some(_) => None,
        None => Some(signals.next()?.unwrap_or(Signal::SIGINT)),
    };
    signals.unwatch()?;
    if signal.is_some() {
        runtime.block_on(settled);
    }
    // Waits for the runtime's own threads.
    drop(runtime);
    match (ended, signal) {
        (Some(value), _) => Ok(value),
        (None, signal) => {
            let signal = signal.unwrap_or(Signal::SIGINT);
            raise(signal)?;
            Err(Failure::refused(format!("interrupted by {signal}")))
        }
    }
}
