//! One measurement of a container, as fn's metrics name it.

use std::collections::BTreeMap;
use std::time::SystemTime;

/// One measurement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stat {
    /// When it was taken.
    pub timestamp: SystemTime,
    /// Values by key.
    pub metrics: Option<BTreeMap<String, u64>>,
}

/// The nine keys.
pub mod metric {
    /// Bytes received.
    pub const NET_RX: &str = "net_rx";
    /// Bytes sent.
    pub const NET_TX: &str = "net_tx";
    /// Bytes of memory.
    pub const MEM_USAGE: &str = "mem_usage";
    /// Bytes of memory allowed.
    pub const MEM_LIMIT: &str = "mem_limit";
    /// Bytes read.
    pub const DISK_READ: &str = "disk_read";
    /// Bytes written.
    pub const DISK_WRITE: &str = "disk_write";
    /// Percent of a CPU.
    pub const CPU_USER: &str = "cpu_user";
    /// Percent of a CPU.
    pub const CPU_KERNEL: &str = "cpu_kernel";
    /// Percent of a CPU.
    pub const CPU_TOTAL: &str = "cpu_total";
}
