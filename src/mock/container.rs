//! One pretended container: where it stands, who may change that, who is told.
//!
//! An operation looks at the stage, takes its time, and then does what it does in one step behind
//! the lock, where it looks at the stage again. So a future that is dropped has either done nothing
//! or everything, and operations that meet can't break each other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oci_spec::runtime::Spec;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use super::{Operation, Play};
use crate::contract::{
    ContainerTask, Context, Error, ErrorKind, ExitInfo, Input, Output, Result, RunResult, State,
};
use crate::unpoisoned::lock;

pub(super) struct Container {
    pub(super) driver: Arc<Shared>,
    pub(super) task: Arc<dyn ContainerTask>,
    pub(super) play: Play,
    pub(super) id: String,
    pub(super) memory_limit_bytes: Option<u64>,
    /// Locked before `core`, never after it.
    pub(super) spec: Mutex<Spec>,
    core: Mutex<Core>,
    changes: watch::Sender<()>,
    /// Ends when no more measurements are wanted.
    pub(super) measuring: CancellationToken,
    /// How often an operation has failed.
    failures: Mutex<BTreeMap<Operation, u32>>,
}

/// What the task brought along.
#[derive(Default)]
pub(super) struct Streams {
    pub(super) stdin: Option<Input>,
    pub(super) stdout: Option<Output>,
    pub(super) stderr: Option<Output>,
}

/// What changes about a container.
pub(super) struct Core {
    pub(super) state: State,
    pub(super) closing: bool,
    /// A validation has said that the image has to be pulled.
    pub(super) pull_wanted: bool,
    pub(super) pulled: bool,
    pub(super) has_id: bool,
    /// What of standard output the specification decides.
    pub(super) stdout: Vec<u8>,
    pub(super) streams: Option<Streams>,
    /// Signals on their way.
    pub(super) signals: VecDeque<i32>,
    /// The task has come to a halt.
    pub(super) halted: bool,
    pub(super) stream_error: Option<Error>,
    pub(super) exit: Option<ExitInfo>,
    pub(super) result: Option<RunResult>,
    pub(super) removal: Option<Result<()>>,
}

impl Core {
    /// Whether there is a task that can be sent signals.
    pub(super) fn alive(&self) -> bool {
        matches!(self.state, State::Running | State::Frozen)
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closing {
            return Err(Error::new(ErrorKind::Closed, "the container has been closed"));
        }
        Ok(())
    }

    /// What an operation out of order is answered.
    pub(super) fn wrong_stage(&self, what: &str) -> Error {
        Error::new(ErrorKind::WrongStage, format!("{what} while the container is {}", self.state))
    }
}

/// A sleep that costs nothing if there is nothing to wait for.
pub(super) async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

impl Container {
    pub(super) fn new(
        driver: Arc<Shared>,
        task: Arc<dyn ContainerTask>,
        play: Play,
    ) -> Arc<Container> {
        let (stdout, stderr) = task.logger();
        let streams = Streams { stdin: task.input(), stdout, stderr };
        let core = Core {
            state: State::Configured,
            closing: false,
            pull_wanted: false,
            pulled: false,
            has_id: false,
            stdout: Vec::new(),
            streams: Some(streams),
            signals: VecDeque::new(),
            halted: false,
            stream_error: None,
            exit: None,
            result: None,
            removal: None,
        };
        Arc::new(Container {
            driver,
            play,
            id: task.id(),
            memory_limit_bytes: Some(task.memory()).filter(|bytes| *bytes > 0),
            spec: Mutex::new(spec_of(&*task)),
            core: Mutex::new(core),
            changes: watch::Sender::new(()),
            measuring: CancellationToken::new(),
            failures: Mutex::default(),
            task,
        })
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&lock(&self.core))
    }

    /// Changes something in one step, and wakes who waits for it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        let answer = change(&mut lock(&self.core));
        self.changes.send_replace(());
        answer
    }

    /// Waits until `look` sees what it wants.
    pub(super) async fn until<T>(&self, mut look: impl FnMut(&mut Core) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(seen) = look(&mut lock(&self.core)) {
                return seen;
            }
            // It can't fail: the sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    /// Takes the operation's time.
    pub(super) async fn delay(&self, context: &Context, operation: Operation) -> Result<()> {
        let delay = pause(self.play.delay_of(operation));
        let waited = async {
            tokio::select! {
                biased;
                closed = self.until(|core| core.check_open().err()) => Err(closed),
                () = delay => Ok(()),
            }
        };
        context.run(waited).await?
    }

    /// Fails if the script says so.
    pub(super) fn fault(&self, operation: Operation) -> Result<()> {
        let Some(fault) = self.play.faults.get(&operation) else { return Ok(()) };
        let mut failures = lock(&self.failures);
        let count = failures.entry(operation).or_default();
        if fault.times.is_some_and(|times| *count >= times) {
            return Ok(());
        }
        *count = count.saturating_add(1);
        Err(fault.error.clone())
    }

    /// Keeps the first failure of a stream. One that comes after the result is logged.
    pub(super) fn stream_failed(&self, message: &str, error: std::io::Error) {
        let error = Error::caused(ErrorKind::Stream, message, error);
        let chain = error.chain();
        let late = self.change(|core| {
            core.stream_error.get_or_insert(error);
            core.result.is_some()
        });
        if late {
            tracing::warn!("after the task's end: {chain}");
        }
    }
}

/// What a wrapper finds to change: the defaults, with the task's command and environment.
fn spec_of(task: &dyn ContainerTask) -> Spec {
    let mut spec = Spec::default();
    if let Some(process) = spec.process_mut() {
        let command: Vec<_> = task.command().split_whitespace().map(str::to_owned).collect();
        if !command.is_empty() {
            process.set_args(Some(command));
        }
        let own = task.env_vars().into_iter().map(|(name, value)| format!("{name}={value}"));
        process.env_mut().get_or_insert_default().extend(own);
    }
    spec
}
