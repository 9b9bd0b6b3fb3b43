//! The three traits: what drives, what stands for one container, what is waited for.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oci_spec::runtime::Spec;

use super::{
    BackOffConfig, CallExtensions, ContainerTask, Context, ExitInfo, Result, RetryErrorChecker,
    RunResult, State,
};

/// Makes containers out of tasks.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Asks the task what it wants, each question at most once, and works out the container; makes
    /// nothing. Whatever happens then, the cookie wants to be closed.
    ///
    /// # Errors
    /// [`InvalidTask`](super::ErrorKind::InvalidTask) and
    /// [`Unsupported`](super::ErrorKind::Unsupported) with the value;
    /// [`Closed`](super::ErrorKind::Closed) after [`close`](Driver::close).
    async fn create_cookie(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Box<dyn Cookie>>;

    /// Sets how often a failed pull is tried again, and which failures are worth it. Until it is
    /// called none is.
    ///
    /// # Errors
    /// [`InvalidConfig`](super::ErrorKind::InvalidConfig) if the policy makes no sense.
    fn set_pull_image_retry_policy(
        &self,
        policy: BackOffConfig,
        checker: RetryErrorChecker,
    ) -> Result<()>;

    /// What of a call's extensions makes a container unfit for other calls: an opaque text that the
    /// embedder mixes into the key it reuses containers by.
    fn get_slot_key_extensions(&self, extensions: &CallExtensions) -> String {
        let _ = extensions;
        String::new()
    }

    /// Stops the driver's own background work and refuses new cookies. Containers that exist go
    /// on; their cookies still work. Calling it again does nothing.
    ///
    /// # Errors
    /// When something of the driver's own could not be removed.
    async fn close(&self) -> Result<()>;
}

/// One container, from wish to removal. The methods are called in their order here; one that comes
/// out of order answers [`WrongStage`](super::ErrorKind::WrongStage) and changes nothing, one after
/// close [`Closed`](super::ErrorKind::Closed).
///
/// Every future may be dropped at any time: what it began goes on or is taken back, nothing leaks.
/// Dropping the cookie itself closes it in the background.
#[async_trait]
pub trait Cookie: Send + Sync {
    /// Whether the image has to be pulled. Asking again is allowed.
    ///
    /// # Errors
    /// [`ImageWithVolume`](super::ErrorKind::ImageWithVolume), every time it is asked.
    async fn validate_image(&self, context: &Context) -> Result<bool>;

    /// Fetches the image, after a validation that asked for it; afterwards it has to be validated
    /// again. Does nothing if a validation found it.
    ///
    /// # Errors
    /// [`WrongStage`](super::ErrorKind::WrongStage) before any validation;
    /// [`PullFailed`](super::ErrorKind::PullFailed), [`PullTimeout`](super::ErrorKind::PullTimeout).
    async fn pull_image(&self, context: &Context) -> Result<()>;

    /// Makes the container, without a process. Doing it again is no error and changes nothing.
    ///
    /// # Errors
    /// [`ServerBusy`](super::ErrorKind::ServerBusy) if the image has vanished;
    /// [`Conflict`](super::ErrorKind::Conflict) if another container has the task's id.
    async fn create_container(&self, context: &Context) -> Result<()>;

    /// Starts the task and returns at once, its streams connected. The runtime that it is called on
    /// carries the streams and the measurements: if it shuts down before the task ends, every wait
    /// is an error. It needs its I/O and its time enabled.
    ///
    /// # Errors
    /// When it could not be started; only [`close`](Cookie::close) makes sense then. And the context's
    /// end: a start that was under way goes on, and another `run` gives its wait.
    async fn run(&self, context: &Context) -> Result<Box<dyn WaitResult>>;

    /// Stops every process of the container where it is.
    ///
    /// # Errors
    /// [`WrongStage`](super::ErrorKind::WrongStage) if it is frozen already or has ended.
    async fn freeze(&self, context: &Context) -> Result<()>;

    /// Lets a frozen container go on.
    ///
    /// # Errors
    /// [`WrongStage`](super::ErrorKind::WrongStage) if it is not frozen.
    async fn unfreeze(&self, context: &Context) -> Result<()>;

    /// Sends a signal to the task.
    ///
    /// # Errors
    /// [`WrongStage`](super::ErrorKind::WrongStage) if no task runs,
    /// [`InvalidTask`](super::ErrorKind::InvalidTask) if there is no such signal.
    async fn signal(&self, context: &Context, signal: i32) -> Result<()>;

    /// Sends `signal`, waits up to `grace` for the task's end, then kills; returns when the task has
    /// ended. A task that has ended is left alone.
    ///
    /// # Errors
    /// As [`signal`](Cookie::signal); and the context's end, after which nothing more is done.
    async fn stop(&self, context: &Context, signal: i32, grace: Duration) -> Result<()>;

    /// Where the container stands.
    fn state(&self) -> State;

    /// How the task ended, as soon as that is known.
    fn exit_info(&self) -> Option<ExitInfo>;

    /// The container's specification, to change it before
    /// [`create_container`](Cookie::create_container). What a wrapping driver adds to every
    /// container goes in here, and what a task can't say, such as an argument with a space. One at a
    /// time can hold it, and the container is not made before it is let go.
    ///
    /// # Errors
    /// [`WrongStage`](super::ErrorKind::WrongStage) once the container has been made, and while
    /// another holds the specification.
    fn container_options(&self) -> Result<ContainerOptions<'_>>;

    /// Kills what runs, frozen or not, and removes everything. Works at any stage; again or from
    /// several tasks at once it gives the same answer.
    ///
    /// # Errors
    /// [`Leftovers`](super::ErrorKind::Leftovers) with what could not be removed; and the context's
    /// end, while the removal goes on.
    async fn close(&self, context: &Context) -> Result<()>;
}

/// A task that has been started.
#[async_trait]
pub trait WaitResult: Send + Sync {
    /// Waits for the task's end or the context's, and ends the collecting of statistics. The
    /// context's end does not end the task. After the task's end every wait gives the same result,
    /// whatever its context.
    ///
    /// By then every writer has been given all that the task wrote, but for one that was busy for
    /// 100 ms: it is given the rest in the background.
    async fn wait(&self, context: &Context) -> RunResult;
}

/// A specification that may be changed as long as this lives.
pub struct ContainerOptions<'a> {
    spec: Box<dyn DerefMut<Target = Spec> + 'a>,
}

impl<'a> ContainerOptions<'a> {
    /// From whatever guards the specification.
    pub fn new(spec: impl DerefMut<Target = Spec> + 'a) -> ContainerOptions<'a> {
        ContainerOptions { spec: Box::new(spec) }
    }
}

impl Deref for ContainerOptions<'_> {
    type Target = Spec;

    fn deref(&self) -> &Spec {
        &self.spec
    }
}

impl DerefMut for ContainerOptions<'_> {
    fn deref_mut(&mut self) -> &mut Spec {
        &mut self.spec
    }
}

impl fmt::Debug for ContainerOptions<'_> {
    /// Without the specification, whose environment may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerOptions").finish_non_exhaustive()
    }
}
