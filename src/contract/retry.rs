//! When a failed pull is tried again.

use std::sync::Arc;
use std::time::Duration;

use super::{Error, ErrorKind, Result};

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
