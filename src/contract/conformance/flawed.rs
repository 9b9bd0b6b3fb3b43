//! The mock behind a wrapper that does one thing wrong.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use Flaw::*;

use super::tests::Mock;
use super::{Harness, Work, async_trait};
use crate::contract::*;

/// What a driver does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flaw {
    Nothing,
    ForgetsTheStage,
    PullsAtOnce,
    FindsEveryImage,
    LosesOptions,
    PraisesEveryCode,
    IgnoresTheDeadline,
    LetsTheContextWin,
    SwallowsStderr,
    LosesShutdowns,
    SwallowsSignals,
    NeverKills,
    IgnoresFreezeMisuse,
    ClosesLate,
    SharesIds,
    KeepsDroppedCookies,
}

/// The mock with a flaw.
pub(super) struct Flawed(pub(super) Flaw);

#[async_trait]
impl Harness for Flawed {
    async fn driver(&self) -> Result<Arc<dyn Driver>> {
        let inner = Mock { delay: Duration::ZERO }.driver().await?;
        Ok(Arc::new(FlawedDriver { inner, flaw: self.0, kept: Arc::default() }))
    }

    fn task(&self, work: Work) -> TaskBuilder {
        Mock { delay: Duration::ZERO }.task(work)
    }
}

type Kept = Arc<Mutex<Vec<Arc<dyn Cookie>>>>;

struct FlawedDriver {
    inner: Arc<dyn Driver>,
    flaw: Flaw,
    kept: Kept,
}

#[async_trait]
impl Driver for FlawedDriver {
    async fn create_cookie(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Box<dyn Cookie>> {
        let (flaw, kept) = (self.flaw, Arc::clone(&self.kept));
        let task = match flaw {
            SwallowsStderr | LosesShutdowns => Arc::new(FlawedTask { task, flaw }),
            _ => task,
        };
        let inner: Arc<dyn Cookie> = self.inner.create_cookie(context, task).await?.into();
        if flaw == KeepsDroppedCookies {
            kept.lock().unwrap().push(Arc::clone(&inner));
        }
        Ok(Box::new(FlawedCookie { inner, flaw }))
    }

    fn set_pull_image_retry_policy(
        &self,
        policy: BackOffConfig,
        checker: RetryErrorChecker,
    ) -> Result<()> {
        self.inner.set_pull_image_retry_policy(policy, checker)
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// What the mock asks a task, but for its outputs.
struct FlawedTask {
    task: Arc<dyn ContainerTask>,
    flaw: Flaw,
}

impl ContainerTask for FlawedTask {
    fn id(&self) -> String {
        self.task.id()
    }

    fn command(&self) -> String {
        self.task.command()
    }

    fn image(&self) -> String {
        self.task.image()
    }

    fn memory(&self) -> u64 {
        self.task.memory()
    }

    fn input(&self) -> Option<Input> {
        self.task.input()
    }

    fn logger(&self) -> (Option<Output>, Option<Output>) {
        let (stdout, stderr) = self.task.logger();
        match self.flaw {
            SwallowsStderr => (stdout, None),
            _ => (stdout.map(endless), stderr.map(endless)),
        }
    }
}

/// The writer, shut down when it is too late to be seen.
fn endless(output: Output) -> Output {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (mut ours, mut output) = (ours, output);
    tokio::spawn(async move { tokio::io::copy(&mut ours, &mut output).await });
    Box::new(theirs)
}

struct FlawedCookie {
    inner: Arc<dyn Cookie>,
    flaw: Flaw,
}

/// Takes an error of this kind for none.
fn overlooked(answer: Result<()>, kind: ErrorKind, overlooks: bool) -> Result<()> {
    answer.or_else(|error| if overlooks && error.kind() == kind { Ok(()) } else { Err(error) })
}

#[async_trait]
impl Cookie for FlawedCookie {
    async fn validate_image(&self, context: &Context) -> Result<bool> {
        Ok(self.inner.validate_image(context).await? && self.flaw != FindsEveryImage)
    }

    async fn pull_image(&self, context: &Context) -> Result<()> {
        let answer = self.inner.pull_image(context).await;
        overlooked(answer, ErrorKind::WrongStage, self.flaw == PullsAtOnce)
    }

    async fn create_container(&self, context: &Context) -> Result<()> {
        let answer = self.inner.create_container(context).await;
        overlooked(answer, ErrorKind::Conflict, self.flaw == SharesIds)
    }

    async fn run(&self, context: &Context) -> Result<Box<dyn WaitResult>> {
        let inner = self.inner.run(context).await?;
        Ok(Box::new(FlawedWait { inner, flaw: self.flaw }))
    }

    async fn freeze(&self, context: &Context) -> Result<()> {
        let answer = self.inner.freeze(context).await;
        overlooked(answer, ErrorKind::WrongStage, self.flaw == IgnoresFreezeMisuse)
    }

    async fn unfreeze(&self, context: &Context) -> Result<()> {
        let answer = self.inner.unfreeze(context).await;
        overlooked(answer, ErrorKind::WrongStage, self.flaw == IgnoresFreezeMisuse)
    }

    async fn signal(&self, context: &Context, signal: i32) -> Result<()> {
        if self.flaw == SwallowsSignals && self.state() == State::Running {
            return Ok(());
        }
        let answer = self.inner.signal(context, signal).await;
        overlooked(answer, ErrorKind::WrongStage, self.flaw == ForgetsTheStage)
    }

    async fn stop(&self, context: &Context, signal: i32, grace: Duration) -> Result<()> {
        if self.flaw != NeverKills || self.state() != State::Running {
            return self.inner.stop(context, signal, grace).await;
        }
        self.inner.signal(context, signal).await?;
        context.run(tokio::time::sleep(grace)).await.map_err(Error::from)
    }

    fn state(&self) -> State {
        self.inner.state()
    }

    fn exit_info(&self) -> Option<ExitInfo> {
        self.inner.exit_info()
    }

    fn container_options(&self) -> Result<ContainerOptions<'_>> {
        let options = self.inner.container_options()?;
        match self.flaw {
            LosesOptions => Ok(ContainerOptions::new(Box::new(options.clone()))),
            _ => Ok(options),
        }
    }

    async fn close(&self, context: &Context) -> Result<()> {
        if self.flaw != ClosesLate {
            return self.inner.close(context).await;
        }
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            inner.close(&Context::background()).await
        });
        Ok(())
    }
}

struct FlawedWait {
    inner: Box<dyn WaitResult>,
    flaw: Flaw,
}

#[async_trait]
impl WaitResult for FlawedWait {
    async fn wait(&self, context: &Context) -> RunResult {
        let result = match self.flaw {
            IgnoresTheDeadline => self.inner.wait(&Context::background()).await,
            _ => self.inner.wait(context).await,
        };
        match (self.flaw, context.ended()) {
            (LetsTheContextWin, Some(end)) => result_of_end(end),
            (PraisesEveryCode, _) if result.status() == Status::Error => RunResult::success(),
            _ => result,
        }
    }
}
