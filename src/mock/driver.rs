//! The driver: it hands each task to a container of its own.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::container::Container;
use super::cookie::MockCookie;
use super::shared::{Script, Shared};
use super::{Operation, Play};
use crate::contract::{
    BackOffConfig, ContainerTask, Context, Cookie, Driver, Result, RetryErrorChecker,
};

/// fn's mock fails every so many starts.
const FAILS_EVERY: u64 = 100;

/// Makes containers that only pretend. A clone is the same driver.
#[derive(Clone)]
pub struct MockDriver {
    shared: Arc<Shared>,
}

impl MockDriver {
    /// fn's mock: every task ends well at once; every 100th start of the driver fails.
    #[must_use]
    pub fn new() -> MockDriver {
        MockDriver::with(Box::new(|_| Play::default()), Some(FAILS_EVERY))
    }

    /// A driver whose containers do what `script` says of their task. It is asked once for each
    /// cookie; it must leave the task's streams alone, which can be had only once.
    #[must_use]
    pub fn scripted(
        script: impl Fn(&dyn ContainerTask) -> Play + Send + Sync + 'static,
    ) -> MockDriver {
        MockDriver::with(Box::new(script), None)
    }

    fn with(script: Script, fails_every: Option<u64>) -> MockDriver {
        MockDriver { shared: Arc::new(Shared::new(script, fails_every)) }
    }

    /// How many tasks it has started or failed to start.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.shared.runs()
    }
}

#[async_trait]
impl Driver for MockDriver {
    async fn create_cookie(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Box<dyn Cookie>> {
        self.shared.check_open()?;
        let play = self.shared.play(&*task);
        let delay = play.delay_of(Operation::CreateCookie);
        context.run(super::container::pause(delay)).await?;
        self.shared.check_open()?;
        // Before the task's streams are taken: it may be tried again.
        if let Some(fault) = play.faults.get(&Operation::CreateCookie)
            && fault.times != Some(0)
        {
            return Err(fault.error.clone());
        }
        let container = Container::new(Arc::clone(&self.shared), task, play);
        Ok(Box::new(MockCookie::new(container)))
    }

    fn set_pull_image_retry_policy(
        &self,
        policy: BackOffConfig,
        checker: RetryErrorChecker,
    ) -> Result<()> {
        policy.check()?;
        self.shared.set_retry_policy(policy, checker);
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.shared.close();
        Ok(())
    }
}

impl Default for MockDriver {
    fn default() -> MockDriver {
        MockDriver::new()
    }
}

impl fmt::Debug for MockDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockDriver").field("runs", &self.runs()).finish_non_exhaustive()
    }
}
