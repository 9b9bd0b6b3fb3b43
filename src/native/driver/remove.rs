//! Removing a container, wherever it stands and whoever asks.
//!
//! A removal runs on the runtime of who asked first. One that ends half-way, with its runtime, is
//! finished by whoever drops it; one that finds a stage being decided is left to the decider.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::live::{Live, given_up};
use super::stage::{Answer, Container, Stage};
use crate::contract::Result;
use crate::native::Instance;
use crate::native::error::lift;
use crate::native::run::Created;
use crate::unpoisoned::lock;

/// How long a launch may go on after the container was closed: ten times what it takes.
const MOMENT: Duration = Duration::from_millis(50);

impl Container {
    /// Begins the removal on `runtime`, once; everybody gets its answer.
    pub(super) fn close(self: &Arc<Self>, runtime: &Handle) -> Answer {
        let mut closing = lock(&self.closing);
        if let Some(answer) = closing.as_ref() {
            return answer.clone();
        }
        let (answer, answers) = watch::channel(None);
        *closing = Some(answers.clone());
        drop(closing);
        if let Stage::Live(live) = &*lock(&self.stage) {
            // At once, whatever the runtime has to do before.
            live.kill();
        }
        runtime.spawn(Removal { container: Arc::clone(self), answer }.run());
        answers
    }

    /// The same where there is no runtime: done when it returns.
    pub(super) fn close_here(self: &Arc<Self>) {
        let (answer, answers) = watch::channel(None);
        if lock(&self.closing).get_or_insert(answers.clone()).same_channel(&answers) {
            drop(Removal { container: Arc::clone(self), answer });
        }
    }

    /// Blocks. While somebody has the turn it is left to him.
    fn remove_here(&self) -> Result<()> {
        self.removal_owed.store(true, Ordering::Release);
        let Ok(_turn) = self.turn.try_lock() else {
            return Ok(());
        };
        self.removal_owed.store(false, Ordering::Release);
        let (live, created) = self.begin_removal();
        let removed = live.as_ref().map_or(Ok(()), |live| live.close_here());
        let rest = self.remove_rest(created);
        self.end_removal(live.as_deref());
        removed.and(rest)
    }

    /// The same for those who have nobody to tell.
    pub(super) fn remove_for_nobody(&self) -> Result<()> {
        self.remove_here().inspect_err(|error| {
            tracing::warn!(error = error.chain(), "removing a container that nobody waits for");
        })
    }

    async fn remove(self: &Arc<Self>) -> Result<()> {
        // What is being made is finished first, and then removed.
        let _turn = loop {
            match timeout(MOMENT, self.turn.lock()).await {
                Ok(turn) => break turn,
                Err(_) => self.hurry(),
            }
        };
        let (live, created) = self.begin_removal();
        let removed = match &live {
            Some(live) => live.close().await,
            None => Ok(()),
        };
        let container = Arc::clone(self);
        let rest = tokio::task::spawn_blocking(move || container.remove_rest(created)).await;
        self.end_removal(live.as_deref());
        removed.and(rest.unwrap_or_else(|error| Err(given_up(&error))))
    }

    /// Ends a launch that goes on though nobody wants it any more: its init may be stopped.
    fn hurry(&self) {
        if let Stage::Starting(cgroup) = &*lock(&self.stage) {
            // There may be nothing to kill yet; then there is the next time.
            let _ = cgroup.kill();
        }
    }

    /// What is to be removed. A removal that was given up half-way begins again with what is left.
    fn begin_removal(&self) -> (Option<Arc<Live>>, Option<Box<Created>>) {
        let mut stage = lock(&self.stage);
        let state = stage.state();
        let live = match &*stage {
            Stage::Live(live) | Stage::Closing(Some(live), _) => Some(Arc::clone(live)),
            _ => None,
        };
        match std::mem::replace(&mut *stage, Stage::Closing(live.clone(), state)) {
            Stage::Created(created) => (live, Some(created)),
            _ => (live, None),
        }
    }

    fn end_removal(&self, live: Option<&Live>) {
        let exit = live.and_then(Live::exit_info);
        let mut stage = lock(&self.stage);
        if !matches!(&*stage, Stage::Closed(_)) {
            *stage = Stage::Closed(exit);
        }
    }

    /// Blocks: this may be the driver's last hold on its directories.
    fn remove_rest(&self, created: Option<Box<Created>>) -> Result<()> {
        drop(std::mem::take(&mut *lock(&self.streams)));
        let removed = created.map_or(Ok(()), |created| created.close());
        // Nothing of it is mounted any more.
        *lock(&self.in_use) = None;
        let instance = lock(&self.instance).take();
        let left = instance.map_or(Ok(()), Instance::close);
        removed.and(left).map_err(|error| lift("close", error))
    }
}

/// A removal under way, and who is told. A runtime that ends drops it half-way: then the rest is
/// done there and then, for nobody else may come to do it.
struct Removal {
    container: Arc<Container>,
    answer: watch::Sender<Option<Result<()>>>,
}

impl Removal {
    async fn run(self) {
        let done = self.container.remove().await;
        self.answer.send_replace(Some(done));
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if self.answer.borrow().is_none() {
            let done = self.container.remove_for_nobody();
            self.answer.send_replace(Some(done));
        }
    }
}
