//! The driver: whose script it is, and which ids are taken.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::container::Container;
use super::cookie::MockCookie;
use super::{Operation, Play};
use crate::contract::{
    BackOffConfig, ContainerTask, Context, Cookie, Driver, Error, ErrorKind, Result,
    RetryErrorChecker, never_retry,
};

/// fn's mock fails every so many starts.
const FAILS_EVERY: u64 = 100;

/// Makes containers that only pretend. A clone is the same driver.
#[derive(Clone)]
pub struct MockDriver {
    shared: Arc<Shared>,
}

type Script = Box<dyn Fn(&dyn ContainerTask) -> Play + Send + Sync>;

/// What the containers of a driver have in common.
pub(super) struct Shared {
    script: Script,
    /// `None`: a start fails only if the script says so.
    fails_every: Option<u64>,
    runs: AtomicU64,
    closed: AtomicBool,
    ids: Mutex<HashSet<String>>,
    retry: Mutex<(BackOffConfig, RetryErrorChecker)>,
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
        let shared = Shared {
            script,
            fails_every,
            runs: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            ids: Mutex::default(),
            retry: Mutex::new((BackOffConfig::default(), never_retry())),
        };
        MockDriver { shared: Arc::new(shared) }
    }

    /// How many tasks it has started or failed to start.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.shared.runs.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Counts a start; fn's mock fails at some.
    pub(super) fn count_run(&self) -> Result<()> {
        let number = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        match self.fails_every {
            Some(every) if number.is_multiple_of(every) => {
                let message = format!("mock driver error: start {number} fails");
                Err(Error::new(ErrorKind::Launch, message))
            }
            _ => Ok(()),
        }
    }

    /// Takes an id; an empty one is never taken.
    pub(super) fn take_id(&self, id: &str) -> Result<()> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if id.is_empty() || ids.insert(id.to_owned()) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, format!("another container has the id {id:?}")))
    }

    pub(super) fn free_id(&self, id: &str) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    pub(super) fn retry_policy(&self) -> (BackOffConfig, RetryErrorChecker) {
        self.retry.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the driver has been closed"));
        }
        Ok(())
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
        let play = (self.shared.script)(&*task);
        let delay = play.delay_of(Operation::CreateCookie);
        context.run(super::container::pause(delay)).await?;
        self.shared.check_open()?;
        let container = Container::new(Arc::clone(&self.shared), task, play);
        container.fault(Operation::CreateCookie)?;
        Ok(Box::new(MockCookie::new(container)))
    }

    fn set_pull_image_retry_policy(
        &self,
        policy: BackOffConfig,
        checker: RetryErrorChecker,
    ) -> Result<()> {
        policy.check()?;
        let mut retry = self.shared.retry.lock().unwrap_or_else(PoisonError::into_inner);
        *retry = (policy, checker);
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.shared.closed.store(true, Ordering::Release);
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
