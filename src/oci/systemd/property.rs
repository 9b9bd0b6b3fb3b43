//! Limits in systemd's words: what the kernel's files say, so that systemd would write the same.

use super::message::{Property, Value};
use crate::cgroup::{Cgroup, Enforced, Error};

/// How many microseconds a second has.
const SECOND: u64 = 1_000_000;
/// Systemd keeps a quota in whole percents of a CPU: less than asked for would starve the container.
const PERCENT: u64 = SECOND / 100;

/// The properties for those of the limits that systemd knows. It leaves all other files alone.
pub(super) fn of(cgroup: &Cgroup, written: &[Enforced]) -> Result<Vec<Property>, Error> {
    let mut files: Vec<_> = written.iter().map(|limit| limit.file.as_ref()).collect();
    files.sort_unstable();
    files.dedup();
    let mut properties = Vec::new();
    for file in files {
        if is_known(file) {
            properties.extend(properties_of(file, &cgroup.value(file)?));
        }
    }
    Ok(properties)
}

/// A file of one number, and the property for it.
const NUMBERS: [(&str, &str); 8] = [
    ("memory.max", "MemoryMax"),
    ("memory.high", "MemoryHigh"),
    ("memory.low", "MemoryLow"),
    ("memory.min", "MemoryMin"),
    ("memory.swap.max", "MemorySwapMax"),
    ("pids.max", "TasksMax"),
    ("cpu.weight", "CPUWeight"),
    ("io.weight", "IOWeight"),
];

/// A key in `io.max`, and the property for it.
const RATES: [(&str, &str); 4] = [
    ("rbps", "IOReadBandwidthMax"),
    ("wbps", "IOWriteBandwidthMax"),
    ("riops", "IOReadIOPSMax"),
    ("wiops", "IOWriteIOPSMax"),
];

const OTHERS: [&str; 6] =
    ["cpu.max", "cpu.idle", "cpuset.cpus", "cpuset.mems", "io.bfq.weight", "io.max"];

fn is_known(file: &str) -> bool {
    NUMBERS.iter().any(|(known, _)| *known == file) || OTHERS.contains(&file)
}

fn properties_of(file: &str, text: &str) -> Vec<Property> {
    let property = |name: &str, value| (name.to_owned(), value);
    let number = |name: &str, number| property(name, Value::Number(number));
    if let Some((_, name)) = NUMBERS.iter().find(|(known, _)| *known == file) {
        return weight(text).map(|value| number(name, value)).into_iter().collect();
    }
    match file {
        "cpu.max" => match quota(text) {
            Some((quota, period)) => {
                vec![number("CPUQuotaPerSecUSec", quota), number("CPUQuotaPeriodUSec", period)]
            }
            None => Vec::new(),
        },
        // A weight of zero is the idle class.
        "cpu.idle" if text.trim() == "1" => vec![number("CPUWeight", 0)],
        "cpuset.cpus" => vec![property("AllowedCPUs", Value::Bytes(bits(text)))],
        "cpuset.mems" => vec![property("AllowedMemoryNodes", Value::Bytes(bits(text)))],
        "io.bfq.weight" => {
            weight(text).map(|weight| number("IOWeight", unscaled(weight))).into_iter().collect()
        }
        "io.max" => rates(text),
        _ => Vec::new(),
    }
}

/// The one number of a file; of a file with a line for each device, the one for all.
fn weight(text: &str) -> Option<u64> {
    let line = text.lines().next()?;
    amount(line.strip_prefix("default ").unwrap_or(line))
}

/// No limit is the largest number.
fn amount(text: &str) -> Option<u64> {
    match text.trim() {
        "max" => Some(u64::MAX),
        text => text.parse().ok(),
    }
}

/// `QUOTA PERIOD` as time in a second, and the period.
fn quota(text: &str) -> Option<(u64, u64)> {
    let (quota, period) = text.trim().split_once(' ')?;
    let period: u64 = period.parse().ok()?;
    let quota = match amount(quota)? {
        u64::MAX => u64::MAX,
        quota => quota.checked_mul(SECOND)?.checked_div(period)?.next_multiple_of(PERCENT),
    };
    Some((quota, period))
}

/// `0-2,7` as a set of bits, the lowest in the first byte.
fn bits(list: &str) -> Vec<u8> {
    let mut bits = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
            continue;
        };
        for bit in usize::from(first)..=usize::from(last) {
            if bits.len() <= bit / 8 {
                bits.resize(bit / 8 + 1, 0);
            }
            bits[bit / 8] |= 1 << (bit % 8);
        }
    }
    bits
}

/// Systemd has weights of 1 to 10000 and writes those above 100 for that scheduler on its scale up to
/// 1000.
fn unscaled(weight: u64) -> u64 {
    match weight {
        ..=100 => weight,
        _ => 100 + (weight - 100) * 11,
    }
}

/// `8:0 rbps=1 wbps=max …`, a line for each device.
fn rates(text: &str) -> Vec<Property> {
    let of = |key: &str| -> Vec<(String, u64)> {
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let device = words.next()?;
            let rate = words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
            Some((format!("/dev/block/{device}"), amount(rate)?))
        };
        text.lines().filter_map(line).collect()
    };
    let properties = RATES.map(|(key, name)| (name.to_owned(), Value::Rates(of(key))));
    let some = |(_, value): &Property| *value != Value::Rates(Vec::new());
    properties.into_iter().filter(some).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(file: &str, text: &str) -> Vec<(String, Value)> {
        assert!(is_known(file), "{file}");
        properties_of(file, text)
    }

    fn numbers(pairs: &[(&str, u64)]) -> Vec<Property> {
        pairs.iter().map(|(name, n)| ((*name).to_owned(), Value::Number(*n))).collect()
    }

    #[test]
    fn what_the_files_say_is_what_systemd_hears() {
        for (file, text, want) in [
            ("memory.max", "67108864\n", &[("MemoryMax", 67_108_864)][..]),
            ("memory.swap.max", "max\n", &[("MemorySwapMax", u64::MAX)]),
            ("pids.max", "20\n", &[("TasksMax", 20)]),
            ("io.weight", "default 50\n8:0 70\n", &[("IOWeight", 50)]),
            ("io.bfq.weight", "default 1000\n", &[("IOWeight", 10_000)]),
            ("io.bfq.weight", "40\n", &[("IOWeight", 40)]),
            ("cpu.idle", "1\n", &[("CPUWeight", 0)]),
            ("cpu.idle", "0\n", &[]),
            (
                "cpu.max",
                "50000 100000\n",
                &[("CPUQuotaPerSecUSec", 500_000), ("CPUQuotaPeriodUSec", 100_000)],
            ),
            (
                "cpu.max",
                "1001 100000\n",
                &[("CPUQuotaPerSecUSec", 20_000), ("CPUQuotaPeriodUSec", 100_000)],
            ),
            (
                "cpu.max",
                "max 100000\n",
                &[("CPUQuotaPerSecUSec", u64::MAX), ("CPUQuotaPeriodUSec", 100_000)],
            ),
        ] {
            assert_eq!(one(file, text), numbers(want), "{file} {text:?}");
        }
    }

    #[test]
    fn sets_are_bits_and_rates_have_devices() {
        assert_eq!(bits("0-2,7\n"), [0b1000_0111]);
        assert_eq!(bits("9"), [0, 2]);
        assert_eq!(bits("\n"), [0; 0]);
        let rate = |name: &str, rate| {
            (name.to_owned(), Value::Rates(vec![("/dev/block/8:0".to_owned(), rate)]))
        };
        assert_eq!(
            one("io.max", "8:0 rbps=5 wiops=max\n"),
            [rate("IOReadBandwidthMax", 5), rate("IOWriteIOPSMax", u64::MAX)]
        );
        assert!(!is_known("cgroup.procs") && !is_known("hugetlb.2MB.max"));
    }
}
