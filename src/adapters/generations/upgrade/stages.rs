//! Where an upgraded container stands, and who may move it: one operation at a time, to its end.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::b;
use crate::contract::{ContainerTask, Context, Error, ErrorKind, Result, State};

/// What a cookie, its waits and its operations share.
pub(super) struct Stages {
    pub(super) driver: Arc<dyn b::Driver>,
    pub(super) task: Arc<dyn ContainerTask>,
    pub(super) draft: Option<Box<dyn b::Draft>>,
    now: Mutex<Now>,
    turn: tokio::sync::Mutex<()>,
    /// For a cookie that is dropped outside any.
    runtime: Handle,
    /// Cancelled as soon as someone wants the container gone.
    closing: CancellationToken,
    removal: watch::Sender<Removal>,
}

/// How far the removal is.
enum Removal {
    /// Nobody is at it, or their runtime ended before they were done.
    Wanting,
    Going,
    Done(Result<()>),
}

/// What the operations change.
pub(super) struct Now {
    pub(super) state: State,
    pub(super) cookie: Option<Arc<dyn b::Cookie>>,
    /// Why there will never be a cookie.
    pub(super) failed: Option<Error>,
}

impl Stages {
    /// Within a runtime, as everything of a driver.
    pub(super) fn new(
        driver: Arc<dyn b::Driver>,
        task: Arc<dyn ContainerTask>,
        draft: Option<Box<dyn b::Draft>>,
    ) -> Stages {
        Stages {
            driver,
            task,
            draft,
            now: Mutex::new(Now { state: State::Configured, cookie: None, failed: None }),
            turn: tokio::sync::Mutex::default(),
            runtime: Handle::current(),
            closing: CancellationToken::new(),
            removal: watch::Sender::new(Removal::Wanting),
        }
    }

    /// For a moment only. A panic elsewhere leaves plain values behind.
    pub(super) fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cookie(&self) -> Option<Arc<dyn b::Cookie>> {
        self.now().cookie.clone()
    }

    /// The driver's word for it if it has one, else what the calls so far amount to.
    pub(super) fn state(&self) -> State {
        if matches!(*self.removal.borrow(), Removal::Done(_)) {
            return State::Closed;
        }
        let told = self.cookie().and_then(|cookie| cookie.state());
        told.unwrap_or_else(|| self.now().state)
    }

    /// Where it stands, unless someone has begun to close it.
    pub(super) fn open(&self) -> Result<State> {
        match self.closing.is_cancelled() {
            false => Ok(self.state()),
            true => Err(Error::new(ErrorKind::Closed, "the container has been closed")),
        }
    }

    /// The cookie, if the container is in one of these states.
    pub(super) fn in_state(&self, states: &[State], call: &str) -> Result<Arc<dyn b::Cookie>> {
        let state = self.open()?;
        let cookie = self.cookie().filter(|_| states.contains(&state));
        cookie.ok_or_else(|| wrong_stage(call, state))
    }

    /// Moves on from one state to another; not from anywhere else, such as an end that was seen
    /// meanwhile.
    pub(super) fn step(&self, from: State, to: State) {
        let mut now = self.now();
        if now.state == from {
            now.state = to;
        }
    }

    /// Does `work` when no other is being done. It goes on if the caller's future is dropped: an
    /// old driver may not bear that, and nobody would know how far it got. Closing the container
    /// cancels its context.
    pub(super) async fn in_turn<T, F, W>(self: &Arc<Self>, context: &Context, work: W) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
        W: FnOnce(Arc<Stages>, Context) -> F + Send + 'static,
    {
        let stages = Arc::clone(self);
        let (context, canceller) = context.with_cancel();
        apart(async move {
            let _turn = tokio::select! {
                biased;
                turn = stages.turn.lock() => turn,
                end = context.done() => return Err(end.into()),
            };
            let mut work = pin!(work(Arc::clone(&stages), context));
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = stages.closing.cancelled() => canceller.cancel(),
            }
            work.await
        })
        .await
    }

    /// Begins to remove everything unless someone is at it.
    pub(super) fn begin_removal(self: &Arc<Self>) {
        self.closing.cancel();
        if !self.turn_removal(|removal| matches!(removal, Removal::Wanting), Removal::Going) {
            return;
        }
        // If the runtime ends first, the next to close begins again on theirs.
        let runtime = Handle::try_current().unwrap_or_else(|_| self.runtime.clone());
        let unfinished = Unfinished(Arc::clone(self));
        runtime.spawn(async move {
            let removed = apart(Arc::clone(&unfinished.0).remove()).await;
            unfinished.0.removal.send_replace(Removal::Done(removed));
        });
    }

    fn turn_removal(&self, is: impl FnOnce(&Removal) -> bool, to: Removal) -> bool {
        self.removal.send_if_modified(|removal| {
            let turns = is(removal);
            if turns {
                *removal = to;
            }
            turns
        })
    }

    /// Removes everything and tells the outcome, or the context's end if that comes first.
    pub(super) async fn removed(self: &Arc<Self>, context: &Context) -> Result<()> {
        let mut removal = self.removal.subscribe();
        let outcome = async {
            loop {
                self.begin_removal();
                // Can't fail: the sender is in here.
                let _ = removal.wait_for(|removal| !matches!(removal, Removal::Going)).await;
                if let Removal::Done(outcome) = &*removal.borrow() {
                    return outcome.clone();
                }
            }
        };
        tokio::select! {
            biased;
            outcome = outcome => outcome,
            end = context.done() => Err(end.into()),
        }
    }

    async fn remove(self: Arc<Self>) -> Result<()> {
        let background = Context::background();
        let _turn = self.turn.lock().await;
        match (self.cookie(), &self.draft) {
            (Some(cookie), _) => cookie.close(&background).await,
            (None, Some(draft)) => draft.close(&background).await,
            (None, None) => Ok(()),
        }
    }
}

/// A removal that has not come to its end.
struct Unfinished(Arc<Stages>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.turn_removal(|removal| matches!(removal, Removal::Going), Removal::Wanting);
    }
}

pub(super) fn wrong_stage(call: &str, state: State) -> Error {
    Error::new(ErrorKind::WrongStage, format!("{call}: the container is {state}"))
}

/// Runs `work` on its own, whatever becomes of the caller.
async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let failed = |error| Error::caused(ErrorKind::Host, "the driver broke off", error);
    tokio::spawn(work).await.map_err(failed)?
}
