//! Which stage a container is in, and what leads from one to the next.
//!
//! ```text
//! Configured ──look_for_image──► ImageReady ──create──► Created ──start──► Live
//!     └─────────────┴────────────────┴────────────────────┴──close──► Closed
//! ```
//!
//! What blocks runs on another thread, and owns the stage while it does: a caller that goes away
//! changes nothing about where it leads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, watch};

use super::attend::attend;
use super::configure::{Configured, Image, TaskStreams};
use super::live::{Live, out_of_order, unattended};
use super::measure::measure;
use crate::bundle::CellName;
use crate::contract::{
    ContainerOptions, ContainerTask, Context, Error, ErrorKind, ExitInfo, Result, State,
};
use crate::native::Instance;
use crate::native::error::lift;
use crate::native::run::Created;

/// How long making the container waits for whoever still holds its options.
const OPTIONS_PATIENCE: Duration = Duration::from_secs(1);

/// What a cookie shares with the work it has under way.
pub(super) struct Container {
    task: Arc<dyn ContainerTask>,
    name: Option<CellName>,
    image: Image,
    memory_bytes: Option<u64>,
    spec: Mutex<Spec>,
    streams: Mutex<TaskStreams>,
    /// Holding it is the right to change the stage.
    turn: Arc<tokio::sync::Mutex<()>>,
    stage: Mutex<Stage>,
    /// The driver, until the container is gone.
    instance: Mutex<Option<Instance>>,
    closing: Mutex<Option<Answer>>,
}

/// What comes of a close, once it has.
pub(super) type Answer = watch::Receiver<Option<Result<()>>>;

/// What exists of the container.
enum Stage {
    /// Nothing; the image has not been looked at.
    Configured,
    /// Nothing; the image is there.
    ImageReady,
    /// Bundle and cgroup.
    Created(Box<Created>),
    /// What it becomes is just being decided.
    Starting,
    /// A process, or what it left.
    Live(Arc<Live>),
    /// Nothing any more: it could not be started.
    Failed,
    /// What is just being removed.
    Closing(Option<Arc<Live>>),
    /// Nothing any more, but how the task ended.
    Closed(Option<ExitInfo>),
}

/// A panic elsewhere leaves a stage that is still the truth.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed(op: &str) -> Error {
    Error::new(ErrorKind::Closed, format!("{op}: the container has been closed"))
}

impl Stage {
    fn state(&self) -> State {
        match self {
            Stage::Configured => State::Configured,
            Stage::ImageReady => State::ImageReady,
            Stage::Created(_) | Stage::Starting => State::Created,
            Stage::Live(live) | Stage::Closing(Some(live)) => live.state(),
            Stage::Failed => State::Exited,
            Stage::Closing(None) | Stage::Closed(_) => State::Closed,
        }
    }
}

impl Container {
    pub(super) fn new(
        instance: Instance,
        task: Arc<dyn ContainerTask>,
        configured: Configured,
    ) -> Container {
        let Configured { name, image, spec, memory_bytes, streams } = configured;
        Container {
            task,
            name,
            image,
            memory_bytes,
            spec: Mutex::new(spec),
            streams: Mutex::new(streams),
            turn: Arc::default(),
            stage: Mutex::new(Stage::Configured),
            instance: Mutex::new(Some(instance)),
            closing: Mutex::new(None),
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
            Stage::Live(live) | Stage::Closing(Some(live)) => live.exit_info(),
            Stage::Closed(exit) => *exit,
            _ => None,
        }
    }

    pub(super) fn options(&self) -> Result<ContainerOptions<'_>> {
        // Before the stage is asked: making the container holds this lock until the stage is new.
        let spec = lock(&self.spec);
        match &*lock(&self.stage) {
            Stage::Configured | Stage::ImageReady => Ok(ContainerOptions::new(spec)),
            Stage::Closing(_) | Stage::Closed(_) => Err(closed("container_options")),
            stage => Err(out_of_order("container_options", &format!("is {}", stage.state()))),
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
            done
        });
        match context.run(job).await? {
            Ok(done) => done,
            Err(_) => Err(unattended()),
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
    pub(super) fn look_for_image(&self) -> bool {
        let there = matches!(&self.image, Image::Rootfs(dir) if dir.is_dir());
        let mut stage = lock(&self.stage);
        match &*stage {
            Stage::Configured | Stage::ImageReady => {
                *stage = if there { Stage::ImageReady } else { Stage::Configured };
                !there
            }
            // It was there when the container was made.
            _ => false,
        }
    }

    /// Whether there is anything to pull, and nobody who could. Needs the turn.
    pub(super) fn pull(&self) -> Result<()> {
        match (&*lock(&self.stage), &self.image) {
            (Stage::Configured, Image::Rootfs(dir)) if !dir.is_dir() => {
                let dir = dir.display();
                let what = format!("Failed to pull image 'rootfs:{dir}': no such directory");
                Err(Error::new(ErrorKind::PullFailed, what))
            }
            (Stage::Configured, Image::Named(name)) => {
                let what = format!("Failed to pull image '{name}': pulling is not supported");
                Err(Error::new(ErrorKind::Unsupported, what))
            }
            _ => Ok(()),
        }
    }

    /// Needs the turn.
    pub(super) fn create(&self) -> Result<()> {
        let op = "create_container";
        match &*lock(&self.stage) {
            Stage::ImageReady => {}
            Stage::Created(_) | Stage::Starting | Stage::Live(_) => return Ok(()),
            Stage::Closing(_) | Stage::Closed(_) => return Err(closed(op)),
            Stage::Configured => return Err(out_of_order(op, "has no validated image")),
            Stage::Failed => return Err(out_of_order(op, "has failed to start")),
        }
        if let Image::Rootfs(dir) = &self.image
            && !dir.is_dir()
        {
            let what = format!("{op}: the image {} has vanished", dir.display());
            return Err(Error::new(ErrorKind::ServerBusy, what));
        }
        let instance = lock(&self.instance).clone().ok_or_else(|| closed(op))?;
        // Held until the stage is new: whoever holds the options then changes nothing any more.
        let mut spec = self.final_spec()?;
        let created = instance
            .create_from_spec(self.name.clone(), spec.clone(), None)
            .map_err(|error| lift(op, error))?;
        *spec = Spec::default();
        *lock(&self.stage) = Stage::Created(Box::new(created));
        Ok(())
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

    /// Needs the turn.
    pub(super) fn start(self: &Arc<Self>) -> Result<Arc<Live>> {
        let created = {
            let mut stage = lock(&self.stage);
            match std::mem::replace(&mut *stage, Stage::Starting) {
                Stage::Created(created) => created,
                other => {
                    let is = format!("is {}, not created", other.state());
                    *stage = other;
                    return Err(out_of_order("run", &is));
                }
            }
        };
        let own_network = has_own_network(created.spec());
        let streams = std::mem::take(&mut *lock(&self.streams));
        let started = Live::start(*created, streams, self.memory_bytes);
        *lock(&self.stage) = match &started {
            Ok(live) => Stage::Live(Arc::clone(live)),
            Err(_) => Stage::Failed,
        };
        let live = started?;
        tokio::spawn(attend(Arc::clone(&live)));
        tokio::spawn(measure(Arc::clone(&live), Arc::clone(&self.task), own_network));
        Ok(live)
    }

    /// Begins the removal on `runtime`, once; everybody gets its answer. A runtime that ends before
    /// it is done drops what is left, which removes it there and then.
    pub(super) fn close(self: &Arc<Self>, runtime: &Handle) -> Answer {
        let mut closing = lock(&self.closing);
        if let Some(answer) = &*closing {
            return answer.clone();
        }
        let (answer, answers) = watch::channel(None);
        *closing = Some(answers.clone());
        if let Stage::Live(live) = &*lock(&self.stage) {
            // At once: a runtime that has ended removes nothing, and a wait may hold on to the cell.
            live.kill();
        }
        let container = Arc::clone(self);
        runtime.spawn(async move {
            let done = container.remove().await;
            answer.send_replace(Some(done));
        });
        answers
    }

    /// The same where there is no runtime: done when it returns.
    pub(super) fn close_here(&self) -> Result<()> {
        let (answer, answers) = watch::channel(None);
        {
            let mut closing = lock(&self.closing);
            if closing.is_some() {
                return Ok(());
            }
            *closing = Some(answers);
        }
        let _turn = self.turn.blocking_lock();
        let stage = self.begin_removal();
        let removed = match &stage {
            Stage::Live(live) => live.close_here(),
            _ => Ok(()),
        };
        let exit = self.exit_info();
        let done = removed.and(self.remove_rest(stage));
        *lock(&self.stage) = Stage::Closed(exit);
        answer.send_replace(Some(done.clone()));
        done
    }

    async fn remove(self: &Arc<Self>) -> Result<()> {
        // What is being made is finished first, and then removed.
        let _turn = self.turn.lock().await;
        let stage = self.begin_removal();
        let removed = match &stage {
            Stage::Live(live) => live.close().await,
            _ => Ok(()),
        };
        let exit = self.exit_info();
        let container = Arc::clone(self);
        let rest = tokio::task::spawn_blocking(move || container.remove_rest(stage)).await;
        *lock(&self.stage) = Stage::Closed(exit);
        removed.and(rest.unwrap_or(Ok(())))
    }

    fn begin_removal(&self) -> Stage {
        let mut stage = lock(&self.stage);
        let live = match &*stage {
            Stage::Live(live) => Some(Arc::clone(live)),
            _ => None,
        };
        std::mem::replace(&mut *stage, Stage::Closing(live))
    }

    /// Blocks: this may be the driver's last hold on its directories.
    fn remove_rest(&self, stage: Stage) -> Result<()> {
        drop(std::mem::take(&mut *lock(&self.streams)));
        let removed = match stage {
            Stage::Created(created) => created.close().map_err(|error| lift("close", error)),
            _ => Ok(()),
        };
        let instance = lock(&self.instance).take();
        drop(instance);
        removed
    }
}

/// Whether the bundle asks for a network namespace.
fn has_own_network(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let network = LinuxNamespaceType::Network;
    namespaces.is_some_and(|all| all.iter().any(|namespace| namespace.typ() == network))
}
