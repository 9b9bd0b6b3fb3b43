//! One container as its embedder holds it: which stage it is in, and what may be asked of it then.
//!
//! ```text
//! Configured ──validate_image──► ImageReady ──create_container──► Created ──run──► Live
//!     └─────────────┴──────────────────┴─────────────────────────────┴──close──► Closed
//! ```
//!
//! What blocks runs on another thread, and owns the stage while it does: a caller that goes away
//! changes nothing about where it leads.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use oci_spec::runtime::Spec;
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, watch};

use super::Instance;
use super::configure::{Configured, Image, TaskStreams};
use super::error::lift;
use super::live::{Live, out_of_order};
use super::measure::measure;
use super::run::Created;
use crate::bundle::CellName;
use crate::contract::{
    ContainerOptions, ContainerTask, Context, Cookie, Error, ErrorKind, ExitInfo, Result,
    RunResult, State, WaitResult,
};
use crate::sys::pidfd;

/// A cookie of the native driver.
pub(super) struct NativeCookie {
    core: Arc<Core>,
}

/// What the cookie shares with the work it has under way.
struct Core {
    /// For a cookie that is dropped outside any.
    runtime: Handle,
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
    closing: Mutex<Option<watch::Receiver<Option<Result<()>>>>>,
}

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

impl NativeCookie {
    /// A cookie that makes its container with `instance`. To be called inside a runtime.
    pub(super) fn new(
        instance: Instance,
        task: Arc<dyn ContainerTask>,
        configured: Configured,
    ) -> NativeCookie {
        let Configured { name, image, spec, memory_bytes, streams } = configured;
        NativeCookie {
            core: Arc::new(Core {
                runtime: Handle::current(),
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
            }),
        }
    }
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

impl Core {
    fn is_closing(&self) -> bool {
        lock(&self.closing).is_some()
    }

    /// Waits for the right to change the stage.
    async fn take_turn(&self, op: &str, context: &Context) -> Result<OwnedMutexGuard<()>> {
        let turn = context.run(Arc::clone(&self.turn).lock_owned()).await?;
        match self.is_closing() {
            true => Err(closed(op)),
            false => Ok(turn),
        }
    }

    /// Runs `work` where blocking is allowed, its turn kept until it is done, whoever still waits.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        context: &Context,
        turn: OwnedMutexGuard<()>,
        work: impl FnOnce(&Arc<Core>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let core = Arc::clone(self);
        let job = tokio::task::spawn_blocking(move || {
            let done = work(&core);
            drop(turn);
            done
        });
        match context.run(job).await? {
            Ok(done) => done,
            Err(_) => Err(Error::new(ErrorKind::Host, "the runtime is shutting down")),
        }
    }

    fn live(&self, op: &str) -> Result<Arc<Live>> {
        if self.is_closing() {
            return Err(closed(op));
        }
        match &*lock(&self.stage) {
            Stage::Live(live) => Ok(Arc::clone(live)),
            stage => Err(out_of_order(op, &format!("is {}, not running", stage.state()))),
        }
    }

    /// Says whether it is missing. Needs the turn.
    fn look_for_image(&self) -> bool {
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

    /// Needs the turn.
    fn create(&self) -> Result<()> {
        if let Image::Rootfs(dir) = &self.image
            && !dir.is_dir()
        {
            let what = format!("create_container: the image {} has vanished", dir.display());
            return Err(Error::new(ErrorKind::ServerBusy, what));
        }
        let instance = lock(&self.instance).clone().ok_or_else(|| closed("create_container"))?;
        // Taken under its lock: whoever still holds the options finishes first.
        let mut spec = lock(&self.spec);
        let created = instance
            .create_from_spec(self.name.clone(), spec.clone(), None)
            .map_err(|error| lift("create_container", error))?;
        *spec = Spec::default();
        *lock(&self.stage) = Stage::Created(Box::new(created));
        Ok(())
    }

    /// Needs the turn.
    fn start(self: &Arc<Self>) -> Result<Arc<Live>> {
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
        tokio::spawn(measure(Arc::clone(&live), Arc::clone(&self.task), own_network));
        Ok(live)
    }

    /// Begins the removal on `runtime`, once; everybody gets its answer. A runtime that ends before
    /// it is done drops what is left, which removes it there and then.
    fn close(self: &Arc<Self>, runtime: &Handle) -> watch::Receiver<Option<Result<()>>> {
        let mut closing = lock(&self.closing);
        if let Some(answer) = &*closing {
            return answer.clone();
        }
        let (answer, answers) = watch::channel(None);
        *closing = Some(answers.clone());
        let core = Arc::clone(self);
        runtime.spawn(async move {
            let done = core.remove().await;
            answer.send_replace(Some(done));
        });
        answers
    }

    async fn remove(&self) -> Result<()> {
        // What is being made is finished first, and then removed.
        let _turn = self.turn.lock().await;
        let stage = {
            let mut stage = lock(&self.stage);
            let live = match &*stage {
                Stage::Live(live) => Some(Arc::clone(live)),
                _ => None,
            };
            std::mem::replace(&mut *stage, Stage::Closing(live))
        };
        let (removed, exit) = match &stage {
            Stage::Live(live) => (live.close().await, live.exit_info()),
            _ => (Ok(()), None),
        };
        let instance = lock(&self.instance).take();
        let streams = std::mem::take(&mut *lock(&self.streams));
        let rest = tokio::task::spawn_blocking(move || {
            drop(streams);
            let rest = match stage {
                Stage::Created(created) => created.close().map_err(|error| lift("close", error)),
                _ => Ok(()),
            };
            // Maybe the driver's last hold on its directories.
            drop(instance);
            rest
        });
        let rest = rest.await.unwrap_or(Ok(()));
        *lock(&self.stage) = Stage::Closed(exit);
        removed.and(rest)
    }
}

impl Drop for NativeCookie {
    /// Closes in the background.
    fn drop(&mut self) {
        let runtime = Handle::try_current().unwrap_or_else(|_| self.core.runtime.clone());
        drop(self.core.close(&runtime));
    }
}

/// Whether the bundle asks for a network namespace.
fn has_own_network(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let network = oci_spec::runtime::LinuxNamespaceType::Network;
    namespaces.is_some_and(|all| all.iter().any(|namespace| namespace.typ() == network))
}

#[async_trait]
impl Cookie for NativeCookie {
    async fn validate_image(&self, context: &Context) -> Result<bool> {
        let turn = self.core.take_turn("validate_image", context).await?;
        self.core.blocking(context, turn, |core| Ok(core.look_for_image())).await
    }

    async fn pull_image(&self, context: &Context) -> Result<()> {
        let _turn = self.core.take_turn("pull_image", context).await?;
        match (&*lock(&self.core.stage), &self.core.image) {
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

    async fn create_container(&self, context: &Context) -> Result<()> {
        let op = "create_container";
        let turn = self.core.take_turn(op, context).await?;
        match &*lock(&self.core.stage) {
            Stage::ImageReady => {}
            Stage::Created(_) | Stage::Starting | Stage::Live(_) => return Ok(()),
            Stage::Closing(_) | Stage::Closed(_) => return Err(closed(op)),
            Stage::Configured => return Err(out_of_order(op, "has no validated image")),
            Stage::Failed => return Err(out_of_order(op, "has failed to start")),
        }
        self.core.blocking(context, turn, |core| core.create()).await
    }

    async fn run(&self, context: &Context) -> Result<Box<dyn WaitResult>> {
        let turn = self.core.take_turn("run", context).await?;
        let live = self.core.blocking(context, turn, Core::start).await?;
        Ok(Box::new(NativeWait { live }))
    }

    async fn freeze(&self, context: &Context) -> Result<()> {
        self.core.live("freeze")?.freeze(context).await
    }

    async fn unfreeze(&self, context: &Context) -> Result<()> {
        self.core.live("unfreeze")?.unfreeze(context).await
    }

    async fn signal(&self, context: &Context, signal: i32) -> Result<()> {
        let signal = known(signal)?;
        let live = self.core.live("signal")?;
        context.run(async { live.signal("signal", signal) }).await?
    }

    async fn stop(&self, context: &Context, signal: i32, grace: Duration) -> Result<()> {
        let signal = known(signal)?;
        self.core.live("stop")?.stop(context, signal, grace).await
    }

    fn state(&self) -> State {
        lock(&self.core.stage).state()
    }

    fn exit_info(&self) -> Option<ExitInfo> {
        match &*lock(&self.core.stage) {
            Stage::Live(live) | Stage::Closing(Some(live)) => live.exit_info(),
            Stage::Closed(exit) => *exit,
            _ => None,
        }
    }

    fn container_options(&self) -> Result<ContainerOptions<'_>> {
        // Before the stage is asked: making the container holds this lock until the stage is new.
        let spec = lock(&self.core.spec);
        match &*lock(&self.core.stage) {
            Stage::Configured | Stage::ImageReady => Ok(ContainerOptions::new(spec)),
            Stage::Closing(_) | Stage::Closed(_) => Err(closed("container_options")),
            stage => Err(out_of_order("container_options", &format!("is {}", stage.state()))),
        }
    }

    async fn close(&self, context: &Context) -> Result<()> {
        let mut answers = self.core.close(&Handle::current());
        let answer = context.run(answers.wait_for(Option::is_some)).await?;
        match answer.ok().and_then(|answer| answer.clone()) {
            Some(answer) => answer,
            None => Err(Error::new(ErrorKind::Host, "close: the runtime is shutting down")),
        }
    }
}

fn known(signal: i32) -> Result<rustix::process::Signal> {
    pidfd::signal(signal).ok_or_else(|| {
        Error::new(ErrorKind::InvalidTask, format!("signal {signal}: there is no such signal"))
    })
}

impl fmt::Debug for NativeCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeCookie")
            .field("name", &self.core.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// A started task.
struct NativeWait {
    live: Arc<Live>,
}

#[async_trait]
impl WaitResult for NativeWait {
    async fn wait(&self, context: &Context) -> RunResult {
        self.live.wait(context).await
    }
}
