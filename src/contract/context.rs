//! How long a caller is willing to wait: a cancellation token and an optional deadline.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Error, ErrorKind};

/// What Go's `context.Context` says to a call: stop when it ends. Cheap to clone; a clone ends with
/// the original.
///
/// ```
/// use std::time::Duration;
/// use hotcell::contract::{Context, ContextEnd};
///
/// let (context, canceller) = Context::background().with_cancel();
/// let shorter = context.with_timeout(Duration::from_secs(30));
/// assert_eq!(shorter.ended(), None);
/// canceller.cancel();
/// assert_eq!(shorter.ended(), Some(ContextEnd::Cancelled));
/// ```
#[derive(Clone, Default, Debug)]
pub struct Context {
    token: CancellationToken,
    deadline: Option<Instant>,
}

/// Why a context has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContextEnd {
    /// Its time is over.
    DeadlineExceeded,
    /// Someone cancelled it.
    Cancelled,
}

impl Context {
    /// A context that never ends.
    #[must_use]
    pub fn background() -> Context {
        Context::default()
    }

    /// A context that ends when `token` is cancelled.
    #[must_use]
    pub fn from_token(token: CancellationToken) -> Context {
        Context { token, deadline: None }
    }

    /// A context that ends with this one or when the token beside it is cancelled.
    #[must_use]
    pub fn with_cancel(&self) -> (Context, CancellationToken) {
        let token = self.token.child_token();
        (Context { token: token.clone(), deadline: self.deadline }, token)
    }

    /// A context that ends with this one or at `deadline`, whichever comes first.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Context {
        let deadline = self.deadline.map_or(deadline, |own| own.min(deadline));
        Context { token: self.token.clone(), deadline: Some(deadline) }
    }

    /// A context that ends with this one or `after` from now, whichever comes first.
    #[must_use]
    pub fn with_timeout(&self, after: Duration) -> Context {
        match now().checked_add(after) {
            Some(deadline) => self.with_deadline(deadline),
            // Beyond the clock's end is no deadline.
            None => self.clone(),
        }
    }

    /// When its time is over, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Why it has ended; `None` while it goes on. Past its deadline it says so even if it was
    /// cancelled as well.
    #[must_use]
    pub fn ended(&self) -> Option<ContextEnd> {
        if self.deadline.is_some_and(|at| at <= now()) {
            return Some(ContextEnd::DeadlineExceeded);
        }
        self.token.is_cancelled().then_some(ContextEnd::Cancelled)
    }

    /// Waits for its end.
    pub async fn done(&self) -> ContextEnd {
        let Some(deadline) = self.deadline else {
            self.token.cancelled().await;
            return ContextEnd::Cancelled;
        };
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(deadline.into()) => ContextEnd::DeadlineExceeded,
            () = self.token.cancelled() => ContextEnd::Cancelled,
        }
    }

    /// Runs `work` until it is done or the context ends; an ended context does not start it.
    ///
    /// # Errors
    /// The context's end; then `work` has been dropped.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, ContextEnd> {
        if let Some(end) = self.ended() {
            return Err(end);
        }
        tokio::select! {
            biased;
            done = work => Ok(done),
            end = self.done() => Err(end),
        }
    }
}

/// The clock of the timers: in a test that pauses tokio's time, contexts stand still with it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl From<ContextEnd> for Error {
    fn from(end: ContextEnd) -> Error {
        match end {
            ContextEnd::DeadlineExceeded => {
                Error::new(ErrorKind::DeadlineExceeded, "the deadline has passed")
            }
            ContextEnd::Cancelled => Error::new(ErrorKind::Cancelled, "the call was cancelled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_deadline_counts_whoever_set_it() {
        let near = Context::background().with_timeout(Duration::from_secs(1));
        let far = near.with_timeout(Duration::from_secs(60));
        assert_eq!(far.deadline(), near.deadline());
        assert!(near.with_timeout(Duration::MAX).deadline() == near.deadline());
    }

    #[tokio::test]
    async fn a_child_ends_with_its_parent_and_not_the_other_way_round() {
        let (parent, parents) = Context::background().with_cancel();
        let (child, childs) = parent.with_cancel();
        childs.cancel();
        assert_eq!((parent.ended(), child.ended()), (None, Some(ContextEnd::Cancelled)));
        let (other, _token) = parent.with_cancel();
        parents.cancel();
        assert_eq!(other.done().await, ContextEnd::Cancelled);
    }

    #[tokio::test(start_paused = true)]
    async fn in_paused_time_a_context_ends_with_the_timers() {
        let context = Context::background().with_timeout(Duration::from_secs(3600));
        tokio::time::sleep(Duration::from_secs(3599)).await;
        assert_eq!(context.ended(), None);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(context.ended(), Some(ContextEnd::DeadlineExceeded));
        let later = Context::background().with_timeout(Duration::from_secs(1));
        assert_eq!(later.ended(), None, "its time begins now, not when the clock was paused");
    }

    #[tokio::test]
    async fn work_is_dropped_at_the_deadline_and_not_started_after_it() {
        let context = Context::background().with_timeout(Duration::from_millis(20));
        let never = std::future::pending::<()>();
        assert_eq!(context.run(never).await, Err(ContextEnd::DeadlineExceeded));
        let late = async { panic!("it was started") };
        assert_eq!(context.run::<()>(late).await, Err(ContextEnd::DeadlineExceeded));
    }
}
