//! Generation A on top of any driver of the third generation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::super::{Config, b};
use super::task::JobTask;
use super::{Cookie, Driver, EnvConfig, RunResult};
use crate::contract::{self, ContainerTask, Context, ErrorKind, Result, Status, async_trait};

/// How long a task that is told to end has until it is killed.
const GRACE: Duration = Duration::from_secs(30);

/// A driver of generation A whose containers are another driver's.
///
/// A container's name is `task-<nanoseconds since 1970>-<id>`, so that a task may be tried again
/// while what is left of its last try is being removed.
pub struct Facade {
    inner: b::Facade,
    memory: u64,
    grace: Duration,
}

impl Facade {
    /// A facade of `driver`.
    ///
    /// # Errors
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) if the configuration makes no sense.
    pub fn new(driver: Arc<dyn contract::Driver>, config: &EnvConfig) -> Result<Facade> {
        let EnvConfig { docker, memory_per_job, cpu_shares } = config.clone();
        let inner = b::Facade::new(driver, &Config { docker, cpu_shares })?;
        Ok(Facade { inner, memory: memory_per_job, grace: GRACE })
    }

    /// With another time between the request to end and the kill than 30 s.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Facade {
        Facade { grace, ..self }
    }
}

#[async_trait]
impl Driver for Facade {
    async fn prepare(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Box<dyn Cookie>> {
        let timeout = task.timeout().filter(|timeout| !timeout.is_zero());
        let task = Arc::new(JobTask::new(task, self.memory));
        let cookie = b::Driver::prepare(&self.inner, context, task).await?;
        Ok(Box::new(Job { cookie, timeout, grace: self.grace }))
    }

    /// There is no daemon that could be gone; only a context that has ended is an error.
    async fn is_alive(&self, context: &Context) -> Result<()> {
        context.ended().map_or(Ok(()), |end| Err(end.into()))
    }
}

impl fmt::Debug for Facade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facade")
            .field("inner", &self.inner)
            .field("memory", &self.memory)
            .field("grace", &self.grace)
            .finish()
    }
}

struct Job {
    cookie: Box<dyn b::Cookie>,
    timeout: Option<Duration>,
    grace: Duration,
}

impl Job {
    /// Ends the task, gently if that can be. The caller's context has ended, so it can't count.
    async fn end(&self, waiter: &dyn b::WaitResult) {
        let background = Context::background();
        let term = Signal::TERM.as_raw();
        if let Err(error) = self.cookie.stop(&background, term, self.grace).await {
            tracing::warn!(error = error.chain(), "a timed-out task is killed, not stopped");
            if let Err(error) = self.cookie.close(&background).await {
                tracing::warn!(error = error.chain(), "killing a timed-out task");
            }
        }
        // Its last words are to reach its writers, but one that is stuck must not hold up the run.
        let last_words = background.with_timeout(self.grace);
        let _ = waiter.wait(&last_words).await;
    }
}

#[async_trait]
impl Cookie for Job {
    async fn run(&self, context: &Context) -> Result<RunResult> {
        let context = match self.timeout {
            Some(timeout) => context.with_timeout(timeout),
            None => context.clone(),
        };
        let waiter = match self.cookie.run(&context).await {
            Ok(waiter) => waiter,
            // As upstream: a context that ends before the start has happened is an outcome.
            Err(error) => {
                let status = match error.kind() {
                    ErrorKind::DeadlineExceeded => Status::Timeout,
                    ErrorKind::Cancelled => Status::Cancelled,
                    _ => return Err(error),
                };
                // The start may have gone on without us.
                self.cookie.close(&Context::background()).await?;
                return Ok(contract::RunResult::failure(status, error).into());
            }
        };
        let result = waiter.wait(&context).await?;
        if matches!(result.status(), Status::Timeout | Status::Cancelled) {
            self.end(&*waiter).await;
        }
        Ok(result.into())
    }

    async fn close(&self) -> Result<()> {
        self.cookie.close(&Context::background()).await
    }
}
