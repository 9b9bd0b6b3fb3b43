//! Seeing a running cell's end, and judging it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::timeout;

use super::live::{Ended, Live, gone, unattended};
use crate::cgroup::Sample;
use crate::contract::{ExitInfo, Result, RunResult, Status, result_of};
use crate::launch::Exit;
use crate::native::error::lift;
use crate::native::run::Outcome;
use crate::sys::watch::Watched;
use crate::unpoisoned::lock;

/// How long whoever attends a cell may take to tell what others have seen as well.
const MOMENT: Duration = Duration::from_millis(50);

/// How long it may take to judge: then its runtime stands still, and the streams with it.
const STANDSTILL: Duration = Duration::from_secs(2);

/// How soon an end that was told is looked for again if it is not yet there.
const TICK: Duration = Duration::from_millis(1);

impl Live {
    /// Waits until it is known how the task ended, whoever finds out.
    pub(super) async fn ended(&self) -> Result<Ended> {
        let seen = tokio::select! {
            biased;
            ended = self.noted() => return ended,
            seen = see_end(self) => seen,
        };
        // Whoever attends it sees it at the same moment, unless its runtime stands still.
        if let Ok(ended) = timeout(MOMENT, self.noted()).await {
            return ended;
        }
        self.note_end(seen);
        self.noted().await
    }

    /// Waits until somebody has noted how the task ended.
    pub(super) async fn noted(&self) -> Result<Ended> {
        let mut end = self.end.subscribe();
        match end.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(ended)) => ended.clone(),
            _ => Err(gone()),
        }
    }

    /// The first to know tells it.
    pub(super) fn note_end(&self, ended: Result<Ended>) {
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(ended);
            first
        });
    }

    /// What the kernel says of the task, if it ends within `patience`.
    pub(super) fn poll_end(&self, patience: Duration) -> Option<Result<Ended>> {
        let mut running = lock(&self.running);
        let Some(running) = running.as_mut() else {
            return Some(Err(gone()));
        };
        match running.wait(Some(Instant::now() + patience)) {
            Ok(None) => None,
            Ok(Some(outcome)) => Some(Ok(Ended::of(outcome))),
            Err(error) => Some(match running.exit() {
                // How it ended is known; what it used is not, nor who killed it.
                Some((exit, at)) => {
                    tracing::warn!(%error, "what a cell has used is unknown");
                    let info = info(exit, running.started_at(), at);
                    Ok(Ended { info, usage: Sample::default() })
                }
                None => Err(lift("wait", error)),
            }),
        }
    }

    /// What came of the task, as soon as it has ended and its streams are through or late.
    pub(super) async fn judged(&self) -> RunResult {
        let mut result = self.result.subscribe();
        let mut judged =
            async || result.wait_for(Option::is_some).await.ok().and_then(|r| r.clone());
        tokio::select! {
            biased;
            Some(judged) = judged() => return judged,
            _ = self.ended() => {}
        }
        if let Ok(Some(judged)) = timeout(STANDSTILL, judged()).await {
            return judged;
        }
        self.settle()
    }

    /// The first verdict stands.
    fn settle(&self) -> RunResult {
        self.result.send_if_modified(|result| {
            let first = result.is_none();
            result.get_or_insert_with(|| self.judge());
            first
        });
        self.result.borrow().clone().unwrap_or_else(|| self.judge())
    }

    fn judge(&self) -> RunResult {
        if self.abandoned.load(Ordering::Acquire) {
            // Its streams went with whoever attended it: nobody can vouch for them.
            return RunResult::failure(Status::Error, unattended());
        }
        match &*self.end.borrow() {
            Some(Ok(ended)) => result_of(&ended.info, self.memory_bytes, self.streams.failure()),
            // Whatever went wrong: a wait that failed is no success.
            Some(Err(error)) => RunResult::failure(Status::Error, error.clone()),
            None => RunResult::failure(Status::Error, gone()),
        }
    }
}

impl Ended {
    fn of(outcome: &Outcome) -> Ended {
        let info = info(outcome.exit, outcome.started_at, outcome.finished_at);
        let info = ExitInfo { oom_killed: outcome.oom_killed, ..info };
        Ended { info, usage: outcome.usage }
    }
}

fn info(exit: Exit, started_at: SystemTime, finished_at: SystemTime) -> ExitInfo {
    let info = ExitInfo::exited(0, started_at, finished_at);
    match exit {
        Exit::Code(code) => ExitInfo { code, ..info },
        Exit::Signal(signal) => info.by_signal(signal),
    }
}

/// Sees the cell's end, lets streams and measurements finish, and judges.
pub(super) fn attend(live: Arc<Live>) -> impl Future<Output = ()> {
    // Made at once, not when it is first polled: a runtime that shuts down may never do that.
    let attendant = Attendant { live };
    async move { attendant.attend().await }
}

/// Whoever attends a cell. A runtime that shuts down drops it; then nobody may wait for ever.
struct Attendant {
    live: Arc<Live>,
}

impl Attendant {
    async fn attend(&self) {
        let live = &self.live;
        live.note_end(see_end(live).await);
        live.streams.finish();
        // Both give up by themselves what is slow; what is late, because there is much to do, is not.
        live.streams.offered().await;
        live.measured.cancelled().await;
        live.settle();
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        let live = &self.live;
        if live.end.borrow().is_none() {
            live.abandoned.store(true, Ordering::Release);
        }
        live.settle();
    }
}

async fn see_end(live: &Live) -> Result<Ended> {
    // Where it can't be watched, it is looked at.
    let watched = watch_pidfd(live).await;
    if let Err(error) = &watched {
        tracing::warn!(%error, "watching the first process of a cell");
    }
    loop {
        if let Some(ended) = live.poll_end(Duration::ZERO) {
            return ended;
        }
        tokio::time::sleep(if watched.is_ok() { TICK } else { MOMENT }).await;
    }
}

/// Returns when the first process has ended. With a descriptor of its own: a reactor takes each only
/// once, and several may watch.
async fn watch_pidfd(live: &Live) -> std::io::Result<()> {
    let pidfd = live.cell.pidfd().try_clone_to_owned()?;
    Watched::new(pidfd)?.readable().await
}
