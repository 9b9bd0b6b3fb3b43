//! The third generation's cookie on top of generation B's, and its waits.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::super::b;
use super::stages::{Stages, wrong_stage};
use crate::contract::{
    self, ContainerOptions, ContainerTask, Context, Error, ErrorKind, ExitInfo, Result, RunResult,
    State, Status, WaitResult, async_trait,
};

pub(super) struct Cookie {
    stages: Arc<Stages>,
}

impl Cookie {
    pub(super) fn new(
        driver: Arc<dyn b::Driver>,
        task: Arc<dyn ContainerTask>,
        draft: Option<Box<dyn b::Draft>>,
    ) -> Cookie {
        Cookie { stages: Arc::new(Stages::new(driver, task, draft)) }
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        self.stages.begin_removal();
    }
}

#[async_trait]
impl contract::Cookie for Cookie {
    async fn validate_image(&self, context: &Context) -> Result<bool> {
        self.stages.open()?;
        let missing = match &self.stages.draft {
            Some(draft) => draft.validate_image(context).await?,
            None => false,
        };
        if !missing {
            self.stages.step(State::Configured, State::ImageReady);
        }
        Ok(missing)
    }

    async fn pull_image(&self, context: &Context) -> Result<()> {
        let state = self.stages.open()?;
        match &self.stages.draft {
            Some(draft) => draft.pull_image(context).await,
            None if state == State::Configured => Err(wrong_stage("pull_image", state)),
            None => Ok(()),
        }
    }

    async fn create_container(&self, context: &Context) -> Result<()> {
        self.stages.in_turn(context, create).await
    }

    async fn run(&self, context: &Context) -> Result<Box<dyn WaitResult>> {
        let work = |stages: Arc<Stages>, context: Context| async move {
            let cookie = stages.in_state(&[State::Created], "run")?;
            match cookie.run(&context).await {
                Ok(waiter) => {
                    stages.step(State::Created, State::Running);
                    let end = OnceLock::new();
                    Ok(Box::new(Waiter { stages, waiter, end }) as Box<dyn WaitResult>)
                }
                Err(error) => {
                    stages.step(State::Created, State::Exited);
                    Err(error)
                }
            }
        };
        self.stages.in_turn(context, work).await
    }

    async fn freeze(&self, context: &Context) -> Result<()> {
        let work = |stages: Arc<Stages>, context: Context| async move {
            stages.in_state(&[State::Running], "freeze")?.freeze(&context).await?;
            stages.step(State::Running, State::Frozen);
            Ok(())
        };
        self.stages.in_turn(context, work).await
    }

    async fn unfreeze(&self, context: &Context) -> Result<()> {
        let work = |stages: Arc<Stages>, context: Context| async move {
            stages.in_state(&[State::Frozen], "unfreeze")?.unfreeze(&context).await?;
            stages.step(State::Frozen, State::Running);
            Ok(())
        };
        self.stages.in_turn(context, work).await
    }

    // Signals wait for no turn: a stop takes as long as its grace, and must not hold up a close.
    async fn signal(&self, context: &Context, signal: i32) -> Result<()> {
        let cookie = self.stages.in_state(&[State::Running, State::Frozen], "signal")?;
        cookie.signal(context, signal).await
    }

    async fn stop(&self, context: &Context, signal: i32, grace: Duration) -> Result<()> {
        let there = [State::Running, State::Frozen, State::Exited];
        let cookie = self.stages.in_state(&there, "stop")?;
        if self.stages.state() == State::Exited {
            return Ok(());
        }
        cookie.stop(context, signal, grace).await
    }

    fn state(&self) -> State {
        self.stages.state()
    }

    fn exit_info(&self) -> Option<ExitInfo> {
        self.stages.cookie().and_then(|cookie| cookie.exit_info())
    }

    fn container_options(&self) -> Result<ContainerOptions<'_>> {
        let state = self.stages.open()?;
        if state > State::ImageReady {
            return Err(wrong_stage("container_options", state));
        }
        match &self.stages.draft {
            Some(draft) => draft.container_options(),
            None => {
                let message = "this driver of generation B does not show its specification";
                Err(Error::new(ErrorKind::Unsupported, message))
            }
        }
    }

    async fn close(&self, context: &Context) -> Result<()> {
        self.stages.removed(context).await
    }
}

/// The whole of `prepare`. A draft may be prepared again after a failure. Without one, nobody knows
/// whether the driver has asked for the task's streams, which are given away once.
async fn create(stages: Arc<Stages>, context: Context) -> Result<()> {
    match stages.open()? {
        State::Configured => return Err(wrong_stage("create_container", State::Configured)),
        State::ImageReady => {}
        _ => return Ok(()),
    }
    let failed = stages.now().failed.clone();
    let cookie = match (&stages.draft, failed) {
        (_, Some(error)) => return Err(error),
        (Some(draft), None) => draft.prepare(&context).await?,
        (None, None) => {
            let prepared = stages.driver.prepare(&context, Arc::clone(&stages.task)).await;
            prepared.inspect_err(|error| stages.now().failed = Some(error.clone()))?
        }
    };
    let mut now = stages.now();
    now.cookie = Some(Arc::from(cookie));
    now.state = State::Created;
    Ok(())
}

struct Waiter {
    stages: Arc<Stages>,
    waiter: Box<dyn b::WaitResult>,
    /// The first answer that tells of the task's end.
    end: OnceLock<RunResult>,
}

#[async_trait]
impl WaitResult for Waiter {
    async fn wait(&self, context: &Context) -> RunResult {
        if let Some(end) = self.end.get() {
            return end.clone();
        }
        match self.waiter.wait(context).await {
            Ok(result) => match result.status() {
                Status::Success | Status::Error | Status::Killed => {
                    self.stages.step(State::Frozen, State::Exited);
                    self.stages.step(State::Running, State::Exited);
                    self.end.get_or_init(|| result).clone()
                }
                Status::Timeout | Status::Cancelled | Status::Running => result,
            },
            // Not an end: a driver that failed may know more the next time it is asked.
            Err(error) => {
                let status = match error.kind() {
                    ErrorKind::DeadlineExceeded => Status::Timeout,
                    ErrorKind::Cancelled => Status::Cancelled,
                    _ => Status::Error,
                };
                RunResult::failure(status, error)
            }
        }
    }
}
