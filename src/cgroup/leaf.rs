//! One cell's cgroup: birth into it, freezing, killing, removal.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread::{sleep, yield_now};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::Error;
use super::detect::Controller;
use super::files::Dir;
use super::freezer::{EMPTY, Events, Freezer};
use super::members::walk_through;
use super::old::{Old, Part, Seat};
use super::sample::{OomEvents, Sample, Sampler};

/// How long the removal of a cell, its kill included, may take before it is an error. A task in uninterruptible sleep
/// can't be killed faster than its device answers.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The cgroup of one cell, in every hierarchy it is part of. Nothing is removed on drop.
#[derive(Debug)]
pub struct Cgroup {
    pub(super) unified: Dir,
    pub(super) old: Old,
    /// It was opened, not made: what is enforced in it is not known.
    pub(super) found: bool,
    sampler: Sampler,
    /// Opened at the first freeze: most cells are never frozen.
    freezer: OnceLock<Freezer>,
}

/// A limit as it was written and as the kernel took it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Enforced {
    /// The file: `pids.max`, `memory.limit_in_bytes`.
    pub file: Cow<'static, str>,
    /// The value written to it.
    pub value: String,
}

/// A directory of the cell's cgroup as the cell may see it below /sys/fs/cgroup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// The name below /sys/fs/cgroup; empty for /sys/fs/cgroup itself.
    pub name: Cow<'static, str>,
    /// The directory on the host.
    pub path: PathBuf,
}

impl Cgroup {
    pub(super) fn new(unified: Dir, old: impl Into<Old>) -> Cgroup {
        let (sampler, freezer) = Default::default();
        Cgroup { unified, old: old.into(), found: false, sampler, freezer }
    }

    /// Makes what a cgroup that was only begun still lacks: its part in the v1 hierarchies, with its
    /// limits. Until then nobody is to be in it but a process that waits for that.
    ///
    /// # Errors
    /// When a directory can't be made or a limit not be enforced. What is left then goes with the cgroup:
    /// the leaf of a [`Parent`](super::Parent) is removed, a container's [abandoned](Cgroup::abandon).
    pub fn complete(&self) -> Result<(), Error> {
        self.old.complete()
    }

    /// Whether nothing is lacking.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.old.is_made()
    }

    /// With these in force.
    pub(super) fn with_limits(mut self, enforced: Vec<Enforced>) -> Cgroup {
        if let Some(part) = self.old.part_mut() {
            part.enforced = enforced;
        }
        self
    }

    pub(super) fn into_part(self) -> Part {
        self.old.into_part()
    }

    pub(super) fn controllers(&self) -> &BTreeMap<Controller, Dir> {
        &self.old.part().controllers
    }

    /// The limits that hold: all that was asked for, but for one on swap where there is no swap. Of a
    /// cgroup that is not complete, none.
    #[must_use]
    pub fn enforced(&self) -> &[Enforced] {
        &self.old.part().enforced
    }

    /// The v2 directory that a cell's first process is cloned into.
    #[must_use]
    pub fn birthplace(&self) -> BorrowedFd<'_> {
        self.unified.as_fd()
    }

    /// The open `tasks` files of the v1 hierarchies. A single-threaded process that writes "0" to
    /// each moves itself in 0.2 ms; anyone else moving it pays a global lock, 11 ms.
    ///
    /// # Errors
    /// When a file can't be opened.
    pub fn tasks_files(&self) -> Result<Vec<(Cow<'static, str>, OwnedFd)>, Error> {
        let open = |name, dir: &Dir| Ok((name, dir.file("tasks", OFlags::WRONLY)?));
        let Part { controllers, everywhere, .. } = self.old.part();
        if everywhere.is_empty() {
            let some = controllers.iter();
            return some.map(|(controller, dir)| open(controller.v2_name().into(), dir)).collect();
        }
        everywhere.iter().map(|at| open(at.hierarchy.clone().into(), &at.dir)).collect()
    }

    /// The names of the hierarchies that [`tasks_files`](Cgroup::tasks_files) will be about, of a
    /// cgroup that is not complete.
    #[must_use]
    pub fn to_join(&self) -> Vec<Cow<'static, str>> {
        self.old.seats().iter().map(|seat| seat.hierarchy.clone()).collect()
    }

    /// What the cell may see: one directory on a unified host, one for each hierarchy on a hybrid.
    #[must_use]
    pub fn views(&self) -> Vec<View> {
        let view = |name, dir: &Dir| View { name, path: dir.path().to_owned() };
        let seat = |seat: &Seat| View { name: seat.view.clone(), path: seat.path.clone() };
        let Part { controllers, everywhere, .. } = self.old.part();
        let mut views: Vec<_> = match self.is_complete() {
            false => self.old.seats().iter().map(seat).collect(),
            true if everywhere.is_empty() => {
                controllers.iter().map(|(c, dir)| view(c.v1_name().into(), dir)).collect()
            }
            true => everywhere.iter().map(|at| view(at.view.clone().into(), &at.dir)).collect(),
        };
        let hybrid = !views.is_empty();
        views.push(view(if hybrid { "unified" } else { "" }.into(), &self.unified));
        views
    }

    /// Stops every process of the cell where it is; returns when all have stopped.
    ///
    /// # Errors
    /// When the kernel refuses, or that takes too long; then the cell has been thawed again. When
    /// the kernel's files can't be opened; then nothing has been changed.
    pub fn freeze(&self) -> Result<(), Error> {
        self.freezer()?.freeze()
    }

    /// As [`freeze`](Cgroup::freeze), but neither sleeps nor yields: `false` if the cell has not
    /// stopped after 100 µs. Then freeze again where sleeping is allowed, or thaw.
    ///
    /// # Errors
    /// As for [`freeze`](Cgroup::freeze), but never for the time it takes.
    pub fn try_freeze(&self) -> Result<bool, Error> {
        self.freezer()?.try_freeze()
    }

    /// As [`thaw`](Cgroup::thaw), but neither sleeps nor yields: `false` if the cell does not run
    /// again after 100 µs.
    ///
    /// # Errors
    /// When the kernel refuses; thaw again.
    pub fn try_thaw(&self) -> Result<bool, Error> {
        self.freezer()?.try_thaw()
    }

    /// Lets the cell run again; returns when it does.
    ///
    /// # Errors
    /// When the kernel refuses or takes too long; thaw again.
    pub fn thaw(&self) -> Result<(), Error> {
        self.freezer()?.thaw()
    }

    fn freezer(&self) -> Result<&Freezer, Error> {
        if let Some(freezer) = self.freezer.get() {
            return Ok(freezer);
        }
        let opened = Freezer::open(&self.unified)?;
        Ok(self.freezer.get_or_init(|| opened))
    }

    /// Whether any process lives in the cell.
    ///
    /// # Errors
    /// When the kernel's file can't be read.
    pub fn is_populated(&self) -> Result<bool, Error> {
        Ok(!Events::open(&self.unified)?.tell(EMPTY)?)
    }

    /// Kills every process of the cell at once, frozen or not. Does not wait.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self) -> Result<(), Error> {
        self.unified.write("cgroup.kill", "1")?;
        // Dying takes CPU time too, and kernels throttle it: a cell with a small quota and many
        // processes would take seconds. All are doomed by now, so nothing runs free.
        let limited =
            |file: &str| self.found || self.enforced().iter().any(|limit| limit.file == file);
        let _ = match self.controllers().get(&Controller::Cpu) {
            Some(dir) if limited("cpu.cfs_quota_us") => dir.write("cpu.cfs_quota_us", "-1"),
            None if limited("cpu.max") => self.unified.write("cpu.max", "max"),
            _ => Ok(()),
        };
        Ok(())
    }

    /// Opens what [`sample`](Cgroup::sample) and [`oom_events`](Cgroup::oom_events) read, so that they
    /// find it open. What can't be opened is opened then, and its error told. A cgroup that is not
    /// complete has used nothing: for what is opened stays open, nothing is opened there.
    pub fn prepare_samples(&self) {
        if !self.is_complete() {
            return;
        }
        self.sampler.prepare(&self.unified, self.controllers());
    }

    /// What the cell has used so far.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn sample(&self) -> Result<Sample, Error> {
        if !self.is_complete() {
            return Ok(Sample::default());
        }
        self.sampler.sample(&self.unified, self.controllers())
    }

    /// The same without the most memory and the number of processes: for those who ask often.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn sample_brief(&self) -> Result<Sample, Error> {
        if !self.is_complete() {
            return Ok(Sample::default());
        }
        self.sampler.sample_brief(&self.unified, self.controllers())
    }

    /// What the kernel's out-of-memory killer has done to the cell.
    ///
    /// # Errors
    /// When the kernel's counters can't be read.
    pub fn oom_events(&self) -> Result<OomEvents, Error> {
        if !self.is_complete() {
            return Ok(OomEvents::default());
        }
        self.sampler.oom_events(&self.unified, self.controllers())
    }
}

/// Kills what lives in `dir` and waits until nothing does.
pub(super) fn kill_and_wait(dir: &Dir, deadline: Instant) -> Result<(), Error> {
    let events = Events::open(dir)?;
    if events.tell(EMPTY)? {
        return Ok(());
    }
    dir.write("cgroup.kill", "1")?;
    events.wait(EMPTY, deadline.saturating_duration_since(Instant::now()))
}

/// Removes the leaf `name` and what is below it. The last process may have been reaped a moment
/// before the kernel lets go of its cgroup: "busy" is worth trying again.
pub(super) fn remove_dir(parent: &Dir, name: &str, deadline: Instant) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        match parent.remove(name) {
            Ok(()) => return Ok(()),
            Err(Errno::BUSY) if Instant::now() < deadline => {}
            Err(errno) => {
                return Err(Error::io("remove", parent.path().join(name), errno.into()));
            }
        }
        tries += 1;
        match tries {
            1..=50 => yield_now(),
            // A cell can make none below its own; what else runs on this host may have.
            // What keeps it from that keeps the leaf busy, and that is reported.
            tries if tries % 500 == 51 => drop(remove_below(parent, name, deadline)),
            _ => sleep(Duration::from_micros(200)),
        }
    }
}

/// Removes what is below, deepest first, until there is no time left. What can't be removed keeps the
/// leaf busy, and that is reported.
fn remove_below(parent: &Dir, name: &str, deadline: Instant) -> Result<(), Error> {
    let Some(dir) = parent.find(name)? else {
        return Ok(());
    };
    let mut in_time = |dir: &Dir| match Instant::now() < deadline {
        true => Ok(()),
        false => Err(Error::io("remove", dir.path(), Errno::TIMEDOUT.into())),
    };
    walk_through(&dir, &mut in_time, &mut |above, name| {
        let _ = above.remove(name);
    })
}
