//! The contract's operations on a pretended container.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::Operation;
use super::container::{Container, Core};
use super::player::{Stage, play};
use super::wait::MockWait;
use crate::contract::{
    ContainerOptions, Context, Cookie, Error, ErrorKind, ExitInfo, Result, State, WaitResult,
};
use crate::unpoisoned::lock;

const SIGKILL: i32 = 9;
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;

/// Stands for a container; dropping it closes that in the background.
pub(super) struct MockCookie {
    container: Arc<Container>,
}

impl MockCookie {
    pub(super) fn new(container: Arc<Container>) -> MockCookie {
        MockCookie { container }
    }

    /// From `from` to `to`, in one step.
    fn turn(&self, what: &str, from: State, to: State) -> Result<()> {
        self.container.change(|core| {
            core.check_open()?;
            if core.state != from {
                return Err(core.wrong_stage(what));
            }
            core.state = to;
            Ok(())
        })
    }
}

/// Whether there is a task to send `signal` to.
fn check_signal(core: &Core, signal: i32) -> Result<()> {
    core.check_open()?;
    if !SIGNALS.contains(&signal) {
        return Err(Error::new(ErrorKind::InvalidTask, format!("there is no signal {signal}")));
    }
    if !core.alive() {
        return Err(core.wrong_stage("signal"));
    }
    Ok(())
}

#[async_trait]
impl Cookie for MockCookie {
    async fn validate_image(&self, context: &Context) -> Result<bool> {
        self.container.validate_image(context).await
    }

    async fn pull_image(&self, context: &Context) -> Result<()> {
        self.container.pull_image(context).await
    }

    async fn create_container(&self, context: &Context) -> Result<()> {
        self.container.create_container(context).await
    }

    async fn run(&self, context: &Context) -> Result<Box<dyn WaitResult>> {
        let container = &self.container;
        let check = |core: &Core| {
            core.check_open()?;
            if core.state == State::Created { Ok(()) } else { Err(core.wrong_stage("run")) }
        };
        container.look(check)?;
        container.delay(context, Operation::Run).await?;
        let runtime = Handle::try_current().map_err(|error| {
            Error::caused(ErrorKind::Host, "a mock task runs in a tokio runtime only", error)
        })?;
        let streams = container.change(|core| {
            check(core)?;
            let fault = container.driver.count_run().and(container.fault(Operation::Run));
            core.state = if fault.is_ok() { State::Running } else { State::Exited };
            fault.map(|()| core.streams.take().unwrap_or_default())
        })?;
        runtime.spawn(play(Stage::new(Arc::clone(container)), streams));
        Ok(Box::new(MockWait { container: Arc::clone(container) }))
    }

    async fn freeze(&self, context: &Context) -> Result<()> {
        let container = &self.container;
        let wrong = |core: &Core| core.wrong_stage("freeze");
        container.look(|core| {
            core.check_open()?;
            if core.state == State::Running { Ok(()) } else { Err(wrong(core)) }
        })?;
        container.delay(context, Operation::Freeze).await?;
        container.fault(Operation::Freeze)?;
        self.turn("freeze", State::Running, State::Frozen)?;
        // Until the task has come to a halt, or to its end before that.
        container
            .until(|core| match core.state {
                State::Frozen => core.halted.then_some(Ok(())),
                // Someone else thawed it already.
                State::Running => Some(Ok(())),
                _ => Some(Err(wrong(core))),
            })
            .await
    }

    async fn unfreeze(&self, context: &Context) -> Result<()> {
        let container = &self.container;
        container.look(|core| {
            core.check_open()?;
            let frozen = core.state == State::Frozen;
            if frozen { Ok(()) } else { Err(core.wrong_stage("unfreeze")) }
        })?;
        container.delay(context, Operation::Unfreeze).await?;
        container.fault(Operation::Unfreeze)?;
        self.turn("unfreeze", State::Frozen, State::Running)
    }

    async fn signal(&self, context: &Context, signal: i32) -> Result<()> {
        let container = &self.container;
        container.look(|core| check_signal(core, signal))?;
        container.delay(context, Operation::Signal).await?;
        container.fault(Operation::Signal)?;
        container.change(|core| {
            check_signal(core, signal)?;
            core.signals.push_back(signal);
            Ok(())
        })
    }

    async fn stop(&self, context: &Context, signal: i32, grace: Duration) -> Result<()> {
        let container = &self.container;
        let check = |core: &Core| {
            core.check_open()?;
            if core.state == State::Exited {
                return Ok(false);
            }
            check_signal(core, signal).map(|()| true)
        };
        if !container.look(check)? {
            return Ok(());
        }
        container.delay(context, Operation::Stop).await?;
        container.fault(Operation::Stop)?;
        let sent = container.change(|core| {
            let alive = check(core)?;
            if alive {
                core.signals.push_back(signal);
            }
            Ok::<_, Error>(alive)
        })?;
        if !sent {
            return Ok(());
        }
        let ended = || container.until(|core| (!core.alive()).then_some(()));
        if context.run(tokio::time::timeout(grace, ended())).await?.is_err() {
            container.change(|core| core.signals.push_back(SIGKILL));
            context.run(ended()).await?;
        }
        Ok(())
    }

    fn state(&self) -> State {
        self.container.look(|core| core.state)
    }

    fn exit_info(&self) -> Option<ExitInfo> {
        self.container.look(|core| core.exit)
    }

    fn container_options(&self) -> Result<ContainerOptions<'_>> {
        let spec = lock(&self.container.spec);
        self.container.look(|core| {
            core.check_open()?;
            let made = core.state >= State::Created;
            if made { Err(core.wrong_stage("container_options")) } else { Ok(()) }
        })?;
        Ok(ContainerOptions::new(spec))
    }

    async fn close(&self, context: &Context) -> Result<()> {
        self.container.begin_close();
        match self.container.removal() {
            Some(answer) => answer,
            None => context.run(self.container.removed()).await?,
        }
    }
}

impl Drop for MockCookie {
    fn drop(&mut self) {
        self.container.begin_close();
    }
}
