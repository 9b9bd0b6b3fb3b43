//! What a container has used, in the shape that engines know from runc's `events --stats`.

mod v1;
mod v2;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::files::Dir;
use super::{Cgroup, Error};

/// One measurement of everything. Times are nanoseconds, sizes bytes. What this host does not count is
/// zero, and left out where runc leaves it out.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Stats {
    /// CPU time and throttling.
    pub cpu: Cpu,
    /// CPUs and memory nodes (v1 alone).
    pub cpuset: Cpuset,
    /// Memory and swap.
    pub memory: Memory,
    /// Processes and threads.
    pub pids: Pids,
    /// Block I/O.
    pub blkio: Blkio,
    /// Huge pages by their size: `2MB`.
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// Nothing: hotcell sets no cache allocation.
    pub intel_rdt: BTreeMap<String, u64>,
    /// Nothing: networks are the engines' own.
    pub network_interfaces: Option<Vec<u64>>,
}

/// CPU time and throttling.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are runc's, and say it")]
#[serde(default)]
pub struct Cpu {
    pub usage: CpuUsage,
    pub throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// CPU time in nanoseconds.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are runc's, and say it")]
#[serde(default)]
pub struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
}

/// How often, and for how many nanoseconds, the quota was used up.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are runc's, and say it")]
#[serde(default, rename_all = "camelCase")]
pub struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// The files of a v1 cpuset.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the kernel's files")]
#[serde(default)]
pub struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// Memory and swap in bytes.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The page cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// Memory.
    pub usage: MemoryEntry,
    /// Memory and swap together, on both kinds of host.
    pub swap: MemoryEntry,
    /// The kernel's memory (v1 alone).
    pub kernel: MemoryEntry,
    /// The kernel's TCP buffers (v1 alone).
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    /// `memory.stat` as it is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    /// How long tasks waited for memory (v2 alone).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// A counter of memory in bytes. Without a limit, `limit` is the largest number that the kernel gives.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are runc's, and say it")]
#[serde(default)]
pub struct MemoryEntry {
    pub limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// Processes and threads; a limit of zero is none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are runc's, and say it")]
#[serde(default)]
pub struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block I/O by device and kind.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are runc's, and say it")]
#[serde(default, rename_all = "camelCase")]
pub struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_queue_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One number about one device.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are runc's, and say it")]
#[serde(default)]
pub struct BlkioEntry {
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write`, on v1 also `Sync`, `Async`, `Discard`, `Total`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are runc's, and say it")]
#[serde(default)]
pub struct Hugetlb {
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// How much time was lost waiting for a resource (v2 alone).
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressure {
    /// By at least one task.
    pub some: PressureEntry,
    /// By all at once.
    pub full: PressureEntry,
}

/// Percentages over 10, 60 and 300 seconds, and microseconds in all.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the kernel's")]
#[serde(default)]
pub struct PressureEntry {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Cgroup {
    /// What the container has used so far.
    ///
    /// # Errors
    /// When a file that is there can't be read.
    pub fn stats(&self) -> Result<Stats, Error> {
        let mut stats = Stats::default();
        if let Some(dir) = self.v1("cpuacct") {
            v1::cpu_time(dir, &mut stats.cpu.usage)?;
        }
        if let Some(dir) = self.v1("cpu") {
            stats.cpu.throttling = v1::throttling(dir)?;
        }
        if let Some(dir) = self.v1("cpuset") {
            stats.cpuset = v1::cpuset(dir)?;
        }
        match self.v1("memory") {
            Some(dir) => v1::memory(dir, &mut stats.memory)?,
            None => v2::memory(&self.unified, &mut stats.memory)?,
        }
        match self.v1("blkio") {
            Some(dir) => v1::blkio(dir, &mut stats.blkio)?,
            None => v2::io(&self.unified, &mut stats.blkio)?,
        }
        if self.old.part().everywhere.is_empty() {
            v2::cpu(&self.unified, &mut stats.cpu)?;
        }
        if let Some(dir) = self.v1("pids").or(Some(&self.unified)) {
            stats.pids.current = number(dir, "pids.current")?.unwrap_or(0);
            // No number is no limit.
            stats.pids.limit = number(dir, "pids.max")?.filter(|n| *n != u64::MAX).unwrap_or(0);
        }
        for size in page_sizes() {
            let entry = match self.v1("hugetlb") {
                Some(dir) => v1::hugetlb(dir, &size)?,
                None => v2::hugetlb(&self.unified, &size)?,
            };
            stats.hugetlb.extend(entry.map(|entry| (size, entry)));
        }
        Ok(stats)
    }
}

/// The text of a file; `None` if this host has none.
fn text(dir: &Dir, file: &str) -> Result<Option<String>, Error> {
    match dir.read_whole(file) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// The number in a file; "max" is the largest.
fn number(dir: &Dir, file: &str) -> Result<Option<u64>, Error> {
    let text = text(dir, file)?;
    Ok(text.and_then(|text| match text.trim() {
        "max" => Some(u64::MAX),
        text => text.parse().ok(),
    }))
}

/// The lines `key number` of a file.
fn table(dir: &Dir, file: &str) -> Result<Option<BTreeMap<String, u64>>, Error> {
    let parse = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    Ok(text(dir, file)?.map(|text| text.lines().filter_map(parse).collect()))
}

/// The sizes of huge pages that this host has, as the kernel's files name them.
fn page_sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| page_size(&name)).collect()
}

/// `hugepages-2048kB`: `2MB`
fn page_size(name: &str) -> Option<String> {
    let kilobytes: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kilobytes {
        1_048_576.. => format!("{}GB", kilobytes >> 20),
        1024.. => format!("{}MB", kilobytes >> 10),
        _ => format!("{kilobytes}KB"),
    })
}

#[cfg(test)]
mod tests;
