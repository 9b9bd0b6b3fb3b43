//! `hotcell run`: one cell from flags to exit code.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::args::RunArgs;
use super::config::config;
use super::image::{self, When};
use super::pump::{self, Pump};
use super::root::Root;
use super::signals::Signals;
use super::stats::stats;
use super::{Code, Failure, complain};
use crate::bundle::{Bytes, CellConfig};
use crate::image::Reference;
use crate::image::store::{self, Image};
use crate::launch::{Stdio, Stream};
use crate::native::{Instance, Outcome, Running};

/// Signals that are the task's business, beside those that ask for an end.
const TOLD: [Signal; 3] = [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGWINCH];

/// Runs the command and gives its code.
pub(super) fn run(args: &RunArgs) -> Result<u8, Failure> {
    // Opened before anything else: a result that can't be written is refused, not lost, and that of an
    // earlier run never stands for this one's.
    let mut stats_file = args.stats.as_deref().map(create_file).transpose()?;
    let ended = run_root(args);
    if let Some((file, path)) = &mut stats_file {
        let object = match &ended {
            Ok(ended) => stats(&ended.name, &ended.outcome, ended.timed_out),
            Err(failure) => serde_json::json!({ "error": failure.line }),
        };
        writeln!(file, "{object:#}")
            .map_err(|error| Failure::refused(format!("--stats {}: {error}", path.display())))?;
    }
    let ended = ended?;
    for (stream, written) in ["output", "error"].into_iter().zip(ended.written) {
        written.map_err(|error| Failure::refused(format!("standard {stream}: {error}")))?;
    }
    verdict(args, &ended.outcome, ended.timed_out)
}

/// Finds the root and what it says about its cell.
fn run_root(args: &RunArgs) -> Result<Ended, Failure> {
    // Nothing of the image goes while this has it, so it has it until the cell has ended.
    let image;
    let (root, command) = match (&args.rootfs, args.cell.command.split_first()) {
        (Some(dir), _) => (Root::Dir(dir), args.cell.command.as_slice()),
        (None, Some((name, command))) => {
            image = find(args, name)?;
            (Root::Image(&image), command)
        }
        (None, None) => {
            return Err(Failure::refused("what to run is missing: an image, or --rootfs DIR"));
        }
    };
    run_cell(args, &config(&args.cell, &root, command)?)
}

/// What is known when a cell has ended.
struct Ended {
    name: String,
    outcome: Outcome,
    timed_out: bool,
    written: [io::Result<()>; 2],
}

fn run_cell(args: &RunArgs, config: &CellConfig) -> Result<Ended, Failure> {
    // From here on signals wait to be read; nothing can be interrupted half-way.
    let signals = Signals::watch(&TOLD)?;
    let mut options = args.driver.options();
    options.image_dir = args.store.dir().to_owned();
    let driver = Instance::open(options)?;
    let created = driver.create(args.name.clone(), config, args.bundle_dir.as_deref())?;

    let no_pipe = |error| Failure::refused(format!("making the cell's pipes: {error}"));
    let (out, stdout) = Pump::output(io::stdout(), created.owner()).map_err(no_pipe)?;
    let (err, stderr) = Pump::output(io::stderr(), created.owner()).map_err(no_pipe)?;
    let stdin = match args.interactive {
        true => Stream::Fd(pump::input(created.owner()).map_err(no_pipe)?),
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
    // A time beyond the clock's end is no deadline.
    let deadline =
        args.timeout.as_ref().and_then(|timeout| Instant::now().checked_add(timeout.duration));
    let timed_out = attend(&mut running, &signals, deadline)?;
    let name = running.name().to_string();
    let outcome = running.wait(None)?.cloned();
    running.close()?;
    drop(driver);
    // Nothing is left to clean up: whoever reads too slowly may be waited for, and interrupted.
    signals.unwatch()?;
    let written = [out.finish(), err.finish()];
    let outcome = outcome.ok_or_else(|| Failure::refused("the cell did not end"))?;
    Ok(Ended { name, outcome, timed_out, written })
}

/// The image of that name, from its registry if need be. People who leave out `--rootfs` type a command
/// there.
fn find(args: &RunArgs, name: &str) -> Result<Image, Failure> {
    let store = image::open(&args.store)?;
    let wanted = name.parse::<Reference>();
    if args.pull != When::Always || wanted.is_err() {
        match (store.find(name), args.pull) {
            (Ok(image), _) => return Ok(image),
            (Err(store::Error::NotFound(_)), When::Missing) if wanted.is_ok() => {}
            (Err(store::Error::NotFound(_)), _) => {
                return Err(Failure::refused(format!(
                    "no such image: {name} (hotcell images lists those that are there; without an \
                     image give --rootfs DIR)"
                )));
            }
            (Err(error), _) => return Err(error.into()),
        }
    }
    image::fetch(&store, &wanted?, None, &args.registries, args.quiet).map_err(|failure| {
        let line = format!("{} (without an image give --rootfs DIR)", failure.line);
        Failure { line, ..failure }
    })
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
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
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
                Some(signal) if asked && Signals::ASKS.contains(&signal) => running.kill()?,
                Some(signal) => {
                    asked |= Signals::ASKS.contains(&signal);
                    // Its default would stop or continue nothing here; the task decides.
                    if let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) {
                        running.signal(signal)?;
                    }
                }
                None => {}
            }
        }
        if !late && deadline.is_some_and(|at| Instant::now() >= at) {
            late = true;
            running.kill()?;
        }
    }
}
