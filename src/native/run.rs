//! The story of a cell. Each phase owns what exists then and turns into the next; whatever fails,
//! the undo stack takes back what was made.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use oci_spec::runtime::Spec;
use rustix::process::Signal;

use super::hidden::hide;
use super::instance::{Instance, Shared, door};
use super::lock::FileLock;
use super::prepare::{hide_state, make_layer, place_in_cgroup, rootfs_to_launch};
use super::undo::{Made, Undo};
use super::{Error, ids, state};
use crate::bundle::{self, Bundle, CellConfig, CellName, annotation};
use crate::cgroup::{Cgroup, Enforced, OomEvents, Sample};
use crate::launch::{self, Cell, Exit, Place, Stdio};

/// How long each part of a cell's life took.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Timings {
    /// Bundle and cgroup.
    pub create: Duration,
    /// Turning the specification into a plan.
    pub compile: Duration,
    /// Until the init was executed in its namespaces.
    pub spawn: Duration,
    /// Until the task was executed.
    pub set_up: Duration,
    /// From there to the task's end.
    pub run: Duration,
}

/// How a task ended, and what it used.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Code or signal.
    pub exit: Exit,
    /// Whether want of memory ended the task: it was killed, and the kernel's counter says that the
    /// kernel did it.
    pub oom_killed: bool,
    /// What the kernel's out-of-memory killer did to the cell.
    pub oom: OomEvents,
    /// When the task was executed.
    pub started_at: SystemTime,
    /// When its end was seen.
    pub finished_at: SystemTime,
    /// What the cell used in its life.
    pub usage: Sample,
    /// The limits that held.
    pub enforced: Vec<Enforced>,
    /// How long each part took.
    pub timings: Timings,
}

/// A cell that is ready to run: bundle and cgroup exist, no process does. On a hybrid host the cgroup is
/// in the v2 tree only; its part in the v1 hierarchies is made when the cell runs.
#[derive(Debug)]
pub struct Created {
    name: CellName,
    bundle: Bundle,
    place: Place,
    cgroup: Arc<Cgroup>,
    timings: Timings,
    // Below what it removes, above what the removal needs: fields drop in this order.
    undo: Undo,
    _instance: Arc<Shared>,
}

/// A cell whose task has been executed.
#[derive(Debug)]
pub struct Running {
    name: CellName,
    cell: Arc<Cell>,
    cgroup: Arc<Cgroup>,
    timings: Timings,
    started: Instant,
    started_at: SystemTime,
    ended: Option<(Exit, SystemTime)>,
    outcome: Option<Outcome>,
    undo: Undo,
    _instance: Arc<Shared>,
}

impl Instance {
    /// Writes the bundle and makes the cgroup with its limits; what a hybrid host's v1 hierarchies have of
    /// it is made by [`run`](Created::run).
    ///
    /// A given `name` is unique among all drivers that share the state directory; without one, the
    /// cell gets a random name. With `keep_bundle` the bundle is written there and stays.
    ///
    /// # Errors
    /// [`Error::NameInUse`]; [`Error::Bundle`] about the wish; [`Error::Cgroup`] about a limit;
    /// [`Error::Forked`] in a child that the embedder forked.
    pub fn create(
        &self,
        name: Option<CellName>,
        config: &CellConfig,
        keep_bundle: Option<&Path>,
    ) -> Result<Created, Error> {
        let (name, undo) = self.claim_name(name)?;
        let mut config = config.clone();
        config.hostname.get_or_insert_with(|| name.to_string());
        hide(&mut config);
        self.make(name, undo, Bundle::of(&config)?, keep_bundle)
    }

    /// The same from a specification, whose `root.path` is absolute.
    ///
    /// # Errors
    /// As [`create`](Instance::create).
    pub fn create_from_spec(
        &self,
        name: Option<CellName>,
        spec: Spec,
        keep_bundle: Option<&Path>,
    ) -> Result<Created, Error> {
        let (name, undo) = self.claim_name(name)?;
        self.make(name, undo, Bundle::in_memory(spec), keep_bundle)
    }

    /// A random name needs no lock: nobody else has it.
    fn claim_name(&self, name: Option<CellName>) -> Result<(CellName, Undo), Error> {
        self.shared.owner.check()?;
        let mut undo = Undo::new(&self.shared.failed);
        let name = match name {
            Some(name) => reserve(&self.shared, name, &mut undo)?,
            None => state::random_id()?.parse()?,
        };
        Ok((name, undo))
    }

    fn make(
        &self,
        name: CellName,
        mut undo: Undo,
        mut bundle: Bundle,
        keep_bundle: Option<&Path>,
    ) -> Result<Created, Error> {
        let start = Instant::now();
        let shared = &self.shared;
        let spec = bundle.spec_mut();
        let rootfs = rootfs_to_launch(spec)?;
        hide_state(spec, &rootfs, shared);
        let leaf = state::leaf_name(&shared.id, name.as_str());
        place_in_cgroup(spec, &shared.options.cgroup_parent, &leaf);

        let annotations = spec.annotations().as_ref();
        let upper = annotations.and_then(|all| all.get(annotation::ROOTFS));
        let disk = match upper.map(String::as_str) {
            Some(annotation::COPY_ON_WRITE_DISK) => {
                Some(make_layer(shared, &name, &rootfs, &mut undo)?)
            }
            _ => None,
        };
        if bundle::wants_ids(spec) {
            let (range, link) = ids::claim(&shared.options.state_dir, &shared.id)?;
            undo.push(Made::Ids(link));
            bundle::map_ids(spec, range)?;
        }
        let limits = spec.linux().as_ref().and_then(|linux| linux.resources().clone());
        if let Some(dir) = keep_bundle {
            bundle = bundle.keep(dir)?;
        }
        undo.push(Made::Cgroup(Arc::clone(&shared.parent), leaf.clone()));
        let cgroup = Arc::new(shared.parent.begin(&leaf, &limits.unwrap_or_default())?);

        let place = Place { disk, ..Place::default() };
        let timings = Timings { create: start.elapsed(), ..Timings::default() };
        let _instance = Arc::clone(shared);
        Ok(Created { name, bundle, place, cgroup, timings, undo, _instance })
    }
}

impl Created {
    /// The cell's name.
    #[must_use]
    pub fn name(&self) -> &CellName {
        &self.name
    }

    /// A copy of the specification that will be launched.
    #[must_use]
    pub fn spec(&self) -> Spec {
        self.bundle.clone().into_spec()
    }

    /// The bundle that will be launched.
    pub(super) fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The cell's cgroup: killing it ends a launch that takes too long.
    #[must_use]
    pub fn cgroup(&self) -> &Arc<Cgroup> {
        &self.cgroup
    }

    /// The user and group id of the task on the host, to whom its streams should belong.
    #[must_use]
    pub fn owner(&self) -> (u32, u32) {
        // Ids that nobody has can't be launched.
        bundle::owner(self.bundle.spec()).unwrap_or((0, 0))
    }

    /// Launches the task; returns when it has been executed.
    ///
    /// # Errors
    /// [`Error::Launch`] with the step that failed, or with the limit that the kernel refused. Then
    /// nothing of the cell is left.
    pub fn run(mut self, stdio: Stdio) -> Result<Running, Error> {
        self.undo.check_owner()?;
        let cgroup = &self.cgroup;
        let meanwhile = || cgroup.prepare_samples();
        let launched = launch::launch(self.bundle, cgroup, stdio, self.place, meanwhile)?;
        self.timings.compile = launched.compile;
        self.timings.spawn = launched.spawn;
        self.timings.set_up = launched.set_up;
        Ok(Running {
            name: self.name,
            cell: Arc::new(launched.cell),
            cgroup: self.cgroup,
            timings: self.timings,
            started: Instant::now(),
            started_at: SystemTime::now(),
            ended: None,
            outcome: None,
            undo: self.undo,
            _instance: self._instance,
        })
    }

    /// Takes everything back without running.
    ///
    /// # Errors
    /// [`Error::Leftovers`] with what could not be removed.
    pub fn close(mut self) -> Result<(), Error> {
        self.undo.run()
    }
}

impl Running {
    /// The cell's name.
    #[must_use]
    pub fn name(&self) -> &CellName {
        &self.name
    }

    /// The first process, for signals and for an embedder's poll loop.
    #[must_use]
    pub fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// The cell's cgroup, to freeze, thaw and measure it.
    #[must_use]
    pub fn cgroup(&self) -> &Arc<Cgroup> {
        &self.cgroup
    }

    /// Sends a signal to the task.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        Ok(self.cell.signal(signal)?)
    }

    /// Kills every process of the cell, frozen or not. Does not wait.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self) -> Result<(), Error> {
        kill(&self.cgroup, &self.cell)
    }

    /// Waits for the task's end, until `deadline` if there is one; `None` when that comes first.
    /// Asked again after the end, it gives the same answer.
    ///
    /// # Errors
    /// [`launch::Error::ExitLost`] when nobody knows how the task ended; never a made-up success.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<Option<&Outcome>, Error> {
        if self.outcome.is_none() {
            if self.ended.is_none() {
                let Some(exit) = self.cell.wait(deadline)? else {
                    return Ok(None);
                };
                self.timings.run = self.started.elapsed();
                // The kernel tells it once; what may fail comes after it is safe.
                self.ended = Some((exit, SystemTime::now()));
            }
            let Some((exit, finished_at)) = self.ended else {
                return Ok(None);
            };
            let oom = self.cgroup.oom_events()?;
            self.outcome = Some(Outcome {
                exit,
                oom_killed: oom.kills > 0 && exit.is_kill(),
                oom,
                started_at: self.started_at,
                finished_at,
                usage: self.cgroup.sample()?,
                enforced: self.cgroup.enforced().to_vec(),
                timings: self.timings,
            });
        }
        Ok(self.outcome.as_ref())
    }

    /// How the task ended and when that was seen, once [`wait`](Running::wait) has found out, even if
    /// it failed to find out more.
    #[must_use]
    pub fn exit(&self) -> Option<(Exit, SystemTime)> {
        self.ended
    }

    /// When the task was executed.
    #[must_use]
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Kills the cell if it still runs and removes everything it used.
    ///
    /// # Errors
    /// [`Error::Leftovers`] with what could not be removed.
    pub fn close(mut self) -> Result<(), Error> {
        self.end();
        self.undo.run()
    }

    /// Makes sure that the first process has ended and leaves no zombie.
    fn end(&self) {
        // In a process that the embedder forked it is not this handle's to end.
        if self.ended.is_none() && self.undo.check_owner().is_ok() {
            // The cgroup's removal kills once more and reports what survives.
            let _ = self.kill();
            let _ = self.cell.wait(Some(Instant::now() + Duration::from_secs(10)));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Kills all of a cell. The first process takes the others along, and killing it needs no descriptor.
pub(super) fn kill(cgroup: &Cgroup, cell: &Cell) -> Result<(), Error> {
    cgroup.kill().or_else(|error| cell.kill().map_err(|_| error.into()))
}

/// Takes the name in all drivers that share the state directory.
fn reserve(shared: &Shared, name: CellName, undo: &mut Undo) -> Result<CellName, Error> {
    let dir = shared.options.state_dir.join(state::NAMES);
    state::private_dir(&dir)?;
    let path = dir.join(name.as_str());
    let _door = door(&shared.options.state_dir)?;
    let lock = FileLock::try_acquire(&path).map_err(|source| Error::io("lock", &path, source))?;
    let lock = lock.ok_or_else(|| Error::NameInUse { name: name.to_string() })?;
    undo.push(Made::Name(lock));
    Ok(name)
}
