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
