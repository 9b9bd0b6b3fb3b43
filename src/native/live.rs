//! A running cell on tokio: its end, its streams, its measurements, freezing, signals and removal.
//!
//! ```text
//!  pidfd ──readable──► attend ──► end ─────► streams finish, last sample ──► result ──► waits
//!                                  │                 (at most GRACE)
//!                                  └───────► removal
//! ```
//!
//! Two tasks belong to a cell: one attends its end, one measures it. Neither is a thread, and
//! neither is needed for the cell to be removed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::configure::TaskStreams;
use super::error::lift;
use super::run::{Created, Outcome, Running};
use super::streams::Streams;
use crate::cgroup::{Cgroup, Sample};
use crate::contract::{
    Context, Error, ErrorKind, ExitInfo, Result, RunResult, State, Status, result_of, result_of_end,
};
use crate::launch::{Cell, Exit};
use crate::sys::watch::Watched;

/// How long an end waits for writers that have not taken everything, and for a measurement that
/// has not been taken in. They go on after it; the end does not wait any longer.
const GRACE: Duration = Duration::from_millis(100);

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
    cell: Arc<Cell>,
    cgroup: Arc<Cgroup>,
    memory_bytes: Option<u64>,
    /// Before its first process.
    start_at: Instant,
    streams: Streams,
    /// Whoever removes the cell takes it.
    running: Mutex<Option<Running>>,
    /// One freeze or thaw at a time.
    freezing: Arc<tokio::sync::Mutex<()>>,
    frozen: AtomicBool,
    end: watch::Sender<Option<Result<Ended>>>,
    result: watch::Sender<Option<RunResult>>,
    /// Cancelled when nothing is to be measured any more.
    pub(super) measuring: CancellationToken,
    /// Cancelled when nothing will be.
    pub(super) measured: CancellationToken,
}

impl Live {
    /// Starts the task and whoever attends it. Blocks for a millisecond or two; needs a runtime
    /// around it.
    pub(super) fn start(
        created: Created,
        streams: TaskStreams,
        memory_bytes: Option<u64>,
    ) -> Result<Arc<Live>> {
        let (streams, stdio) = Streams::open(streams, created.spec())?;
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
            measuring: CancellationToken::new(),
            measured: CancellationToken::new(),
        });
        tokio::spawn(attend(Attendant { live: Arc::clone(&live) }));
        Ok(live)
    }

    pub(super) fn cell(&self) -> &Cell {
        &self.cell
    }

    pub(super) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    pub(super) fn memory_bytes(&self) -> Option<u64> {
        self.memory_bytes
    }

    pub(super) fn start_at(&self) -> Instant {
        self.start_at
    }

    pub(super) fn state(&self) -> State {
        let ended = match &*self.end.borrow() {
            Some(Ok(_)) => true,
            // Nobody attends it; that does not end it.
            Some(Err(_)) => self.cell.has_ended(),
            None => false,
        };
        match (ended, self.frozen.load(Ordering::Acquire)) {
            (true, _) => State::Exited,
            (false, true) => State::Frozen,
            (false, false) => State::Running,
        }
    }

    pub(super) fn exit_info(&self) -> Option<ExitInfo> {
        self.end.borrow().as_ref()?.as_ref().ok().map(|ended| ended.info)
    }

    /// Waits until it is known how the task ended.
    pub(super) async fn ended(&self) -> Result<Ended> {
        let mut end = self.end.subscribe();
        match end.wait_for(Option::is_some).await.ok().and_then(|end| end.clone()) {
            Some(ended) => ended,
            None => Err(unattended()),
        }
    }

    async fn judged(&self) -> RunResult {
        let mut result = self.result.subscribe();
        let judged = result.wait_for(Option::is_some).await.ok().and_then(|result| result.clone());
        judged.unwrap_or_else(|| RunResult::failure(Status::Error, unattended()))
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

    /// Stops the cell, mostly without leaving this thread: the kernel needs some 20 µs.
    pub(super) async fn freeze(self: &Arc<Self>, context: &Context) -> Result<()> {
        self.set_frozen(context, true).await
    }

    /// Lets it go on.
    pub(super) async fn unfreeze(self: &Arc<Self>, context: &Context) -> Result<()> {
        self.set_frozen(context, false).await
    }

    async fn set_frozen(self: &Arc<Self>, context: &Context, frozen: bool) -> Result<()> {
        let op = if frozen { "freeze" } else { "unfreeze" };
        let gate = context.run(Arc::clone(&self.freezing).lock_owned()).await?;
        self.must_run(op)?;
        if self.frozen.load(Ordering::Acquire) == frozen {
            let is = if frozen { "is frozen already" } else { "is not frozen" };
            return Err(out_of_order(op, is));
        }
        let at_once = match frozen {
            true => self.cgroup.try_freeze(),
            false => self.cgroup.try_thaw(),
        };
        let done = match at_once {
            Ok(true) => Ok(()),
            Err(error) => Err(error),
            Ok(false) => {
                let live = Arc::clone(self);
                // It goes on without us if the context ends: a half-frozen cell helps nobody.
                let slow = tokio::task::spawn_blocking(move || {
                    let done = match frozen {
                        true => live.cgroup.freeze(),
                        false => live.cgroup.thaw(),
                    };
                    if done.is_ok() {
                        live.frozen.store(frozen, Ordering::Release);
                    }
                    drop(gate);
                    done
                });
                let done = context.run(slow).await?.map_err(|_| unattended())?;
                self.must_run(op)?;
                // What it stands at now may be someone else's doing: the gate is open again.
                return done.map_err(|error| lift(op, error.into()));
            }
        };
        // The end may have come first, and taken the cgroup with it.
        self.must_run(op)?;
        done.map_err(|error| lift(op, error.into()))?;
        self.frozen.store(frozen, Ordering::Release);
        Ok(())
    }

    fn must_run(&self, op: &str) -> Result<()> {
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
        if self.cell.has_ended() {
            return Ok(());
        }
        self.signal("stop", signal)?;
        if self.frozen.load(Ordering::Acquire) {
            // It may have been thawed, or have ended, in between: then there is nothing to do.
            let _ = self.unfreeze(context).await;
        }
        let ended = match context.run(timeout(grace, self.ended())).await? {
            Ok(ended) => ended,
            Err(_) => {
                self.cgroup.kill().map_err(|error| lift("stop", error.into()))?;
                context.run(self.ended()).await?
            }
        };
        match ended {
            // How it ended is the wait's affair; that it has is this one's.
            Err(error) if !self.cell.has_ended() => Err(error),
            _ => Ok(()),
        }
    }

    /// Kills what runs and removes everything. Runs to its end wherever it is called.
    pub(super) async fn close(&self) -> Result<()> {
        // The removal kills once more, and reports what it can't.
        let _ = self.cgroup.kill();
        // The end is noted before the cgroup goes, or nobody would know what the cell had used.
        let _ = timeout(KILL_PATIENCE, self.see_to_end()).await;
        let _ = timeout(GRACE, self.measured.cancelled()).await;
        self.measuring.cancel();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else {
            return Ok(());
        };
        let removed = tokio::task::spawn_blocking(move || running.close()).await;
        removed.map_err(|_| unattended())?.map_err(|error| lift("close", error))
    }

    /// Waits for the end, and notes it should the runtime of whoever attends it stand still.
    async fn see_to_end(&self) {
        while timeout(GRACE, self.ended()).await.is_err() {
            if let Some(ended) = self.poll_end() {
                self.note_end(ended);
            }
        }
    }

    /// The first to know tells it.
    fn note_end(&self, ended: Result<Ended>) {
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(ended);
            first
        });
    }

    /// What the kernel says of the task, if it has ended.
    fn poll_end(&self) -> Option<Result<Ended>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = running.as_mut() else {
            return Some(Err(unattended()));
        };
        match running.wait(Some(Instant::now())) {
            Ok(None) => None,
            Ok(Some(outcome)) => Some(Ok(Ended::of(outcome))),
            Err(error) => Some(Err(lift("wait", error))),
        }
    }

    fn judge(&self) -> RunResult {
        match &*self.end.borrow() {
            Some(Ok(ended)) => result_of(&ended.info, self.memory_bytes, self.streams.failure()),
            // Whatever went wrong: a wait that failed is no success.
            Some(Err(error)) => RunResult::failure(Status::Error, error.clone()),
            None => RunResult::failure(Status::Error, unattended()),
        }
    }
}

impl Ended {
    fn of(outcome: &Outcome) -> Ended {
        let info = ExitInfo::exited(0, outcome.started_at, outcome.finished_at);
        let info = match outcome.exit {
            Exit::Code(code) => ExitInfo { code, ..info },
            Exit::Signal(signal) => info.by_signal(signal),
        };
        let info = ExitInfo { oom_killed: outcome.oom_killed, ..info };
        Ended { info, usage: outcome.usage }
    }
}

/// Whoever attends a cell. A runtime that shuts down drops it; then nobody may wait for ever.
struct Attendant {
    live: Arc<Live>,
}

/// Sees the cell's end, lets streams and measurements finish, and judges.
async fn attend(attendant: Attendant) {
    let live = &attendant.live;
    let ended = match watch_pidfd(live).await {
        Ok(ended) => ended,
        Err(error) => {
            Err(Error::caused(ErrorKind::Host, "wait: watching the cell's first process", error))
        }
    };
    live.note_end(ended);
    live.streams.finish();
    let _ = timeout(GRACE, async {
        live.streams.drained().await;
        live.measured.cancelled().await;
    })
    .await;
    live.result.send_replace(Some(live.judge()));
}

async fn watch_pidfd(live: &Live) -> std::io::Result<Result<Ended>> {
    let pidfd = Watched::new(live.cell.shared_pidfd())?;
    loop {
        pidfd.readable().await?;
        if let Some(ended) = live.poll_end() {
            return Ok(ended);
        }
        // It reads as ended from now on; no new event would come.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        let live = &self.live;
        live.note_end(Err(unattended()));
        live.result.send_if_modified(|result| {
            let missing = result.is_none();
            result.get_or_insert_with(|| live.judge());
            missing
        });
    }
}

fn unattended() -> Error {
    Error::new(ErrorKind::Host, "the runtime that attended the container has shut down")
}

/// A call that the container's state does not allow.
pub(super) fn out_of_order(op: &str, is: &str) -> Error {
    Error::new(ErrorKind::WrongStage, format!("{op}: the container {is}"))
}
