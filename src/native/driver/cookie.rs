//! One container as its embedder holds it: the contract's calls, each handed to the stage it needs.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::configure::Configured;
use super::images::Images;
use super::live::{Live, gone, unattended};
use super::stage::Container;
use crate::contract::{
    BackOffConfig, ContainerOptions, ContainerTask, Context, Cookie, Error, ErrorKind, ExitInfo,
    Result, RetryErrorChecker, RunResult, State, Status, WaitResult,
};
use crate::native::Instance;
use crate::sys::pidfd;
use crate::unpoisoned::lock;

/// A cookie of the native driver.
pub(super) struct NativeCookie {
    container: Arc<Container>,
    retry: Retry,
}

/// When a failed pull is tried again: the driver's, whenever it is set.
pub(super) type Retry = Arc<Mutex<(BackOffConfig, RetryErrorChecker)>>;

impl NativeCookie {
    /// A cookie that makes its container with `instance`.
    pub(super) fn new(
        instance: Instance,
        images: Arc<Images>,
        retry: Retry,
        task: Arc<dyn ContainerTask>,
        configured: Configured,
    ) -> NativeCookie {
        let container = Arc::new(Container::new(instance, images, task, configured));
        NativeCookie { container, retry }
    }
}

impl Drop for NativeCookie {
    /// Closes in the background; outside a runtime, here.
    fn drop(&mut self) {
        let warn = |error: &Error| {
            tracing::warn!(error = error.chain(), "a cookie was dropped without close");
        };
        let Ok(runtime) = Handle::try_current() else {
            return self.container.close_here();
        };
        let mut answer = self.container.close(&runtime);
        runtime.spawn(async move {
            if let Ok(answer) = answer.wait_for(Option::is_some).await
                && let Some(Err(error)) = &*answer
            {
                warn(error);
            }
        });
    }
}

#[async_trait]
impl Cookie for NativeCookie {
    async fn validate_image(&self, context: &Context) -> Result<bool> {
        let turn = self.container.take_turn("validate_image", context).await?;
        self.container.blocking(context, turn, |container| container.look_for_image()).await
    }

    async fn pull_image(&self, context: &Context) -> Result<()> {
        let turn = self.container.take_turn("pull_image", context).await?;
        let retry = lock(&self.retry).clone();
        self.container.pull(turn, &retry, context).await
    }

    async fn create_container(&self, context: &Context) -> Result<()> {
        let turn = self.container.take_turn("create_container", context).await?;
        self.container.blocking(context, turn, |container| container.create()).await
    }

    async fn run(&self, context: &Context) -> Result<Box<dyn WaitResult>> {
        let turn = self.container.take_turn("run", context).await?;
        let live = self.container.blocking(context, turn, Container::start).await?;
        live.handed_out.store(true, Ordering::Release);
        let result = live.result.subscribe();
        Ok(Box::new(NativeWait { live: Arc::downgrade(&live), result }))
    }

    async fn freeze(&self, context: &Context) -> Result<()> {
        self.container.live("freeze")?.freeze(context).await
    }

    async fn unfreeze(&self, context: &Context) -> Result<()> {
        self.container.live("unfreeze")?.unfreeze(context).await
    }

    async fn signal(&self, context: &Context, signal: i32) -> Result<()> {
        let signal = known(signal)?;
        let live = self.container.live("signal")?;
        context.run(async { live.signal("signal", signal) }).await?
    }

    async fn stop(&self, context: &Context, signal: i32, grace: Duration) -> Result<()> {
        let signal = known(signal)?;
        self.container.live("stop")?.stop(context, signal, grace).await
    }

    fn state(&self) -> State {
        self.container.state()
    }

    fn exit_info(&self) -> Option<ExitInfo> {
        self.container.exit_info()
    }

    fn container_options(&self) -> Result<ContainerOptions<'_>> {
        self.container.options()
    }

    async fn close(&self, context: &Context) -> Result<()> {
        let mut answers = self.container.close(&Handle::current());
        let answer = context.run(answers.wait_for(Option::is_some)).await?;
        match answer.ok().and_then(|answer| answer.clone()) {
            Some(answer) => answer,
            None => Err(unattended()),
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
            .field("name", &self.container.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// A started task. It holds nothing of the container once that has been removed.
struct NativeWait {
    live: Weak<Live>,
    result: watch::Receiver<Option<RunResult>>,
}

#[async_trait]
impl WaitResult for NativeWait {
    async fn wait(&self, context: &Context) -> RunResult {
        match self.live.upgrade() {
            Some(live) => live.wait(context).await,
            None => self
                .result
                .borrow()
                .clone()
                .unwrap_or_else(|| RunResult::failure(Status::Error, gone())),
        }
    }
}
