//! Seeing a running cell's end, and judging it.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::live::{Ended, GRACE, Live, unattended};
use crate::contract::{Error, ErrorKind, ExitInfo, Result, RunResult, Status, result_of};
use crate::launch::Exit;
use crate::native::error::lift;
use crate::native::run::Outcome;
use crate::sys::watch::Watched;

impl Live {
    /// Waits for the end, and notes it should the runtime of whoever attends it stand still.
    pub(super) async fn see_to_end(&self) {
        while timeout(GRACE, self.ended()).await.is_err() {
            if let Some(ended) = self.poll_end() {
                self.note_end(ended);
            }
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
    pub(super) fn of(outcome: &Outcome) -> Ended {
        let info = ExitInfo::exited(0, outcome.started_at, outcome.finished_at);
        let info = match outcome.exit {
            Exit::Code(code) => ExitInfo { code, ..info },
            Exit::Signal(signal) => info.by_signal(signal),
        };
        let info = ExitInfo { oom_killed: outcome.oom_killed, ..info };
        Ended { info, usage: outcome.usage }
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
        let ended = watch_pidfd(live).await.unwrap_or_else(|error| {
            let what = "wait: watching the cell's first process";
            Err(Error::caused(ErrorKind::Host, what, error))
        });
        live.note_end(ended);
        live.streams.finish();
        let _ = timeout(GRACE, async {
            live.streams.drained().await;
            live.measured.cancelled().await;
        })
        .await;
        live.result.send_replace(Some(live.judge()));
    }
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
