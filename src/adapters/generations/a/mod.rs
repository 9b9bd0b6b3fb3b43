//! Generation A: `prepare`, and `run` that returns when the task has ended.
//!
//! ```text
//! Driver::prepare(task) ─► Cookie ── run ─► RunResult
//!                            └─ close
//! ```
//!
//! A task's `timeout` counts from `run`. When it is over, or the caller's context ends, the task is
//! told to end and killed if it does not; `run` returns after its end. Memory and CPU weight are
//! the driver's, the same for every task.

mod env;
mod facade;
mod task;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::contract::{self, ContainerTask, Context, Error, Result, Status, async_trait};

pub use env::EnvConfig;
pub use facade::Facade;

/// Makes containers out of tasks.
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

    /// Whether the daemon behind the driver answers.
    ///
    /// # Errors
    /// Why it does not.
    async fn is_alive(&self, context: &Context) -> Result<()>;
}

/// One container. Dropping the cookie of a [`Facade`] closes it in the background.
#[async_trait]
pub trait Cookie: Send + Sync {
    /// Starts the task and waits for its end. If the future is dropped, the task goes on until the
    /// cookie is closed.
    ///
    /// # Errors
    /// When the driver failed; whether the task still runs is not known then, and only
    /// [`close`](Cookie::close) makes sense. What becomes of the task is a result.
    async fn run(&self, context: &Context) -> Result<RunResult>;

    /// Kills what runs and removes everything.
    ///
    /// # Errors
    /// What could not be removed.
    async fn close(&self) -> Result<()>;
}

/// How a task ended. Unlike the later generations' it has no error for a timeout or a cancellation,
/// and is an error value itself; without an error its text is empty.
#[derive(Clone, Debug)]
pub struct RunResult {
    status: Status,
    error: Option<Error>,
}

impl RunResult {
    /// How the task ended.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Why it is no success; `None` for `success`, `timeout` and `cancelled`.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}

impl From<contract::RunResult> for RunResult {
    fn from(result: contract::RunResult) -> RunResult {
        let status = result.status();
        let silent = matches!(status, Status::Timeout | Status::Cancelled);
        RunResult { status, error: result.error().filter(|_| !silent).cloned() }
    }
}

impl fmt::Display for RunResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.as_ref().map_or(Ok(()), |error| fmt::Display::fmt(error, f))
    }
}

impl std::error::Error for RunResult {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.as_ref().and_then(std::error::Error::source)
    }
}
