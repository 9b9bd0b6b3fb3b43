//! When a failed pull is tried again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::{Context, Error, ErrorKind, Result};

/// fn's back-off: the wait before retry `n` lies between `min_delay_ms` and that plus
/// [`ceiling`](BackOffConfig::ceiling)`(n)`. All times are in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BackOffConfig {
    /// How often; 0: never, `u64::MAX`: for ever.
    pub max_retries: u64,
    /// What the ceiling grows by.
    pub interval_ms: u64,
    /// The longest wait; 0: no limit.
    pub max_delay_ms: u64,
    /// The shortest wait.
    pub min_delay_ms: u64,
}

/// Looks at a failure (or at a success, as fn does) and says whether it is worth another try, and
/// why, for metrics.
pub type RetryErrorChecker = Arc<dyn Fn(Option<&Error>) -> (bool, String) + Send + Sync>;

impl BackOffConfig {
    /// Refuses what fn panics at: a longest wait below the shortest.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`].
    pub fn check(&self) -> Result<()> {
        if self.max_retries > 0 && self.max_delay_ms != 0 && self.max_delay_ms < self.min_delay_ms {
            let (max, min) = (self.max_delay_ms, self.min_delay_ms);
            let message = format!("back-off: max_delay {max} ms is below min_delay {min} ms");
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        Ok(())
    }

    /// The random part of the wait before retry `attempt`, counted from 1, is below this:
    /// `(2^attempt - 1) * interval`, but never so long that the whole wait passes the longest.
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let steps = 1u64.checked_shl(attempt).map_or(u64::MAX, |power| power - 1);
        let mut ceiling = steps.saturating_mul(self.interval_ms);
        if self.max_delay_ms != 0 {
            ceiling = ceiling.min(self.max_delay_ms.saturating_sub(self.min_delay_ms));
        }
        Duration::from_millis(ceiling)
    }
}

/// Tries until it goes well, until the checker or the policy has had enough, or until the context ends.
/// `chance` chooses the random part of a wait: anything from nothing up to what it is given.
pub(crate) async fn with_retries<T, F: Future<Output = Result<T>>>(
    (policy, worth_it): &(BackOffConfig, RetryErrorChecker),
    context: &Context,
    chance: impl Fn(Duration) -> Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T> {
    let mut retries = 0_u32;
    loop {
        let ended = context.run(attempt()).await.unwrap_or_else(|end| Err(end.into()));
        let over = ended.as_ref().is_err_and(|error| {
            use ErrorKind::{Cancelled, Closed, DeadlineExceeded};
            matches!(error.kind(), Cancelled | Closed | DeadlineExceeded)
        });
        let (again, reason) = worth_it(ended.as_ref().err());
        if over || !again || u64::from(retries) >= policy.max_retries {
            return ended;
        }
        retries = retries.saturating_add(1);
        let wait = Duration::from_millis(policy.min_delay_ms) + chance(policy.ceiling(retries));
        tracing::info!(retries, reason, wait_ms = wait.as_millis(), "trying again");
        context.run(tokio::time::sleep(wait)).await?;
    }
}

/// A checker for which no failure is worth another try.
#[must_use]
pub fn never_retry() -> RetryErrorChecker {
    Arc::new(|_| (false, String::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceilings(interval_ms: u64, max_delay_ms: u64, min_delay_ms: u64) -> Vec<u64> {
        let policy = BackOffConfig { max_retries: 5, interval_ms, max_delay_ms, min_delay_ms };
        policy.check().unwrap();
        let upper = |attempt| policy.ceiling(attempt).as_millis() as u64 + min_delay_ms;
        (1..=5).map(upper).collect()
    }

    #[test]
    fn the_upper_ends_are_fns() {
        assert_eq!(ceilings(100, 10000, 1000), [1100, 1300, 1700, 2500, 4100]);
        assert_eq!(ceilings(100, 2000, 1000), [1100, 1300, 1700, 2000, 2000]);
        assert_eq!(ceilings(1000, 0, 0), [1000, 3000, 7000, 15000, 31000]);
        assert_eq!(ceilings(100, 100, 100), [100; 5]);
        assert_eq!(ceilings(0, 0, 7), [7; 5], "no interval, nothing to divide by");
    }

    /// What each of so many tries waited for, and what came of it: each fails, unless it is the last of
    /// `fails`.
    async fn tried(
        policy: BackOffConfig,
        fails: u64,
        checker: RetryErrorChecker,
    ) -> (Vec<u64>, bool) {
        let (mut tries, mut last) = (Vec::new(), tokio::time::Instant::now());
        let attempt = || {
            let now = tokio::time::Instant::now();
            tries.push((now - last).as_millis() as u64);
            last = now;
            let ended = match tries.len() as u64 > fails {
                true => Ok(()),
                false => Err(Error::new(ErrorKind::PullFailed, "later")),
            };
            async { ended }
        };
        let half = |ceiling: Duration| ceiling / 2;
        let ended = with_retries(&(policy, checker), &Context::background(), half, attempt).await;
        (tries, ended.is_ok())
    }

    fn always() -> RetryErrorChecker {
        Arc::new(|error| (error.is_some(), "test".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn waits_are_the_shortest_plus_chance() {
        let policy = |max_retries| BackOffConfig {
            max_retries,
            interval_ms: 100,
            max_delay_ms: 0,
            min_delay_ms: 1000,
        };
        assert_eq!(tried(policy(3), 9, always()).await, (vec![0, 1050, 1150, 1350], false));
        assert_eq!(tried(policy(3), 2, always()).await, (vec![0, 1050, 1150], true));
        assert_eq!(tried(policy(0), 1, always()).await, (vec![0], false));
        assert_eq!(tried(policy(3), 1, never_retry()).await, (vec![0], false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_is_shown_to_the_checker_too_as_fn_does() {
        let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let (counter, policy) =
            (Arc::clone(&asked), BackOffConfig { max_retries: 2, ..Default::default() });
        let checker: RetryErrorChecker = Arc::new(move |error| {
            counter.fetch_add(u32::from(error.is_none()), std::sync::atomic::Ordering::Relaxed);
            (false, String::new())
        });
        assert!(tried(policy, 0, checker).await.1);
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_context_that_ends_ends_the_wait_and_the_try() {
        let policy =
            BackOffConfig { max_retries: u64::MAX, min_delay_ms: 5000, ..Default::default() };
        let context = Context::background().with_timeout(Duration::from_secs(12));
        let fail = || async { Err::<(), _>(Error::new(ErrorKind::PullFailed, "later")) };
        let retry = (policy, always());
        let ended = with_retries(&retry, &context, |_| Duration::ZERO, fail).await.unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::DeadlineExceeded);
        let hang = || std::future::pending::<Result<()>>();
        let context = Context::background().with_timeout(Duration::from_secs(1));
        let ended = with_retries(&retry, &context, |_| Duration::ZERO, hang).await.unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::DeadlineExceeded);
    }

    #[test]
    fn far_attempts_and_nonsense_are_no_panic() {
        let policy = BackOffConfig { max_retries: u64::MAX, interval_ms: 9, ..Default::default() };
        assert_eq!(policy.ceiling(u32::MAX), Duration::from_millis(u64::MAX));
        let upside_down =
            BackOffConfig { max_retries: 1, max_delay_ms: 1, min_delay_ms: 2, interval_ms: 1 };
        assert_eq!(upside_down.check().unwrap_err().kind(), ErrorKind::InvalidConfig);
        assert!(BackOffConfig { max_retries: 0, ..upside_down }.check().is_ok());
    }
}
