//! One sample of what a container uses, and the names of its metrics.

use std::collections::BTreeMap;
use std::time::SystemTime;

/// Bytes received since the start, over all network interfaces of the container.
pub const NET_RX: &str = "net_rx";
/// Bytes sent since the start, over all network interfaces of the container.
pub const NET_TX: &str = "net_tx";
/// Bytes of memory charged to the container now, page cache included.
pub const MEM_USAGE: &str = "mem_usage";
/// The most bytes of memory the container may have: the host's memory where it has no limit.
pub const MEM_LIMIT: &str = "mem_limit";
/// Bytes read from block devices since the start.
pub const DISK_READ: &str = "disk_read";
/// Bytes written to block devices since the start.
pub const DISK_WRITE: &str = "disk_write";
/// CPU time spent in the program since the last sample, in whole percent of one core.
pub const CPU_USER: &str = "cpu_user";
/// CPU time spent in the kernel since the last sample, in whole percent of one core.
pub const CPU_KERNEL: &str = "cpu_kernel";
/// All CPU time since the last sample, in whole percent: 100 is one core in full.
pub const CPU_TOTAL: &str = "cpu_total";

/// What a container used at one point in time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stat {
    /// When it was measured; text keeps milliseconds of it.
    pub timestamp: SystemTime,
    /// Values by name, in the unit of each. `None` is Go's nil map: `null` in text, where an empty
    /// map is `{}`.
    pub metrics: Option<BTreeMap<String, u64>>,
}

impl Stat {
    /// A sample with these values.
    #[must_use]
    pub fn new(timestamp: SystemTime, metrics: BTreeMap<String, u64>) -> Stat {
        Stat { timestamp, metrics: Some(metrics) }
    }

    /// The value of a metric, in its own unit; `None` if it was not measured.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<u64> {
        self.metrics.as_ref()?.get(key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_was_not_measured_is_none() {
        let stat = Stat::new(SystemTime::UNIX_EPOCH, [(NET_RX.to_owned(), 7)].into());
        assert_eq!((stat.get(NET_RX), stat.get(NET_TX)), (Some(7), None));
        assert_eq!(Stat { metrics: None, ..stat }.get(NET_RX), None);
    }
}
