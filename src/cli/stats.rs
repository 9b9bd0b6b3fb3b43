//! `--stats FILE`: how the command ended and what it used, as one JSON object.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::native::Outcome;

/// The object. Times are RFC 3339 in UTC, durations microseconds, sizes bytes; `null` stands for
/// what this host doesn't count. `exit_code` is null when a signal ended the command.
pub(super) fn stats(name: &str, outcome: &Outcome, timed_out: bool) -> Value {
    use crate::launch::Exit;
    let (code, signal) = match outcome.exit {
        Exit::Code(code) => (Some(code), None),
        Exit::Signal(signal) => (None, Some(signal)),
    };
    let enforced: Map<_, _> = outcome
        .enforced
        .iter()
        .map(|limit| (limit.file.to_string(), Value::from(limit.value.clone())))
        .collect();
    let (usage, timings) = (&outcome.usage, &outcome.timings);
    json!({
        "name": name,
        "exit_code": code,
        "signal": signal,
        "timed_out": timed_out,
        "oom_killed": outcome.oom_killed,
        "oom_kills": outcome.oom.kills,
        "started_at": time(outcome.started_at),
        "finished_at": time(outcome.finished_at),
        "cpu_total_us": micros(usage.cpu_total),
        "cpu_user_us": micros(usage.cpu_user),
        "cpu_system_us": micros(usage.cpu_system),
        "memory_peak_bytes": usage.memory_peak_bytes,
        "disk_read_bytes": usage.disk_read_bytes,
        "disk_write_bytes": usage.disk_write_bytes,
        "enforced": enforced,
        "phases_us": {
            "create": micros(timings.create),
            "compile": micros(timings.compile),
            "spawn": micros(timings.spawn),
            "set_up": micros(timings.set_up),
            "run": micros(timings.run),
        },
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn time(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| String::new(), |at| at.to_string())
}
