//! Generation B on top of any driver of the third generation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::super::config::{Config, set_shares};
use super::{Cookie, Draft, Driver, WaitResult};
use crate::contract::{
    self, BackOffConfig, CallExtensions, ContainerOptions, ContainerTask, Context, Error,
    ErrorKind, ExitInfo, Result, RetryErrorChecker, RunResult, State, Status, async_trait,
};

/// A driver of generation B whose containers are another driver's.
///
/// ```no_run
/// use std::sync::Arc;
/// use hotcell::adapters::generations::{b::{Driver, Facade}, default_config};
/// use hotcell::contract::{self, Context, Task};
///
/// # async fn example(driver: Arc<dyn contract::Driver>) -> contract::Result<()> {
/// let old = Facade::new(driver, &default_config())?;
/// let context = Context::background();
/// let task = Arc::new(Task::builder("rootfs:/srv/rootfs").command("echo hello").build());
/// let cookie = old.prepare(&context, task).await?;
/// let result = cookie.run(&context).await?.wait(&context).await?;
/// assert_eq!(result.status(), contract::Status::Success);
/// cookie.close(&context).await
/// # }
/// ```
pub struct Facade {
    driver: Arc<dyn contract::Driver>,
    shares: Option<u64>,
}

impl Facade {
    /// A facade of `driver`.
    ///
    /// # Errors
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) if the configuration makes no sense.
    pub fn new(driver: Arc<dyn contract::Driver>, config: &Config) -> Result<Facade> {
        Ok(Facade { driver, shares: config.shares()? })
    }

    /// A cookie with the driver-wide weight, and nothing made yet.
    async fn begin(&self, context: &Context, task: Arc<dyn ContainerTask>) -> Result<Container> {
        let cookie = self.driver.create_cookie(context, task).await?;
        let container = Container(Arc::from(cookie));
        if let Some(shares) = self.shares {
            let options = container.0.container_options();
            if let Err(error) = options.map(|mut spec| set_shares(&mut spec, shares)) {
                container.abandon().await;
                return Err(error);
            }
        }
        Ok(container)
    }
}

#[async_trait]
impl Driver for Facade {
    async fn prepare(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Box<dyn Cookie>> {
        let container = self.begin(context, task).await?;
        match container.prepare(context).await {
            Ok(cookie) => Ok(cookie),
            Err(error) => {
                container.abandon().await;
                Err(error)
            }
        }
    }

    async fn draft(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Option<Box<dyn Draft>>> {
        Ok(Some(Box::new(self.begin(context, task).await?)))
    }

    fn set_pull_image_retry_policy(
        &self,
        policy: BackOffConfig,
        checker: RetryErrorChecker,
    ) -> Result<()> {
        self.driver.set_pull_image_retry_policy(policy, checker)
    }

    fn get_slot_key_extensions(&self, extensions: &CallExtensions) -> String {
        self.driver.get_slot_key_extensions(extensions)
    }

    async fn close(&self) -> Result<()> {
        self.driver.close().await
    }
}

impl fmt::Debug for Facade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facade").field("shares", &self.shares).finish_non_exhaustive()
    }
}

/// A third generation's cookie, before and after its container is made. The last one dropped drops
/// the cookie, which closes it.
struct Container(Arc<dyn contract::Cookie>);

impl Container {
    /// Validates the image and pulls it if it is missing.
    async fn bring_image(&self, context: &Context) -> Result<()> {
        if !self.0.validate_image(context).await? {
            return Ok(());
        }
        self.0.pull_image(context).await?;
        match self.0.validate_image(context).await? {
            false => Ok(()),
            true => {
                let message = "the image is missing although it was pulled";
                Err(Error::new(ErrorKind::ServerBusy, message))
            }
        }
    }

    /// Closes a container that never came to be, whatever became of its caller's context.
    async fn abandon(&self) {
        if let Err(error) = self.0.close(&Context::background()).await {
            tracing::warn!(error = error.chain(), "closing a container that could not be prepared");
        }
    }
}

#[async_trait]
impl Draft for Container {
    fn container_options(&self) -> Result<ContainerOptions<'_>> {
        self.0.container_options()
    }

    async fn validate_image(&self, context: &Context) -> Result<bool> {
        self.0.validate_image(context).await
    }

    async fn pull_image(&self, context: &Context) -> Result<()> {
        self.0.pull_image(context).await
    }

    async fn prepare(&self, context: &Context) -> Result<Box<dyn Cookie>> {
        if self.0.state() < State::ImageReady {
            self.bring_image(context).await?;
        }
        self.0.create_container(context).await?;
        Ok(Box::new(Container(Arc::clone(&self.0))))
    }

    async fn close(&self, context: &Context) -> Result<()> {
        self.0.close(context).await
    }
}

#[async_trait]
impl Cookie for Container {
    async fn run(&self, context: &Context) -> Result<Box<dyn WaitResult>> {
        Ok(Box::new(Waiter(self.0.run(context).await?)))
    }

    async fn freeze(&self, context: &Context) -> Result<()> {
        self.0.freeze(context).await
    }

    async fn unfreeze(&self, context: &Context) -> Result<()> {
        self.0.unfreeze(context).await
    }

    async fn close(&self, context: &Context) -> Result<()> {
        self.0.close(context).await
    }

    async fn signal(&self, context: &Context, signal: i32) -> Result<()> {
        self.0.signal(context, signal).await
    }

    async fn stop(&self, context: &Context, signal: i32, grace: Duration) -> Result<()> {
        self.0.stop(context, signal, grace).await
    }

    fn state(&self) -> Option<State> {
        Some(self.0.state())
    }

    fn exit_info(&self) -> Option<ExitInfo> {
        self.0.exit_info()
    }
}

struct Waiter(Box<dyn contract::WaitResult>);

#[async_trait]
impl WaitResult for Waiter {
    async fn wait(&self, context: &Context) -> Result<RunResult> {
        let result = self.0.wait(context).await;
        match driver_failure(&result) {
            Some(error) => Err(error.clone()),
            None => Ok(result),
        }
    }
}

/// The third generation has one status for a task that failed and a driver that did; this one has
/// an error for the latter. The error's kind tells them apart.
fn driver_failure(result: &RunResult) -> Option<&Error> {
    let error = result.error().filter(|_| result.status() == Status::Error)?;
    let of_the_task = matches!(
        error.kind(),
        ErrorKind::ContainerExit
            | ErrorKind::ContainerKilled
            | ErrorKind::Stream
            | ErrorKind::DeadlineExceeded
            | ErrorKind::Cancelled
    );
    (!of_the_task).then_some(error)
}
