//! A running cell on tokio: its end, its streams, its measurements, freezing, signals and removal.
//!
//! ```text
//!  pidfd ──readable──► attend ──► end ─────► streams finish, last sample ──► result ──► waits
//!    │                             ▲                 (at most GRACE)
//!    └──readable──► whoever waits ─┴───────► removal, stop
//! ```
//!
//! Two tasks belong to a cell: one attends its end, one measures it. Neither is a thread. Whoever
//! waits watches the pidfd too: the runtime of those two may stand still, or have shut down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::configure::TaskStreams;
use super::streams::Streams;
use crate::cgroup::{Cgroup, Sample};
use crate::contract::{
    Context, Error, ErrorKind, ExitInfo, Result, RunResult, State, result_of_end,
};
use crate::launch::Cell;
use crate::logs::GRACE;
use crate::native::error::lift;
use crate::native::run::{Created, Running, kill};
use crate::unpoisoned::lock;

/// How long a killed cell may take to end before its removal begins all the same.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// How a task ended and what it had used by then.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) info: ExitInfo,
    pub(super) usage: Sample,
}

/// A cell whose task was started, until it is removed.
pub(super) struct Live {
    pub(super) cell: Arc<Cell>,
    pub(super) cgroup: Arc<Cgroup>,
    pub(super) memory_bytes: Option<u64>,
    /// Before its first process.
    pub(super) start_at: Instant,
    pub(super) streams: Streams,
    /// Whoever removes the cell takes it.
    pub(super) running: Mutex<Option<Running>>,
    /// One freeze or thaw at a time.
    pub(super) freezing: Arc<tokio::sync::Mutex<()>>,
    pub(super) frozen: AtomicBool,
    pub(super) end: watch::Sender<Option<Result<Ended>>>,
    pub(super) result: watch::Sender<Option<RunResult>>,
    /// Whoever attended it has gone before its end, and its streams with it.
    pub(super) abandoned: AtomicBool,
    /// Somebody has the wait.
    pub(super) handed_out: AtomicBool,
    /// Cancelled when nothing is to be measured any more.
    pub(super) measuring: CancellationToken,
    /// Cancelled when nothing will be.
    pub(super) measured: CancellationToken,
}

impl Live {
    /// Starts the task. Blocks for a millisecond or two; needs a runtime around it. Somebody has to
    /// attend it then.
    pub(super) fn start(
        created: Created,
        streams: TaskStreams,
        memory_bytes: Option<u64>,
    ) -> Result<Arc<Live>> {
        let (streams, stdio) = Streams::open(streams, created.bundle().spec())?;
        let start_at = Instant::now();
        let running = created.run(stdio).map_err(|error| lift("run", error))?;
        let live = Arc::new(Live {
            cell: Arc::clone(running.cell()),
            cgroup: Arc::clone(running.cgroup()),
            memory_bytes,
            start_at,
            streams,
            running: Mutex::new(Some(running)),
            freezing: Arc::default(),
            frozen: AtomicBool::new(false),
            end: watch::Sender::new(None),
            result: watch::Sender::new(None),
            abandoned: AtomicBool::new(false),
            handed_out: AtomicBool::new(false),
            measuring: CancellationToken::new(),
            measured: CancellationToken::new(),
        });
        Ok(live)
    }

    pub(super) fn state(&self) -> State {
        match (self.end.borrow().is_some(), self.frozen.load(Ordering::Acquire)) {
            (true, _) => State::Exited,
            (false, true) => State::Frozen,
            (false, false) => State::Running,
        }
    }

    pub(super) fn exit_info(&self) -> Option<ExitInfo> {
        self.end.borrow().as_ref()?.as_ref().ok().map(|ended| ended.info)
    }

    /// The task's end beats the context's, even if nobody has noticed it yet.
    pub(super) async fn wait(&self, context: &Context) -> RunResult {
        let result = match context.run(self.judged()).await {
            Ok(result) => result,
            Err(_) if self.cell.has_ended() => self.judged().await,
            Err(end) => result_of_end(end),
        };
        // Nothing is measured after a wait, not even what was under way.
        self.measuring.cancel();
        let _ = timeout(GRACE, self.measured.cancelled()).await;
        result
    }

    pub(super) fn must_run(&self, op: &str) -> Result<()> {
        match self.cell.has_ended() {
            true => Err(out_of_order(op, "has ended")),
            false => Ok(()),
        }
    }

    pub(super) fn signal(&self, op: &str, signal: Signal) -> Result<()> {
        self.must_run(op)?;
        self.cell.signal(signal).map_err(|error| lift(op, error.into()))
    }

    /// Signal, grace, kill. A frozen cell goes on first, or it could not obey.
    pub(super) async fn stop(
        self: &Arc<Self>,
        context: &Context,
        signal: Signal,
        grace: Duration,
    ) -> Result<()> {
        if let Some(end) = context.ended() {
            return Err(end.into());
        }
        // One that has ended takes any signal.
        self.cell.signal(signal).map_err(|error| lift("stop", error.into()))?;
        if self.frozen.load(Ordering::Acquire) {
            // It may have been thawed, or have ended, in between: then there is nothing to do.
            let _ = self.unfreeze(context).await;
        }
        if context.run(timeout(grace, self.ended())).await?.is_err() {
            kill(&self.cgroup, &self.cell).map_err(|error| lift("stop", error))?;
            let _ = context.run(self.ended()).await?;
        }
        Ok(())
    }

    /// Kills what runs, frozen or not. The removal kills once more, and reports what it can't.
    pub(super) fn kill(&self) {
        let _ = kill(&self.cgroup, &self.cell);
    }

    /// Kills what runs and removes everything. Runs to its end wherever it is called.
    pub(super) async fn close(&self) -> Result<()> {
        self.kill();
        // The end is noted before the cgroup goes, or nobody would know what the cell had used.
        // And every writer has had its chance: none is called for the first time after this.
        let _ = timeout(KILL_PATIENCE, async {
            let _ = self.ended().await;
            self.judged().await;
        })
        .await;
        self.measuring.cancel();
        let Some(running) = self.take_running() else {
            return Ok(());
        };
        let removed = tokio::task::spawn_blocking(move || running.close()).await;
        removed.map_err(|error| given_up(&error))?.map_err(|error| lift("close", error))
    }

    /// The same without a runtime; whoever attends it finds it gone.
    pub(super) fn close_here(&self) -> Result<()> {
        self.kill();
        self.measuring.cancel();
        if let Some(Ok(ended)) = self.poll_end(KILL_PATIENCE) {
            self.note_end(Ok(ended));
        }
        match self.take_running() {
            Some(running) => running.close().map_err(|error| lift("close", error)),
            None => Ok(()),
        }
    }

    fn take_running(&self) -> Option<Running> {
        lock(&self.running).take()
    }
}

pub(super) fn unattended() -> Error {
    Error::new(ErrorKind::Host, "the runtime that attended the container has shut down")
}

/// Why work on another thread came to no end.
pub(super) fn given_up(error: &tokio::task::JoinError) -> Error {
    match error.is_panic() {
        true => {
            let what = "panicked: does the runtime have its I/O and its time enabled?";
            Error::new(ErrorKind::Host, what)
        }
        false => Error::new(ErrorKind::Host, "the runtime is shutting down"),
    }
}

/// The answer to whoever comes after the removal.
pub(super) fn gone() -> Error {
    Error::new(ErrorKind::Host, "the container has been removed")
}

/// A call that the container's state does not allow.
pub(super) fn out_of_order(op: &str, is: &str) -> Error {
    Error::new(ErrorKind::WrongStage, format!("{op}: the container {is}"))
}
