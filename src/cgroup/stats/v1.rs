//! The counters of v1 hierarchies.

use std::collections::BTreeMap;

use super::super::Error;
use super::super::files::Dir;
use super::{
    Blkio, BlkioEntry, CpuUsage, Cpuset, Hugetlb, Memory, MemoryEntry, Throttling, number, table,
    text,
};

/// A tick of `cpuacct.stat`: the kernel's interface has 100 in a second on every architecture.
const TICK_NS: u64 = 10_000_000;

pub(super) fn cpu_time(dir: &Dir, usage: &mut CpuUsage) -> Result<(), Error> {
    usage.total = number(dir, "cpuacct.usage")?.unwrap_or(0);
    let stat = table(dir, "cpuacct.stat")?.unwrap_or_default();
    let ticks = |key| stat.get(key).map_or(0, |ticks| ticks * TICK_NS);
    (usage.kernel, usage.user) = (ticks("system"), ticks("user"));
    let percpu = text(dir, "cpuacct.usage_percpu")?.unwrap_or_default();
    usage.percpu = numbers(&percpu);
    // "cpu user system", then a line for each.
    for line in text(dir, "cpuacct.usage_all")?.unwrap_or_default().lines().skip(1) {
        if let [_, user, kernel] = numbers(line)[..] {
            usage.percpu_user.push(user);
            usage.percpu_kernel.push(kernel);
        }
    }
    Ok(())
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

pub(super) fn throttling(dir: &Dir) -> Result<Throttling, Error> {
    let stat = table(dir, "cpu.stat")?.unwrap_or_default();
    let count = |key| stat.get(key).copied().unwrap_or(0);
    Ok(Throttling {
        periods: count("nr_periods"),
        throttled_periods: count("nr_throttled"),
        throttled_time: count("throttled_time"),
    })
}

pub(super) fn cpuset(dir: &Dir) -> Result<Cpuset, Error> {
    let flag = |file: &str| Ok(number(dir, &format!("cpuset.{file}"))?.unwrap_or(0));
    let level = text(dir, "cpuset.sched_relax_domain_level")?;
    Ok(Cpuset {
        cpus: list(&text(dir, "cpuset.cpus")?.unwrap_or_default()),
        mems: list(&text(dir, "cpuset.mems")?.unwrap_or_default()),
        cpu_exclusive: flag("cpu_exclusive")?,
        mem_hardwall: flag("mem_hardwall")?,
        mem_exclusive: flag("mem_exclusive")?,
        memory_migrate: flag("memory_migrate")?,
        memory_spread_page: flag("memory_spread_page")?,
        memory_spread_slab: flag("memory_spread_slab")?,
        memory_pressure: flag("memory_pressure")?,
        sched_load_balance: flag("sched_load_balance")?,
        sched_relax_domain_level: level.and_then(|text| text.trim().parse().ok()).unwrap_or(0),
    })
}

/// `0-2,7`
pub(super) fn list(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse::<u16>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

pub(super) fn memory(dir: &Dir, memory: &mut Memory) -> Result<(), Error> {
    memory.raw = table(dir, "memory.stat")?.unwrap_or_default();
    memory.cache = memory.raw.get("cache").copied().unwrap_or(0);
    memory.usage = entry(dir, "memory")?;
    memory.swap = entry(dir, "memory.memsw")?;
    memory.kernel = entry(dir, "memory.kmem")?;
    memory.kernel_tcp = entry(dir, "memory.kmem.tcp")?;
    Ok(())
}

fn entry(dir: &Dir, prefix: &str) -> Result<MemoryEntry, Error> {
    let count = |file: &str| Ok(number(dir, &format!("{prefix}.{file}"))?.unwrap_or(0));
    Ok(MemoryEntry {
        limit: count("limit_in_bytes")?,
        usage: count("usage_in_bytes")?,
        max: count("max_usage_in_bytes")?,
        failcnt: count("failcnt")?,
    })
}

/// A kind of counter and its file, `PREFIX.NAME`.
type Table = (fn(&mut Blkio) -> &mut Vec<BlkioEntry>, &'static str);

const BYTES: Table = (|io| &mut io.io_service_bytes_recursive, "io_service_bytes_recursive");
const COUNT: Table = (|io| &mut io.io_serviced_recursive, "io_serviced_recursive");
const OF_A_SCHEDULER: [Table; 8] = [
    (|io| &mut io.sectors_recursive, "sectors_recursive"),
    (|io| &mut io.io_service_time_recursive, "io_service_time_recursive"),
    (|io| &mut io.io_wait_time_recursive, "io_wait_time_recursive"),
    (|io| &mut io.io_merged_recursive, "io_merged_recursive"),
    (|io| &mut io.io_queue_recursive, "io_queued_recursive"),
    (|io| &mut io.io_time_recursive, "time_recursive"),
    COUNT,
    BYTES,
];

/// The counters of the scheduler that counts most, as runc chooses; else the throttle's.
pub(super) fn blkio(dir: &Dir, io: &mut Blkio) -> Result<(), Error> {
    let kinds: [(&str, &[Table]); 4] = [
        ("blkio.bfq", &OF_A_SCHEDULER),
        ("blkio.bfq", &[COUNT, BYTES]),
        ("blkio", &OF_A_SCHEDULER),
        ("blkio.throttle", &[COUNT, BYTES]),
    ];
    for (prefix, tables) in kinds {
        let mut found = Blkio::default();
        let mut whole = true;
        for (place, name) in tables {
            let entries = text(dir, &format!("{prefix}.{name}"))?.map(|text| entries(&text));
            match entries.filter(|entries| !entries.is_empty()) {
                Some(entries) => *place(&mut found) = entries,
                None => {
                    whole = false;
                    break;
                }
            }
        }
        if whole {
            *io = found;
            break;
        }
    }
    Ok(())
}

/// `8:0 Read 4096`, or `8:0 4096`; the line about all devices is left out.
pub(super) fn entries(text: &str) -> Vec<BlkioEntry> {
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let (op, value) = match (words.next()?, words.next()) {
            (op, Some(value)) => (op, value),
            (value, None) => ("", value),
        };
        Some(BlkioEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op: op.to_owned(),
            value: value.parse().ok()?,
        })
    };
    text.lines().filter_map(parse).collect()
}

pub(super) fn hugetlb(dir: &Dir, size: &str) -> Result<Option<Hugetlb>, Error> {
    let files: BTreeMap<&str, Option<u64>> = ["usage_in_bytes", "max_usage_in_bytes", "failcnt"]
        .into_iter()
        .map(|file| Ok((file, number(dir, &format!("hugetlb.{size}.{file}"))?)))
        .collect::<Result<_, Error>>()?;
    let Some(usage) = files["usage_in_bytes"] else {
        return Ok(None);
    };
    let max = files["max_usage_in_bytes"].unwrap_or(0);
    Ok(Some(Hugetlb { usage, max, failcnt: files["failcnt"].unwrap_or(0) }))
}
