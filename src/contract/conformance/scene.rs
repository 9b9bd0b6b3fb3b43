//! What the checks have in common: bringing a container to a stage, and saying what was wrong.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Harness, Work};
use crate::contract::{
    Context, Cookie, Driver, Error, ErrorKind, ExitInfo, Result as DriverResult, RunResult, State,
    Status, TaskBuilder, WaitResult,
};

/// What came of a check.
pub type Verdict = Result<(), Reason>;

/// What a check saw that should not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason(String);

impl Reason {
    /// In words.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Reason {
        Reason(text.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}

/// Fails the check unless something holds.
macro_rules! ensure {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(crate::contract::conformance::Reason::new(format!($($words)+)));
        }
    };
}
pub(super) use ensure;

/// An operation that has to go well.
pub(super) trait During<T> {
    fn during(self, what: &str) -> Result<T, Reason>;
}

impl<T> During<T> for DriverResult<T> {
    fn during(self, what: &str) -> Result<T, Reason> {
        self.map_err(|error| {
            Reason(format!("{what} failed: {} ({:?})", error.chain(), error.kind()))
        })
    }
}

/// An operation that has to fail in one of some ways.
pub(super) fn refused<T>(answer: DriverResult<T>, kinds: &[ErrorKind], what: &str) -> Verdict {
    match answer {
        Err(error) if kinds.contains(&error.kind()) => Ok(()),
        Err(error) => {
            let (kind, chain) = (error.kind(), error.chain());
            Err(Reason(format!("{what} is refused with {kind:?} ({chain}), not with {kinds:?}")))
        }
        Ok(_) => Err(Reason(format!("{what} goes well; it has to be refused with {kinds:?}"))),
    }
}

/// A result that has to be this one.
pub(super) fn told(result: &RunResult, status: Status, kind: Option<ErrorKind>) -> Verdict {
    let seen = (result.status().as_str(), result.error().map(Error::kind));
    ensure!(
        seen == (status.as_str(), kind),
        "the result is {seen:?} ({}), not {:?}",
        result.error().map_or_else(String::new, Error::chain),
        (status.as_str(), kind)
    );
    Ok(())
}

/// A state that has to be this one.
pub(super) fn stands(cookie: &dyn Cookie, state: State) -> Verdict {
    let seen = cookie.state();
    ensure!(seen == state, "the container is {seen}, not {state}");
    Ok(())
}

/// Looks again and again, for at most 10 s.
pub(super) async fn eventually<T>(
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T, Reason> {
    for _ in 0..2000 {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(Reason(format!("after 10 s still not {what}")))
}

/// A driver and what is needed to use it.
pub(super) struct Scene<'a> {
    harness: &'a dyn Harness,
    /// Makes the ids of one check different from all others'.
    prefix: String,
    pub(super) driver: Arc<dyn Driver>,
    /// Never ends.
    pub(super) context: Context,
}

impl<'a> Scene<'a> {
    pub(super) async fn open(harness: &'a dyn Harness) -> Result<Scene<'a>, Reason> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let driver = harness.driver().await.during("making the driver")?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("conformance-{}-{number}", std::process::id());
        Ok(Scene { harness, prefix, driver, context: Context::background() })
    }

    /// A task with an id that no other has.
    pub(super) fn task(&self, work: Work) -> TaskBuilder {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.harness.task(work).id(format!("{}-task-{number}", self.prefix))
    }

    /// A task with the same id as the others of this check that are made this way.
    pub(super) fn same_id(&self, work: Work) -> TaskBuilder {
        self.harness.task(work).id(format!("{}-same", self.prefix))
    }

    /// A task without an id.
    pub(super) fn nameless(&self, work: Work) -> TaskBuilder {
        self.harness.task(work).id("")
    }

    pub(super) async fn cookie(&self, task: TaskBuilder) -> Result<Arc<dyn Cookie>, Reason> {
        let cookie = self.driver.create_cookie(&self.context, Arc::new(task.build())).await;
        Ok(Arc::from(cookie.during("create_cookie")?))
    }

    pub(super) async fn ready(&self, task: TaskBuilder) -> Result<Arc<dyn Cookie>, Reason> {
        let cookie = self.cookie(task).await?;
        self.get_ready(&*cookie).await?;
        Ok(cookie)
    }

    async fn get_ready(&self, cookie: &dyn Cookie) -> Verdict {
        if cookie.validate_image(&self.context).await.during("validate_image")? {
            cookie.pull_image(&self.context).await.during("pull_image")?;
            let missing = cookie.validate_image(&self.context).await.during("validate_image")?;
            ensure!(!missing, "the image is still missing after the pull");
        }
        Ok(())
    }

    pub(super) async fn created(&self, task: TaskBuilder) -> Result<Arc<dyn Cookie>, Reason> {
        let cookie = self.ready(task).await?;
        cookie.create_container(&self.context).await.during("create_container")?;
        Ok(cookie)
    }

    pub(super) async fn running(&self, task: TaskBuilder) -> Result<Running, Reason> {
        let cookie = self.created(task).await?;
        let wait = cookie.run(&self.context).await.during("run")?;
        Ok(Running { cookie, wait: Arc::from(wait) })
    }

    /// Runs a task to its end and closes the container.
    pub(super) async fn outcome(&self, task: TaskBuilder) -> Result<RunResult, Reason> {
        let running = self.running(task).await?;
        let result = running.result().await;
        self.close(&*running.cookie).await?;
        Ok(result)
    }

    pub(super) async fn close(&self, cookie: &dyn Cookie) -> Verdict {
        cookie.close(&self.context).await.during("close")?;
        stands(cookie, State::Closed)
    }

    pub(super) async fn finish(self) -> Verdict {
        self.driver.close().await.during("closing the driver")
    }

    /// A context that has been cancelled, and one whose deadline is over.
    pub(super) fn dead_contexts() -> [(Context, ErrorKind); 2] {
        let (cancelled, canceller) = Context::background().with_cancel();
        canceller.cancel();
        let late = Context::background().with_timeout(Duration::ZERO);
        [(cancelled, ErrorKind::Cancelled), (late, ErrorKind::DeadlineExceeded)]
    }
}

/// A task that has been started.
pub(super) struct Running {
    pub(super) cookie: Arc<dyn Cookie>,
    pub(super) wait: Arc<dyn WaitResult>,
}

impl Running {
    pub(super) async fn result(&self) -> RunResult {
        self.wait.wait(&Context::background()).await
    }

    /// Waits for the task's end without a wait.
    pub(super) async fn ended(&self) -> Result<ExitInfo, Reason> {
        eventually("known how the task ended", || self.cookie.exit_info()).await
    }
}
