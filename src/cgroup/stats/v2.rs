//! The counters of a v2 directory, under the names that engines know from v1.

use super::super::Error;
use super::super::files::Dir;
use super::{
    Blkio, BlkioEntry, Cpu, Hugetlb, Memory, MemoryEntry, Pressure, PressureEntry, number, table,
    text,
};

pub(super) fn cpu(dir: &Dir, cpu: &mut Cpu) -> Result<(), Error> {
    let stat = table(dir, "cpu.stat")?.unwrap_or_default();
    let count = |key| stat.get(key).copied().unwrap_or(0);
    cpu.usage.total = count("usage_usec") * 1000;
    cpu.usage.user = count("user_usec") * 1000;
    cpu.usage.kernel = count("system_usec") * 1000;
    cpu.throttling.periods = count("nr_periods");
    cpu.throttling.throttled_periods = count("nr_throttled");
    cpu.throttling.throttled_time = count("throttled_usec") * 1000;
    cpu.psi = pressure(dir, "cpu.pressure");
    Ok(())
}

pub(super) fn memory(dir: &Dir, memory: &mut Memory) -> Result<(), Error> {
    let Some(raw) = table(dir, "memory.stat")? else {
        return Ok(());
    };
    memory.cache = raw.get("file").copied().unwrap_or(0);
    memory.raw = raw;
    memory.usage = entry(dir, "memory")?;
    let swap = entry(dir, "memory.swap")?;
    memory.swap = MemoryEntry {
        usage: swap.usage + memory.usage.usage,
        limit: swap.limit.saturating_add(match swap.limit {
            u64::MAX => 0,
            _ => memory.usage.limit,
        }),
        // The most of each may have been at different times.
        max: 0,
        failcnt: 0,
    };
    memory.psi = pressure(dir, "memory.pressure");
    Ok(())
}

fn entry(dir: &Dir, prefix: &str) -> Result<MemoryEntry, Error> {
    let count = |file: &str| Ok(number(dir, &format!("{prefix}.{file}"))?.unwrap_or(0));
    Ok(MemoryEntry {
        usage: count("current")?,
        limit: count("max")?,
        max: count("peak")?,
        failcnt: 0,
    })
}

pub(super) fn io(dir: &Dir, io: &mut Blkio) -> Result<(), Error> {
    let stat = text(dir, "io.stat")?;
    for line in stat.iter().flat_map(|text| text.lines()) {
        let mut words = line.split_whitespace();
        let device = words.next().and_then(|device| device.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(a, b)| (a.parse(), b.parse())) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (table, op) = match key {
                "rbytes" => (&mut io.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut io.io_service_bytes_recursive, "Write"),
                "rios" => (&mut io.io_serviced_recursive, "Read"),
                "wios" => (&mut io.io_serviced_recursive, "Write"),
                _ => continue,
            };
            if let Ok(value) = value.parse() {
                table.push(BlkioEntry { major, minor, op: op.to_owned(), value });
            }
        }
    }
    if stat.is_some() {
        io.psi = pressure(dir, "io.pressure");
    }
    Ok(())
}

pub(super) fn hugetlb(dir: &Dir, size: &str) -> Result<Option<Hugetlb>, Error> {
    let Some(usage) = number(dir, &format!("hugetlb.{size}.current"))? else {
        return Ok(None);
    };
    let events = table(dir, &format!("hugetlb.{size}.events"))?.unwrap_or_default();
    Ok(Some(Hugetlb { usage, max: 0, failcnt: events.get("max").copied().unwrap_or(0) }))
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, then `full …`. A kernel may have it switched
/// off, which it tells as an error.
pub(super) fn pressure(dir: &Dir, file: &str) -> Option<Pressure> {
    let text = text(dir, file).ok()??;
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let (kind, values) = line.split_once(' ')?;
        let entry = match kind {
            "some" => &mut pressure.some,
            "full" => &mut pressure.full,
            _ => continue,
        };
        *entry = values.split(' ').filter_map(|word| word.split_once('=')).fold(
            PressureEntry::default(),
            |mut entry, (key, value)| {
                match key {
                    "avg10" => entry.avg10 = value.parse().unwrap_or(0.0),
                    "avg60" => entry.avg60 = value.parse().unwrap_or(0.0),
                    "avg300" => entry.avg300 = value.parse().unwrap_or(0.0),
                    "total" => entry.total = value.parse().unwrap_or(0),
                    _ => {}
                }
                entry
            },
        );
    }
    Some(pressure)
}
