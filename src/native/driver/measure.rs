//! Measures a running cell about once a second, and once more at its end.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::live::Live;
use crate::contract::{ContainerTask, Context};
use crate::stats::Meter;

const PERIOD: Duration = Duration::from_secs(1);

/// Cells are measured at multiples of this. Waking up costs more than measuring: an idle node with
/// hundreds of cells shall wake up ten times a second, not hundreds of times.
const SLOT: Duration = Duration::from_millis(100);

/// Hands measurements to the task until the cell has ended or a wait is over. The network of a cell
/// that shares the host's is not the cell's.
pub(super) async fn measure(live: Arc<Live>, task: Arc<dyn ContainerTask>, own_network: bool) {
    let _done = live.measured.clone().drop_guard();
    let mut meter = Meter::new(live.memory_bytes, live.start_at);
    if own_network && meter.open_network(live.cell.pid()).is_ok() && live.cell.has_ended() {
        // The number may be another process's by now.
        meter.forget_network();
    }
    let context = Context::from_token(live.measuring.clone());
    let mut ticks = interval_at(next_slot(Instant::now() + PERIOD), PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (sample, last) = tokio::select! {
            biased;
            () = live.measuring.cancelled() => return,
            ended = live.noted() => match ended {
                Ok(ended) => (ended.usage, true),
                Err(_) => return,
            },
            _ = ticks.tick() => match live.cgroup.sample() {
                Ok(sample) => (sample, false),
                Err(error) => {
                    tracing::debug!(%error, "a measurement is left out");
                    continue;
                }
            },
        };
        let stat = meter.stat(&sample);
        tokio::select! {
            biased;
            () = live.measuring.cancelled() => return,
            () = task.write_stat(&context, stat) => {}
        }
        if last {
            return;
        }
    }
}

/// The first slot at or after `time`.
fn next_slot(time: Instant) -> Instant {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let since = time.saturating_duration_since(*ORIGIN).as_millis();
    let slots = since.div_ceil(SLOT.as_millis());
    *ORIGIN + SLOT * u32::try_from(slots).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_shared_and_never_early() {
        let now = Instant::now();
        let first = next_slot(now);
        assert!(first + Duration::from_millis(1) > now && first < now + SLOT);
        assert_eq!(next_slot(first), first);
        let next = next_slot(first + Duration::from_millis(1));
        assert_eq!(next, first + SLOT);
    }
}
