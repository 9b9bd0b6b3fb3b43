//! Measures a running cell about once a second, and once more at its end.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::live::Live;
use crate::cgroup::Sample;
use crate::contract::{ContainerTask, Context, Stat};
use crate::logs::GRACE;
use crate::stats::Meter;

const PERIOD: Duration = Duration::from_secs(1);

/// Cells are measured at multiples of this. Waking up costs more than measuring: an idle node with
/// hundreds of cells shall wake up four times a second, not hundreds of times.
const SLOT: Duration = Duration::from_millis(250);

/// Hands measurements to the task until the cell has ended or a wait is over. The network of a cell
/// that shares the host's is not the cell's.
pub(super) fn measure(
    live: Arc<Live>,
    task: Arc<dyn ContainerTask>,
    own_network: bool,
) -> impl Future<Output = ()> {
    // Made at once, not when it is first polled: a runtime that shuts down may never do that.
    let done = live.measured.clone().drop_guard();
    async move {
        let _done = done;
        let mut meter = Meter::new(live.memory_bytes, live.start_at);
        if own_network && meter.open_network(live.cell.pid()).is_ok() && live.cell.has_ended() {
            // The number may be another process's by now.
            meter.forget_network();
        }
        let mut ticks = interval_at(next_slot(Instant::now() + PERIOD), PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some((sample, last)) = next_sample(&live, &mut ticks).await {
            if !hand_over(&live, &*task, meter.stat(&sample)).await || last {
                return;
            }
        }
    }
}

/// What the cell has used, and whether that is all; `None` when nothing more is wanted or known.
async fn next_sample(live: &Live, ticks: &mut Interval) -> Option<(Sample, bool)> {
    loop {
        tokio::select! {
            biased;
            () = live.measuring.cancelled() => return None,
            ended = live.noted() => return ended.ok().map(|ended| (ended.usage, true)),
            _ = ticks.tick() => match live.cgroup.sample_brief() {
                Ok(sample) => return Some((sample, false)),
                Err(error) => tracing::debug!(%error, "a measurement is left out"),
            },
        }
    }
}

/// Whether the task took it in. It may take its time, but for a while only once the cell has ended.
async fn hand_over(live: &Live, task: &dyn ContainerTask, stat: Stat) -> bool {
    let context = Context::from_token(live.measuring.clone());
    let patience = async {
        let _ = live.noted().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        () = live.measuring.cancelled() => false,
        () = task.write_stat(&context, stat) => true,
        () = patience => false,
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
