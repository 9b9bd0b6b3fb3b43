//! `hotcell run`: one cell from flags to exit code.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::args::RunArgs;
use super::config::config;
use super::pump::{self, Pump};
use super::stats::stats;
use super::{Code, Failure, complain};
use crate::bundle::Bytes;
use crate::launch::{Stdio, Stream};
use crate::native::{Instance, Outcome, Running};

/// Runs the command and gives its code.
pub(super) fn run(args: &RunArgs) -> Result<u8, Failure> {
    let config = config(&args.cell)?;
    // Opened before anything runs: a result that can't be written is refused, not lost.
    let stats_file = args.stats.as_deref().map(create_file).transpose()?;
    // From here on signals wait to be read; nothing can be interrupted half-way.
    let signals = Signals::watch()?;
    let driver = Instance::open(args.driver.options())?;
    let created = driver.create(args.name.clone(), &config, args.bundle_dir.as_deref())?;

    let (out, stdout) = Pump::output(io::stdout(), config.user)?;
    let (err, stderr) = Pump::output(io::stderr(), config.user)?;
    let stdin = match args.interactive {
        true => Stream::Fd(pump::input()?),
        false => Stream::Null,
    };
    let stdio = Stdio { stdin, stdout: Stream::Fd(stdout), stderr: Stream::Fd(stderr) };
    let mut running = match created.run(stdio) {
        Ok(running) => running,
        Err(error) => {
            // What a child wrote before it failed is the user's to see.
            let _ = (out.finish(), err.finish());
            return Err(error.into());
        }
    };
    let deadline = args.timeout.as_ref().map(|timeout| Instant::now() + timeout.duration);
    let timed_out = attend(&mut running, &signals, deadline)?;
    let name = running.name().to_string();
    let outcome = running.wait(None)?.cloned();
    let written = (out.finish(), err.finish());
    running.close()?;
    let outcome = outcome.ok_or_else(|| Failure::refused("the cell did not end"))?;

    if let Some((mut file, path)) = stats_file {
        let text = format!("{:#}\n", stats(&name, &outcome, timed_out));
        file.write_all(text.as_bytes())
            .map_err(|error| Failure::refused(format!("--stats {}: {error}", path.display())))?;
    }
    for (stream, written) in [("output", written.0), ("error", written.1)] {
        written.map_err(|error| Failure::refused(format!("standard {stream}: {error}")))?;
    }
    verdict(args, &outcome, timed_out)
}

fn create_file(path: &Path) -> Result<(File, &Path), Failure> {
    match File::create(path) {
        Ok(file) => Ok((file, path)),
        Err(error) => Err(Failure::refused(format!("--stats {}: {error}", path.display()))),
    }
}

fn verdict(args: &RunArgs, outcome: &Outcome, timed_out: bool) -> Result<u8, Failure> {
    if timed_out {
        let limit = args.timeout.as_ref().map(ToString::to_string).unwrap_or_default();
        let line = format!("the cell was killed: it did not end within --timeout {limit}");
        return Err(Failure { code: Code::TimedOut, line });
    }
    if outcome.oom_killed {
        let limit = match args.cell.memory {
            Some(Bytes(bytes)) if outcome.oom.at_own_limit != Some(false) => {
                format!("its memory limit of {bytes} bytes")
            }
            _ => "a memory limit above the cell".to_owned(),
        };
        complain(&format!("the cell was killed: it reached {limit}"));
    }
    Ok(outcome.exit.shell_code())
}

/// Stays with the cell until it ends: hands the first signal on, kills at the second and at the
/// deadline. Says whether the deadline did it.
fn attend(
    running: &mut Running,
    signals: &Signals,
    deadline: Option<Instant>,
) -> Result<bool, Failure> {
    let mut asked = false;
    let mut late = false;
    loop {
        let left = match deadline {
            Some(at) if !late => {
                let left = at.saturating_duration_since(Instant::now());
                // Rounded up: waking a moment early would spin.
                PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
            }
            _ => PollTimeout::NONE,
        };
        let mut watched = [
            PollFd::new(running.cell().pidfd(), PollFlags::POLLIN),
            PollFd::new(signals.0.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut watched, left) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = |at: usize| watched[at].any() == Some(true);
        if ready(0) {
            return Ok(late);
        }
        if ready(1) {
            match signals.next()? {
                Some(signal) if !asked => {
                    asked = true;
                    running.signal(signal)?;
                }
                Some(_) => running.kill()?,
                None => {}
            }
        }
        if !late && deadline.is_some_and(|at| Instant::now() >= at) {
            late = true;
            running.kill()?;
        }
    }
}

/// SIGINT and SIGTERM, read instead of handled.
struct Signals(SignalFd);

impl Signals {
    fn watch() -> Result<Signals, Failure> {
        let set = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        set.thread_block()?;
        Ok(Signals(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    fn next(&self) -> Result<Option<rustix::process::Signal>, Failure> {
        use rustix::process::Signal;
        let info = self.0.read_signal()?;
        Ok(info.map(|info| match info.ssi_signo == Signal::INT.as_raw() as u32 {
            true => Signal::INT,
            false => Signal::TERM,
        }))
    }
}
