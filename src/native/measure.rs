//! Measures a running cell about once a second, and once more at its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::live::Live;
use crate::contract::{ContainerTask, Context};
use crate::stats::Meter;

const PERIOD: Duration = Duration::from_secs(1);

/// Hands measurements to the task until the cell has ended or a wait is over. The network of a cell
/// that shares the host's is not the cell's.
pub(super) async fn measure(live: Arc<Live>, task: Arc<dyn ContainerTask>, own_network: bool) {
    let _done = live.measured.clone().drop_guard();
    let mut meter = Meter::new(live.memory_bytes());
    if own_network && meter.open_network(live.cell().pid()).is_ok() && live.cell().has_ended() {
        // The number may be another process's by now.
        meter.forget_network();
    }
    let context = Context::from_token(live.measuring.clone());
    let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (sample, last) = tokio::select! {
            biased;
            () = live.measuring.cancelled() => return,
            ended = live.ended() => match ended {
                Ok(ended) => (ended.usage, true),
                Err(_) => return,
            },
            _ = ticks.tick() => match live.cgroup().sample() {
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
