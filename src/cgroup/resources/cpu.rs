//! CPU bandwidth, weight, idle class, real-time budget, and the CPUs and memory nodes to use.

use oci_spec::runtime::LinuxCpu;

use super::super::Error;
use super::super::files::Dir;
use super::{Target, Tree, Wish, is_invalid, refused};

/// What the kernel takes for `cpu.shares`.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

/// What is asked for; times in microseconds. `None` leaves a value as it is.
struct Asked {
    shares: Option<u64>,
    /// -1: no limit.
    quota: Option<i64>,
    period: Option<u64>,
    burst: Option<u64>,
    idle: Option<i64>,
    realtime_runtime: Option<i64>,
    realtime_period: Option<u64>,
}

pub(super) fn apply(target: &Target<'_>, cpu: &LinuxCpu) -> Result<(), Error> {
    cpuset(target, "cpu.cpus", "cpuset.cpus", cpu.cpus().as_deref())?;
    cpuset(target, "cpu.mems", "cpuset.mems", cpu.mems().as_deref())?;
    let asked = Asked {
        shares: cpu.shares().filter(|shares| *shares != 0),
        quota: cpu.quota().filter(|quota| *quota != 0),
        period: cpu.period().filter(|period| *period != 0),
        burst: cpu.burst(),
        idle: cpu.idle(),
        realtime_runtime: cpu.realtime_runtime().filter(|runtime| *runtime != 0),
        realtime_period: cpu.realtime_period().filter(|period| *period != 0),
    };
    if let Some(quota) = asked.quota.filter(|quota| *quota < -1) {
        return Err(refused("cpu.quota", quota, "neither a time in microseconds nor -1"));
    }
    if let Some(idle) = asked.idle.filter(|idle| !(0..=1).contains(idle)) {
        return Err(refused("cpu.idle", idle, "neither 0 nor 1"));
    }
    let first = [
        asked.shares.map(|value| ("cpu.shares", value.to_string())),
        asked.quota.map(|value| ("cpu.quota", value.to_string())),
        asked.period.map(|value| ("cpu.period", value.to_string())),
        // These ask for nothing where they are zero and always were.
        asked.burst.filter(|burst| *burst != 0).map(|value| ("cpu.burst", value.to_string())),
        asked.idle.filter(|idle| *idle != 0).map(|value| ("cpu.idle", value.to_string())),
        asked.realtime_runtime.map(|value| ("cpu.realtimeRuntime", value.to_string())),
        asked.realtime_period.map(|value| ("cpu.realtimePeriod", value.to_string())),
    ];
    let first = first.into_iter().flatten().next();
    let zeros = asked.burst.is_some() || asked.idle.is_some();
    let (field, value) = match &first {
        Some((field, value)) => (*field, value.as_str()),
        None if zeros => ("cpu.idle", "0"),
        None => return Ok(()),
    };
    match target.tree("cpu", Some("cpu"), Wish { field, value }) {
        Ok(Tree::V1(dir)) => v1(target, dir, &asked),
        Ok(Tree::V2(dir)) => v2(target, dir, &asked),
        Err(_) if first.is_none() => Ok(()),
        Err(error) => Err(error),
    }
}

fn cpuset(
    target: &Target<'_>,
    field: &'static str,
    file: &'static str,
    list: Option<&str>,
) -> Result<(), Error> {
    let Some(value) = list.filter(|list| !list.is_empty()) else {
        return Ok(());
    };
    let dir = target.tree("cpuset", Some("cpuset"), Wish { field, value })?.dir();
    target.write(dir, file, value)
}

fn v1(target: &Target<'_>, dir: &Dir, asked: &Asked) -> Result<(), Error> {
    // Before any process is here: one with a real-time policy needs the budget to enter.
    for (file, value) in [
        ("cpu.rt_period_us", asked.realtime_period.map(|period| period.to_string())),
        ("cpu.rt_runtime_us", asked.realtime_runtime.map(|runtime| runtime.to_string())),
    ] {
        if let Some(value) = value {
            target.write(dir, file, value)?;
        }
    }
    if let Some(shares) = asked.shares {
        if !SHARES.contains(&shares) {
            return Err(refused("cpu.shares", shares, "the kernel takes 2 to 262144"));
        }
        target.write(dir, "cpu.shares", shares)?;
    }
    let period = asked.period.map(|period| ("cpu.cfs_period_us", period.to_string()));
    let burst = asked.burst.map(|burst| ("cpu.cfs_burst_us", burst.to_string()));
    let quota = asked.quota.map(|quota| ("cpu.cfs_quota_us", quota.to_string()));
    in_step(target, dir, &[period, burst], quota)?;
    idle(target, dir, asked)
}

fn v2(target: &Target<'_>, dir: &Dir, asked: &Asked) -> Result<(), Error> {
    for (field, value) in [
        ("cpu.realtimePeriod", asked.realtime_period.map(|period| period.to_string())),
        ("cpu.realtimeRuntime", asked.realtime_runtime.map(|runtime| runtime.to_string())),
    ] {
        if let Some(value) = value {
            return Err(refused(field, value, "cgroup v2 has no real-time budget"));
        }
    }
    idle(target, dir, asked)?;
    if let Some(shares) = asked.shares {
        target.write(dir, "cpu.weight", weight(shares))?;
    }
    let burst = asked.burst.map(|burst| ("cpu.max.burst", burst.to_string()));
    let max = match (asked.quota, asked.period) {
        (None, None) => None,
        (quota, period) => {
            let now = dir.read("cpu.max")?;
            let mut now = now.split_whitespace();
            let (now_quota, now_period) = (now.next().unwrap_or("max"), now.next());
            let quota = match quota {
                Some(-1) => "max".to_owned(),
                Some(quota) => quota.to_string(),
                None => now_quota.to_owned(),
            };
            let period = period.map(|period| period.to_string());
            let period = period.as_deref().or(now_period).unwrap_or("100000");
            Some(("cpu.max", format!("{quota} {period}")))
        }
    };
    in_step(target, dir, &[burst], max)
}

type Value = (&'static str, String);

/// Writes values that depend on the last one: what the kernel finds too large or too small for the
/// old one may be right for the new.
fn in_step(
    target: &Target<'_>,
    dir: &Dir,
    first: &[Option<Value>],
    last: Option<Value>,
) -> Result<(), Error> {
    let mut again = Vec::new();
    for (file, value) in first.iter().flatten() {
        let optional = file.contains("burst");
        if optional && !dir.has(file) {
            continue;
        }
        let written = target.write(dir, *file, value);
        match is_invalid(&written) && last.is_some() {
            true => again.push((file, value)),
            false => written?,
        }
    }
    if let Some((file, value)) = last {
        target.write(dir, file, value)?;
    }
    again.into_iter().try_for_each(|(file, value)| target.write(dir, *file, value))
}

fn idle(target: &Target<'_>, dir: &Dir, asked: &Asked) -> Result<(), Error> {
    match asked.idle {
        Some(idle) if !target.write_if_there(dir, "cpu.idle", idle)? && idle != 0 => {
            Err(refused("cpu.idle", idle, "this kernel has no idle class for cgroups (Linux 5.15)"))
        }
        _ => Ok(()),
    }
}

/// Shares (2 to 262144, default 1024) on the scale of weights (1 to 10000, default 100): the curve
/// that runc and crun took up in 2025, which meets both ends and both defaults. The straight line
/// before it gave the default less than half of its weight.
fn weight(shares: u64) -> u64 {
    match shares {
        ..=2 => 1,
        262_144.. => 10_000,
        shares => {
            #[allow(clippy::cast_precision_loss, reason = "below 2^18")]
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "1 to 10000"
            )]
            let weight = 10f64.powf(exponent).ceil() as u64;
            weight
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_meet_the_ends_and_the_default_and_rise_between() {
        let weights = [0, 1, 2, 1024, 262_144, u64::MAX].map(weight);
        assert_eq!(weights, [1, 1, 1, 100, 10_000, 10_000]);
        assert!((2..262_144).all(|shares| weight(shares) <= weight(shares + 1)));
    }
}
