//! Turns what the kernel counts for a cell into fn's nine metrics.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use crate::cgroup::Sample;
use crate::contract::{Stat, metric};

/// Remembers the sample before, because CPU use is a difference.
#[derive(Debug)]
pub(crate) struct Meter {
    memory_limit_bytes: u64,
    network: Option<File>,
    before: (Instant, Sample),
}

impl Meter {
    /// For a cell that had used nothing at `start`. The first sample's shares are of the time since
    /// then, so it has to lie before the cell's first process.
    pub(crate) fn new(memory_limit_bytes: Option<u64>, start: Instant) -> Meter {
        Meter {
            memory_limit_bytes: memory_limit_bytes.unwrap_or_else(host_memory_bytes),
            network: None,
            before: (start, Sample::default()),
        }
    }

    /// Counts the bytes of the network namespace that process `pid` lives in. The file stays that
    /// namespace's, whatever becomes of the number; the caller makes sure that the process was
    /// still there afterwards.
    pub(crate) fn open_network(&mut self, pid: i32) -> io::Result<()> {
        self.network = Some(File::open(format!("/proc/{pid}/net/dev"))?);
        Ok(())
    }

    /// Forgets a network that may be another one's.
    pub(crate) fn forget_network(&mut self) {
        self.network = None;
    }

    /// The metrics at this moment.
    pub(crate) fn stat(&mut self, sample: &Sample) -> Stat {
        self.stat_at(Instant::now(), sample)
    }

    fn stat_at(&mut self, now: Instant, sample: &Sample) -> Stat {
        let (then, before) = std::mem::replace(&mut self.before, (now, *sample));
        let elapsed = now - then;
        let percent = |after: Duration, before: Duration| {
            let used = after.saturating_sub(before).as_nanos() * 100;
            // Nothing is measured in no time.
            let share = used.checked_div(elapsed.as_nanos()).unwrap_or(0);
            u64::try_from(share).unwrap_or(u64::MAX)
        };
        let (received, sent) = self.network.as_ref().map_or((0, 0), network_bytes);
        let values = [
            (metric::NET_RX, received),
            (metric::NET_TX, sent),
            (metric::MEM_USAGE, sample.memory_bytes.unwrap_or(0)),
            (metric::MEM_LIMIT, self.memory_limit_bytes),
            (metric::DISK_READ, sample.disk_read_bytes.unwrap_or(0)),
            (metric::DISK_WRITE, sample.disk_write_bytes.unwrap_or(0)),
            (metric::CPU_USER, percent(sample.cpu_user, before.cpu_user)),
            (metric::CPU_KERNEL, percent(sample.cpu_system, before.cpu_system)),
            (metric::CPU_TOTAL, percent(sample.cpu_total, before.cpu_total)),
        ];
        let metrics = values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Stat { timestamp: SystemTime::now(), metrics: Some(metrics) }
    }
}

/// Bytes received and sent over all interfaces. 0 if the kernel won't tell: a lost count is no
/// reason to lose the others.
fn network_bytes(file: &File) -> (u64, u64) {
    // Two header lines and some 100 bytes for each interface; a cell has one or two.
    let mut page = [0; 4096];
    match file.read_at(&mut page, 0) {
        Ok(length) => sum_interfaces(&String::from_utf8_lossy(&page[..length])),
        Err(_) => (0, 0),
    }
}

/// The first and the ninth number of each line with a colon.
fn sum_interfaces(text: &str) -> (u64, u64) {
    let mut sums = (0u64, 0u64);
    for (_, counts) in text.lines().filter_map(|line| line.split_once(':')) {
        let mut counts = counts.split_whitespace().map(|count| count.parse().unwrap_or(0));
        sums.0 = sums.0.saturating_add(counts.next().unwrap_or(0));
        sums.1 = sums.1.saturating_add(counts.nth(7).unwrap_or(0));
    }
    sums
}

/// What a cell without a limit may use. 0 if the host won't tell.
fn host_memory_bytes() -> u64 {
    static BYTES: OnceLock<u64> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix("kB"));
        kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) << 10
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_nine_keys_and_cpu_is_a_share_of_the_time_between() {
        let start = Instant::now();
        let mut meter = Meter::new(Some(1 << 20), start);
        let sample = Sample {
            cpu_total: Duration::from_millis(1999),
            cpu_user: Duration::from_millis(1500),
            memory_bytes: Some(4096),
            ..Sample::default()
        };
        let stat = meter.stat_at(start + Duration::from_secs(2), &sample);
        let metrics = stat.metrics.unwrap();
        assert_eq!(metrics.len(), 9);
        // Truncated.
        assert_eq!((metrics["cpu_total"], metrics["cpu_user"]), (99, 75));
        assert_eq!((metrics["mem_usage"], metrics["mem_limit"]), (4096, 1 << 20));
        // A counter that went back is no reason to wrap.
        let later = start + Duration::from_secs(3);
        let again = meter.stat_at(later, &Sample::default()).metrics.unwrap();
        assert_eq!(again["cpu_total"], 0);
    }

    #[test]
    fn without_a_limit_the_host_is_the_limit() {
        assert!(Meter::new(None, Instant::now()).memory_limit_bytes > 64 << 20);
    }

    #[test]
    fn interfaces_are_summed() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes    packets|bytes packets\n\
                    lo: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n\
                    eth0:7 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n";
        assert_eq!(sum_interfaces(text), (107, 205));
        let own = File::open("/proc/self/net/dev").unwrap();
        let (received, sent) = network_bytes(&own);
        assert!(received < u64::MAX && sent < u64::MAX);
    }
}
