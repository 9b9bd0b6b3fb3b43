//! How much memory this process and those that it started took at most.

use nix::sys::resource::{UsageWho, getrusage};

/// What one play may take beyond the least.
pub const MOST_KIB: u64 = 64 << 10;

/// In KiB.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Peak {
    pub own: u64,
    /// Of the largest process that was started. The kernel hands the size of whoever starts one down
    /// to it, so this is never too little.
    pub started: u64,
}

/// From now on it is what comes that counts.
pub fn forget() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

pub fn peak() -> Peak {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let own = line.trim().trim_end_matches(" kB").parse().unwrap();
    let started = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    Peak { own, started: started.try_into().unwrap() }
}

impl Peak {
    /// How much more than that.
    pub fn beyond(self, least: Peak) -> u64 {
        self.own.saturating_sub(least.own) + self.started.saturating_sub(least.started)
    }
}
