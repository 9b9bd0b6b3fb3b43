//! Which stage a container is in, and what leads from one to the next.
//!
//! ```text
//! Configured ──look_for_image──► ImageReady ──create──► Created ──start──► Live
//!     └─────────────┴────────────────┴────────────────────┴──close──► Closed
//! ```
//!
//! What blocks runs on another thread, and owns the stage while it does: a caller that goes away
//! changes nothing about where it leads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, watch};

use super::attend::attend;
use super::configure::{Configured, Image, TaskStreams, Wish};
use super::images::{ImageInUse, Images, Pulled};
use super::live::{Live, given_up, out_of_order};
use super::measure::measure;
use crate::bundle::CellName;
use crate::cgroup::Cgroup;
use crate::contract::{
    BackOffConfig, ContainerOptions, ContainerTask, Context, Error, ErrorKind, ExitInfo, Result,
    RetryErrorChecker, State,
};
use crate::native::Instance;
use crate::native::error::lift;
use crate::native::run::Created;
use crate::unpoisoned::lock;

/// How long making the container waits for whoever still holds its options.
const OPTIONS_PATIENCE: Duration = Duration::from_secs(1);

/// What a cookie shares with the work it has under way.
pub(super) struct Container {
    task: Arc<dyn ContainerTask>,
    name: Option<CellName>,
    image: Image,
    /// What a named image is to fill in.
    wish: Option<Wish>,
    images: Arc<Images>,
    /// The named image, once it was found; until the container is gone.
    pub(super) in_use: Mutex<Option<ImageInUse>>,
    /// The image that was pulled for it, until it is found to be there.
    pulled: Mutex<Option<Pulled>>,
    spec: Mutex<Spec>,
    pub(super) streams: Mutex<TaskStreams>,
    /// Holding it is the right to change the stage.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    pub(super) stage: Mutex<Stage>,
    /// The driver, until the container is gone.
    pub(super) instance: Mutex<Option<Instance>>,
    pub(super) closing: Mutex<Option<Answer>>,
    /// Who has the turn removes the container when he is done.
    pub(super) removal_owed: AtomicBool,
}

/// What comes of a close, once it has.
pub(super) type Answer = watch::Receiver<Option<Result<()>>>;

/// What exists of the container.
pub(super) enum Stage {
    /// Nothing; the image has not been looked at.
    Configured,
    /// Nothing; the image is missing.
    ImageMissing,
    /// Nothing; the image is there.
    ImageReady,
    /// Bundle and cgroup.
    Created(Box<Created>),
    /// What it becomes is just being decided; until then this is where it is being started.
    Starting(Arc<Cgroup>),
    /// A process, or what it left.
    Live(Arc<Live>),
    /// Nothing any more: it could not be started.
    Failed,
    /// What is just being removed, and where it stood.
    Closing(Option<Arc<Live>>, State),
    /// Nothing any more, but how the task ended.
    Closed(Option<ExitInfo>),
}

fn closed(op: &str) -> Error {
    Error::new(ErrorKind::Closed, format!("{op}: the container has been closed"))
}

impl Stage {
    pub(super) fn state(&self) -> State {
        match self {
            Stage::Configured | Stage::ImageMissing => State::Configured,
            Stage::ImageReady => State::ImageReady,
            Stage::Created(_) | Stage::Starting(_) => State::Created,
            Stage::Live(live) | Stage::Closing(Some(live), _) => live.state(),
            Stage::Failed => State::Exited,
            Stage::Closing(None, state) => *state,
            Stage::Closed(_) => State::Closed,
        }
    }
}

impl Container {
    pub(super) fn new(
        instance: Instance,
        images: Arc<Images>,
        task: Arc<dyn ContainerTask>,
        configured: Configured,
    ) -> Container {
        let Configured { name, image, spec, wish, streams } = configured;
        Container {
            task,
            name,
            image,
            wish,
            images,
            in_use: Mutex::new(None),
            pulled: Mutex::new(None),
            spec: Mutex::new(spec),
            streams: Mutex::new(streams),
            turn: Arc::default(),
            stage: Mutex::new(Stage::Configured),
            instance: Mutex::new(Some(instance)),
            closing: Mutex::new(None),
            removal_owed: AtomicBool::new(false),
        }
    }

    pub(super) fn name(&self) -> Option<&CellName> {
        self.name.as_ref()
    }

    pub(super) fn state(&self) -> State {
        lock(&self.stage).state()
    }

    pub(super) fn exit_info(&self) -> Option<ExitInfo> {
        match &*lock(&self.stage) {
            Stage::Live(live) | Stage::Closing(Some(live), _) => live.exit_info(),
            Stage::Closed(exit) => *exit,
            _ => None,
        }
    }

    pub(super) fn options(&self) -> Result<ContainerOptions<'_>> {
        let op = "container_options";
        // Before the stage is asked: making the container holds this lock until the stage is new.
        // Waiting for it could be waiting for oneself.
        let spec = match self.spec.try_lock() {
            Ok(spec) => spec,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(out_of_order(op, "has its options held")),
        };
        match &*lock(&self.stage) {
            Stage::Configured | Stage::ImageMissing | Stage::ImageReady => {
                Ok(ContainerOptions::new(spec))
            }
            Stage::Closing(..) | Stage::Closed(_) => Err(closed(op)),
            stage => Err(out_of_order(op, &format!("is {}", stage.state()))),
        }
    }

    fn is_closing(&self) -> bool {
        lock(&self.closing).is_some()
    }

    /// Waits for the right to change the stage.
    pub(super) async fn take_turn(
        &self,
        op: &str,
        context: &Context,
    ) -> Result<OwnedMutexGuard<()>> {
        if Handle::try_current().is_err() {
            let what = format!("{op}: there is no tokio runtime around the call");
            return Err(Error::new(ErrorKind::Host, what));
        }
        let turn = context.run(Arc::clone(&self.turn).lock_owned()).await?;
        match self.is_closing() {
            true => Err(closed(op)),
            false => Ok(turn),
        }
    }

    /// Runs `work` where blocking is allowed, its turn kept until it is done, whoever still waits.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        context: &Context,
        turn: OwnedMutexGuard<()>,
        work: impl FnOnce(&Arc<Container>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let container = Arc::clone(self);
        let job = tokio::task::spawn_blocking(move || {
            let done = work(&container);
            drop(turn);
            if container.removal_owed.swap(false, Ordering::AcqRel) {
                let _ = container.remove_for_nobody();
            }
            done
        });
        match context.run(job).await? {
            Ok(done) => done,
            Err(error) => Err(given_up(&error)),
        }
    }

    pub(super) fn live(&self, op: &str) -> Result<Arc<Live>> {
        if self.is_closing() {
            return Err(closed(op));
        }
        match &*lock(&self.stage) {
            Stage::Live(live) => Ok(Arc::clone(live)),
            stage => Err(out_of_order(op, &format!("is {}, not running", stage.state()))),
        }
    }

    /// Says whether it is missing. Needs the turn.
    pub(super) fn look_for_image(&self) -> Result<bool> {
        match &*lock(&self.stage) {
            Stage::Configured | Stage::ImageMissing | Stage::ImageReady => {}
            // It was there when the container was made.
            _ => return Ok(false),
        }
        let found = match &self.image {
            Image::Rootfs(dir) => Ok(dir.is_dir()),
            Image::Named(name) => self.take_image(name),
        };
        *lock(&self.stage) = match found {
            Ok(true) => Stage::ImageReady,
            Ok(false) => Stage::ImageMissing,
            Err(_) => Stage::Configured,
        };
        found.map(|there| !there)
    }

    /// Whether there is an image of this name, which is in use then.
    fn take_image(&self, name: &str) -> Result<bool> {
        let found = self.images.find(name);
        let there = found.as_ref().map(Option::is_some).map_err(Error::clone);
        // The one that was found before is let go of only now: it may be the same.
        *lock(&self.in_use) = found.ok().flatten();
        *lock(&self.pulled) = None;
        there
    }

    /// The image to be pulled, if one is missing. Needs the turn.
    fn missing_image(&self) -> Result<Option<&str>> {
        match (&*lock(&self.stage), &self.image) {
            (Stage::Configured, _) => Err(out_of_order("pull_image", "has no validated image")),
            (Stage::ImageMissing, Image::Rootfs(dir)) if !dir.is_dir() => {
                let dir = dir.display();
                let what = format!("Failed to pull image 'rootfs:{dir}': no such directory");
                Err(Error::new(ErrorKind::PullFailed, what))
            }
            (Stage::ImageMissing, Image::Named(name)) => Ok(Some(name)),
            _ => Ok(None),
        }
    }

    /// Pulls a missing image. Nobody's turn: a container can be closed meanwhile.
    pub(super) async fn pull(
        &self,
        turn: OwnedMutexGuard<()>,
        retry: &(BackOffConfig, RetryErrorChecker),
        context: &Context,
    ) -> Result<()> {
        let missing = self.missing_image()?;
        drop(turn);
        if let Some(name) = missing {
            let pulled = self.images.pull(&*self.task, name, retry, context).await;
            // Whatever it was at, looking for credentials or waiting for another try.
            let pulled = pulled.map_err(|error| match error.kind() {
                ErrorKind::DeadlineExceeded => {
                    let what = format!("Failed to pull image '{name}' in time");
                    Error::caused(ErrorKind::PullTimeout, what, error)
                }
                _ => error,
            })?;
            // The cleaner must not take it before it is looked for again.
            *lock(&self.pulled) = Some(pulled);
        }
        Ok(())
    }

    /// Needs the turn.
    pub(super) fn create(&self) -> Result<()> {
        let op = "create_container";
        match &*lock(&self.stage) {
            Stage::ImageReady => {}
            Stage::Created(_) | Stage::Starting(_) | Stage::Live(_) => return Ok(()),
            Stage::Closing(..) | Stage::Closed(_) => return Err(closed(op)),
            Stage::Configured | Stage::ImageMissing => {
                return Err(out_of_order(op, "has no validated image"));
            }
            Stage::Failed => return Err(out_of_order(op, "has failed to start")),
        }
        let there = match &self.image {
            Image::Rootfs(dir) => dir.is_dir(),
            Image::Named(_) => lock(&self.in_use).as_ref().is_some_and(ImageInUse::is_there),
        };
        if !there {
            let what = format!("{op}: the image {} has vanished", self.image);
            return Err(Error::new(ErrorKind::ServerBusy, what));
        }
        let instance = lock(&self.instance).clone().ok_or_else(|| closed(op))?;
        // Held until the stage is new: whoever holds the options then changes nothing any more.
        let mut spec = self.final_spec()?;
        let created = instance
            .create_from_spec(self.name.clone(), self.with_image(&spec)?, None)
            .map_err(|error| lift(op, error))?;
        *spec = Spec::default();
        *lock(&self.stage) = Stage::Created(Box::new(created));
        Ok(())
    }

    /// The specification that is launched: the embedder's, with what the image says.
    fn with_image(&self, spec: &Spec) -> Result<Spec> {
        match (&self.wish, &*lock(&self.in_use)) {
            (Some(wish), Some(image)) => wish.with(image, spec),
            _ => Ok(spec.clone()),
        }
    }

    /// The caller may be the one who holds the options, and would wait for itself.
    fn final_spec(&self) -> Result<MutexGuard<'_, Spec>> {
        let deadline = Instant::now() + OPTIONS_PATIENCE;
        loop {
            match self.spec.try_lock() {
                Ok(spec) => return Ok(spec),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(out_of_order("create_container", "still has its options held"));
                }
            }
        }
    }

    /// Needs the turn. A start whose caller gave up is there for the next one.
    pub(super) fn start(self: &Arc<Self>) -> Result<Arc<Live>> {
        let created = {
            let mut stage = lock(&self.stage);
            match std::mem::replace(&mut *stage, Stage::Failed) {
                Stage::Created(created) => {
                    *stage = Stage::Starting(Arc::clone(created.cgroup()));
                    created
                }
                other => {
                    let answer = match &other {
                        Stage::Live(live) if !live.handed_out.load(Ordering::Acquire) => {
                            Ok(Arc::clone(live))
                        }
                        other => {
                            let is = format!("is {}, not created", other.state());
                            Err(out_of_order("run", &is))
                        }
                    };
                    *stage = other;
                    return answer;
                }
            }
        };
        // However this ends, a panic included, it is not left in between.
        let next = Next { stage: &self.stage, becomes: Some(Stage::Failed) };
        let spec = created.bundle().spec();
        let (own_network, memory_bytes) = (has_own_network(spec), memory_limit(spec));
        let streams = std::mem::take(&mut *lock(&self.streams));
        let live = Live::start(*created, streams, memory_bytes).map_err(|error| {
            // Whoever closes it ends a start that takes too long.
            if self.is_closing() { closed("run") } else { error }
        })?;
        tokio::spawn(attend(Arc::clone(&live)));
        tokio::spawn(measure(Arc::clone(&live), Arc::clone(&self.task), own_network));
        next.is(Stage::Live(Arc::clone(&live)));
        Ok(live)
    }
}

/// What a stage becomes when this is dropped.
struct Next<'a> {
    stage: &'a Mutex<Stage>,
    becomes: Option<Stage>,
}

impl Next<'_> {
    fn is(mut self, stage: Stage) {
        self.becomes = Some(stage);
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        if let Some(stage) = self.becomes.take() {
            *lock(self.stage) = stage;
        }
    }
}

/// The memory limit that the specification ends up with, in bytes.
fn memory_limit(spec: &Spec) -> Option<u64> {
    let resources = spec.linux().as_ref()?.resources().as_ref()?;
    u64::try_from(resources.memory().as_ref()?.limit()?).ok()
}

/// Whether the bundle asks for a network namespace.
fn has_own_network(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let network = LinuxNamespaceType::Network;
    namespaces.is_some_and(|all| all.iter().any(|namespace| namespace.typ() == network))
}
