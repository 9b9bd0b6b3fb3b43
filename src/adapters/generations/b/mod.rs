//! Generation B: `prepare`, `run` that returns once the task has started, `wait`.
//!
//! ```text
//! Driver::prepare(task) ─► Cookie ── run ─► WaitResult ── wait ─► RunResult
//!                            │  freeze ⇄ unfreeze
//!                            └─ close
//! ```
//!
//! A user's driver of this shape implements the methods without a default: `prepare`; `run`,
//! `freeze`, `unfreeze`, `close`; `wait`. The others came later in the contract's life. They are
//! here so that nothing is lost when [`upgrade`](super::upgrade) wraps a driver of this shape, and
//! [`Facade`] has them all.

mod facade;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::contract::{
    BackOffConfig, CallExtensions, ContainerOptions, ContainerTask, Context, Error, ErrorKind,
    ExitInfo, Result, RetryErrorChecker, RunResult, State, async_trait,
};

pub use facade::Facade;

/// Makes containers out of tasks. `Timeout` of a task is not looked at, its memory and CPUs are.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Everything up to the start: brings the image here, makes the container.
    ///
    /// # Errors
    /// Why there is no container; then nothing is left of it. Nor is it when the future is dropped.
    async fn prepare(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Box<dyn Cookie>>;

    /// The same in two steps, for drivers that can; `None`, without a look at the task, if this one
    /// can't.
    ///
    /// # Errors
    /// As [`contract::Driver::create_cookie`](crate::contract::Driver::create_cookie).
    async fn draft(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Option<Box<dyn Draft>>> {
        let _ = (context, task);
        Ok(None)
    }

    /// See [`contract::Driver`](crate::contract::Driver::set_pull_image_retry_policy).
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) unless the driver has one.
    fn set_pull_image_retry_policy(
        &self,
        policy: BackOffConfig,
        checker: RetryErrorChecker,
    ) -> Result<()> {
        let _ = (policy, checker);
        Err(unsupported("retry policy for pulls"))
    }

    /// See [`contract::Driver`](crate::contract::Driver::get_slot_key_extensions).
    fn get_slot_key_extensions(&self, extensions: &CallExtensions) -> String {
        let _ = extensions;
        String::new()
    }

    /// See [`contract::Driver`](crate::contract::Driver::close). Calling it again does nothing.
    ///
    /// # Errors
    /// When something of the driver's own could not be removed.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// A container that has been worked out and not made. Dropping it closes it.
#[async_trait]
pub trait Draft: Send + Sync {
    /// The container's specification, to change it before [`prepare`](Draft::prepare).
    ///
    /// # Errors
    /// As [`contract::Cookie`](crate::contract::Cookie::container_options).
    fn container_options(&self) -> Result<ContainerOptions<'_>>;

    /// Whether the image has to be pulled. Nobody has to ask: [`prepare`](Draft::prepare) does.
    ///
    /// # Errors
    /// As [`contract::Cookie`](crate::contract::Cookie::validate_image).
    async fn validate_image(&self, context: &Context) -> Result<bool>;

    /// Fetches the image.
    ///
    /// # Errors
    /// As [`contract::Cookie`](crate::contract::Cookie::pull_image).
    async fn pull_image(&self, context: &Context) -> Result<()>;

    /// What is left of [`Driver::prepare`]. Whether it fails or is dropped, it may be tried again.
    ///
    /// # Errors
    /// Why there is no container.
    async fn prepare(&self, context: &Context) -> Result<Box<dyn Cookie>>;

    /// Gives up what was worked out, and the container if there is one.
    ///
    /// # Errors
    /// As [`Cookie::close`].
    async fn close(&self, context: &Context) -> Result<()>;
}

/// One container. Futures may be dropped; what they began goes on or is taken back. Dropping the
/// cookie of a [`Facade`] closes it in the background.
#[async_trait]
pub trait Cookie: Send + Sync {
    /// Starts the task and returns at once, its streams connected.
    ///
    /// # Errors
    /// When it could not be started. Only [`close`](Cookie::close) makes sense then.
    async fn run(&self, context: &Context) -> Result<Box<dyn WaitResult>>;

    /// Stops every process of the container where it is.
    ///
    /// # Errors
    /// When it is frozen already or has ended.
    async fn freeze(&self, context: &Context) -> Result<()>;

    /// Lets a frozen container go on.
    ///
    /// # Errors
    /// When it is not frozen.
    async fn unfreeze(&self, context: &Context) -> Result<()>;

    /// Kills what runs, frozen or not, and removes everything.
    ///
    /// # Errors
    /// What could not be removed.
    async fn close(&self, context: &Context) -> Result<()>;

    /// Sends a signal to the task.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) unless the driver can.
    async fn signal(&self, context: &Context, signal: i32) -> Result<()> {
        let _ = (context, signal);
        Err(unsupported("way to send signals"))
    }

    /// Sends `signal`, waits up to `grace` for the task's end, then kills.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) unless the driver can.
    async fn stop(&self, context: &Context, signal: i32, grace: Duration) -> Result<()> {
        let _ = (context, signal, grace);
        Err(unsupported("way to stop a task gently"))
    }

    /// Where the container stands; `None` if the driver does not say.
    fn state(&self) -> Option<State> {
        None
    }

    /// How the task ended, as soon as that is known and if the driver says.
    fn exit_info(&self) -> Option<ExitInfo> {
        None
    }
}

/// A task that has been started.
#[async_trait]
pub trait WaitResult: Send + Sync {
    /// Waits for the task's end or the context's, which does not end the task.
    ///
    /// # Errors
    /// When the driver failed, so that nothing is known about the task. A task that failed, was
    /// killed or outlived the context is a result.
    async fn wait(&self, context: &Context) -> Result<RunResult>;
}

fn unsupported(what: &str) -> Error {
    let message = format!("this driver of generation B has no {what}");
    Error::new(ErrorKind::Unsupported, message)
}
