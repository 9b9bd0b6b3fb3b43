//! What was measured, as JSON lines for programs and as text for people.

use std::time::Duration;

use serde_json::{Value, json};

use super::host::Busy;
use super::measure::{Ratio, Turn, quantile};

/// What a row is called, and how far apart its rounds were.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) group: &'a str,
    pub(crate) name: &'a str,
    pub(crate) spacing: Duration,
}

/// Prints what it is told at once.
pub(crate) struct Report {
    busy: Busy,
}

impl Report {
    pub(crate) fn new() -> Report {
        Report { busy: Busy::now() }
    }

    /// The first line of a run.
    pub(crate) fn host(&mut self, host: &Value) {
        println!("{host}");
        for (name, value) in host["host"].as_object().into_iter().flatten() {
            eprintln!("{name}: {}", value.as_str().unwrap_or_default());
        }
    }

    /// The times of a row's contenders, in microseconds.
    pub(crate) fn row(&mut self, row: Row, turns: &[Turn]) {
        eprintln!("\n{}: {}, {}", row.group, row.name, spacing(row.spacing));
        let (load, steal) = self.busy.since();
        for turn in turns {
            let name = &turn.name;
            if let Some(why) = turn.why_missing() {
                self.missing(row, name, why);
                continue;
            }
            let base = |name: &String| turns.iter().find(|turn| turn.name == *name);
            let bases = turn.against.iter().filter_map(base).filter(|base| !base.times.is_empty());
            let ratios: Vec<(Ratio, Option<Ratio>)> = bases
                .map(|base| {
                    let both = !turn.cpu.is_empty() && !base.cpu.is_empty();
                    let cpu = both.then(|| Ratio::of(&turn.cpu, &base.cpu, &base.name));
                    (Ratio::of(&turn.times, &base.times, &base.name), cpu)
                })
                .collect();
            let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|part| quantile(&turn.times, part));
            let mut text = format!("  {name:<40} {p50:>9.0} {p90:>9.0} {p99:>9.0} µs");
            for (Ratio { to, p50, low, high, .. }, cpu) in &ratios {
                text += &format!("   {p50:.2} ({low:.2} to {high:.2}) x {to}");
                if let Some(Ratio { p50, .. }) = cpu {
                    text += &format!(", {p50:.2} x its CPU time");
                }
            }
            eprintln!("{text}");
            println!(
                "{}",
                json!({
                    "group": row.group,
                    "row": row.name,
                    "spacing_ms": row.spacing.as_millis() as u64,
                    "contender": name,
                    "rounds": turn.times.len(),
                    "p50_us": tenths(p50),
                    "p90_us": tenths(p90),
                    "p99_us": tenths(p99),
                    "cpu_p50_us": (!turn.cpu.is_empty()).then(|| tenths(quantile(&turn.cpu, 0.5))),
                    "ratios": ratios.iter().map(with_cpu).collect::<Vec<_>>(),
                    "load": load,
                    "steal_percent": steal,
                })
            );
        }
    }

    /// Another kind of figure: its fields, and the same in words.
    pub(crate) fn figure(&mut self, row: Row, contender: &str, fields: &Value, words: &str) {
        let (load, steal) = self.busy.since();
        let mut line = json!({
            "group": row.group, "row": row.name, "contender": contender,
            "load": load, "steal_percent": steal,
        });
        for (name, value) in fields.as_object().into_iter().flatten() {
            line[name] = value.clone();
        }
        eprintln!("{}: {:<38} {contender:<24} {words}", row.group, row.name);
        println!("{line}");
    }

    /// An empty cell.
    pub(crate) fn missing(&mut self, row: Row, contender: &str, why: &str) {
        eprintln!("  {contender:<40}         -: {why}");
        let spacing = row.spacing.as_millis() as u64;
        println!(
            "{}",
            json!({
                "group": row.group, "row": row.name, "spacing_ms": spacing,
                "contender": contender, "missing": why,
            })
        );
    }
}

fn spacing(spacing: Duration) -> String {
    match spacing.as_millis() {
        0 => "back to back".to_owned(),
        apart => format!("{apart} ms apart"),
    }
}

pub(crate) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// That of the times, with that of the CPU times in it.
fn with_cpu((time, cpu): &(Ratio, Option<Ratio>)) -> Value {
    let mut value = ratio(time);
    if let Some(cpu) = cpu {
        value["cpu"] = ratio(cpu);
    }
    value
}

pub(crate) fn ratio(ratio: &Ratio) -> Value {
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    json!({
        "to": ratio.to,
        "p50": round(ratio.p50),
        "low": round(ratio.low),
        "high": round(ratio.high),
        "p99": round(ratio.p99),
    })
}
