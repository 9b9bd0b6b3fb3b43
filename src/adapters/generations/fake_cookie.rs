//! The fake driver's containers: a specification, a state and an exit code, no processes.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use oci_spec::runtime::Spec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::fake::{Fake, Program};
use crate::contract::*;

pub(super) struct FakeCookie {
    fake: Arc<Fake>,
    task: Arc<dyn ContainerTask>,
    spec: Mutex<Spec>,
    state: Mutex<State>,
    exit: watch::Sender<Option<u8>>,
}

impl FakeCookie {
    pub(super) fn new(fake: Arc<Fake>, task: Arc<dyn ContainerTask>) -> FakeCookie {
        let spec = Mutex::new(Spec::default());
        let state = Mutex::new(State::Configured);
        FakeCookie { fake, task, spec, state, exit: watch::Sender::new(None) }
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
    }

    fn vanish(&self) {
        if self.state() != State::Closed {
            self.set(State::Closed);
            self.exit.send_if_modified(|exit| exit.is_none() && exit.replace(137).is_none());
            self.fake.live.fetch_sub(1, SeqCst);
        }
    }
}

impl Drop for FakeCookie {
    fn drop(&mut self) {
        self.vanish();
    }
}

#[async_trait]
impl Cookie for FakeCookie {
    async fn validate_image(&self, context: &Context) -> Result<bool> {
        self.fake.call(context, "validate_image").await?;
        let one_less = |missing: usize| missing.checked_sub(1);
        if self.fake.missing.fetch_update(SeqCst, SeqCst, one_less).is_ok() {
            return Ok(true);
        }
        self.set(State::ImageReady);
        Ok(false)
    }

    async fn pull_image(&self, context: &Context) -> Result<()> {
        self.fake.call(context, "pull_image").await
    }

    async fn create_container(&self, context: &Context) -> Result<()> {
        self.fake.call(context, "create_container").await?;
        self.fake.seen.lock().unwrap().2 = Some(self.spec.lock().unwrap().clone());
        self.set(State::Created);
        Ok(())
    }

    async fn run(&self, context: &Context) -> Result<Box<dyn WaitResult>> {
        self.fake.call(context, "run").await?;
        if let Some(end) = context.ended() {
            return Err(end.into());
        }
        self.set(State::Running);
        match self.fake.program {
            Program::Exit(code) => drop(self.exit.send_replace(Some(code))),
            Program::Hello => {
                let mut input = String::new();
                self.task.input().unwrap().read_to_string(&mut input).await.unwrap();
                let input: serde_json::Value = serde_json::from_str(&input).unwrap();
                let hello = format!("Hello {}!", input["name"].as_str().unwrap());
                self.task.logger().0.unwrap().write_all(hello.as_bytes()).await.unwrap();
                self.exit.send_replace(Some(0));
            }
            _ => {}
        }
        let lost = matches!(self.fake.program, Program::Lost);
        Ok(Box::new(FakeWait { lost, exit: self.exit.subscribe() }))
    }

    async fn freeze(&self, context: &Context) -> Result<()> {
        self.fake.call(context, "freeze").await?;
        self.set(State::Frozen);
        Ok(())
    }

    async fn unfreeze(&self, context: &Context) -> Result<()> {
        self.fake.call(context, "unfreeze").await?;
        self.set(State::Running);
        Ok(())
    }

    async fn signal(&self, context: &Context, signal: i32) -> Result<()> {
        self.fake.call(context, &format!("signal({signal})")).await?;
        if signal == 9 || !matches!(self.fake.program, Program::Deaf) {
            self.set(State::Exited);
            self.exit.send_replace(Some(128 + signal as u8));
        }
        Ok(())
    }

    async fn stop(&self, context: &Context, signal: i32, grace: Duration) -> Result<()> {
        self.fake.call(context, "stop").await?;
        self.signal(context, signal).await?;
        let mut exit = self.exit.subscribe();
        let ended = async { exit.wait_for(Option::is_some).await.is_ok() };
        match tokio::time::timeout(grace, ended).await {
            Ok(_) => Ok(()),
            Err(_) => self.signal(context, 9).await,
        }
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap()
    }

    fn exit_info(&self) -> Option<ExitInfo> {
        let now = SystemTime::now();
        self.exit.borrow().map(|code| ExitInfo::exited(code, now, now))
    }

    fn container_options(&self) -> Result<ContainerOptions<'_>> {
        Ok(ContainerOptions::new(self.spec.lock().unwrap()))
    }

    async fn close(&self, context: &Context) -> Result<()> {
        let answer = self.fake.call(context, "close").await;
        self.vanish();
        answer
    }
}

struct FakeWait {
    lost: bool,
    exit: watch::Receiver<Option<u8>>,
}

#[async_trait]
impl WaitResult for FakeWait {
    async fn wait(&self, context: &Context) -> RunResult {
        if self.lost {
            return RunResult::failure(Status::Error, Error::new(ErrorKind::Host, "lost"));
        }
        let mut exit = self.exit.clone();
        let code = async { *exit.wait_for(Option::is_some).await.unwrap() };
        let failure = |status, kind| RunResult::failure(status, Error::new(kind, "exit"));
        match context.run(code).await {
            Ok(Some(0)) => RunResult::success(),
            Ok(Some(137)) => failure(Status::Killed, ErrorKind::ContainerKilled),
            Ok(_) => failure(Status::Error, ErrorKind::ContainerExit),
            Err(end @ ContextEnd::DeadlineExceeded) => {
                RunResult::failure(Status::Timeout, end.into())
            }
            Err(end @ ContextEnd::Cancelled) => RunResult::failure(Status::Cancelled, end.into()),
        }
    }
}
