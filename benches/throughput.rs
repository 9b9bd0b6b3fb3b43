//! Starts a second with many in flight, and whether they get slower with time.
//!
//! In flight are threads of one process on one driver here, worker processes at the floor.

use std::time::{Duration, Instant};

use serde_json::json;

use super::args::Args;
use super::bed::Bed;
use super::contender::Contender;
use super::measure::{Ratio, quantile};
use super::report::{Report, Row, ratio, tenths};
use super::worker::flag::{BUNDLE, LIMITS, NET, SECCOMP};

/// One turn of one contender.
const SLICE: Duration = Duration::from_secs(1);
const SLICES: usize = 5;

/// With networks of their own the kernel's removal of these is most of what is measured, so there
/// is a level for that and all for the others.
const ROWS: [(&str, u32, &[usize]); 2] = [
    ("host network", LIMITS | SECCOMP, &[1, 2, 4, 8, 16, 32]),
    ("new network", LIMITS | NET | SECCOMP, &[1, 8, 32]),
];

#[derive(Default)]
struct Side {
    /// Of each slice, in starts a second.
    rates: Vec<f64>,
    /// Of all starts, in microseconds.
    times: Vec<f64>,
}

impl Side {
    fn take(&mut self, who: &mut Contender, flags: u32, in_flight: usize) {
        let request = format!("flood {flags} {} {in_flight}", SLICE.as_millis());
        let begun = Instant::now();
        let times = who.ask(&request).unwrap_or_else(|why| panic!("{request}: {why}"));
        self.rates.push(times.len() as f64 / begun.elapsed().as_secs_f64());
        self.times.extend(times);
    }
}

pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    let mut floor = Contender::start(&mut bed.floor());
    let mut worker = Contender::start(&mut bed.worker(16));
    if let Some(seconds) = args.drift {
        return drift([&mut floor, &mut worker], seconds, report);
    }
    for (kind, flags, levels) in ROWS {
        for in_flight in levels.iter().filter(|level| !args.quick || [1, 8].contains(*level)) {
            let [mut ours, mut least] = [Side::default(), Side::default()];
            let slices = if args.quick { 2 } else { SLICES };
            for slice in 0..slices {
                // Nobody always runs behind the other.
                for turn in 0..2 {
                    match (slice + turn) % 2 {
                        0 => least.take(&mut floor, BUNDLE | flags, *in_flight),
                        _ => ours.take(&mut worker, flags, *in_flight),
                    }
                }
            }
            let name = format!("{in_flight} in flight, {kind}");
            tell(report, &name, ("floor", &least), None);
            tell(report, &name, ("hotcell", &ours), Some(("floor", &least)));
        }
    }
}

fn tell(report: &mut Report, name: &str, who: (&str, &Side), base: Option<(&str, &Side)>) {
    let row = Row { group: "throughput", name, spacing: Duration::ZERO };
    let (who, side) = who;
    let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|part| quantile(&side.times, part));
    let rate = quantile(&side.rates, 0.5);
    let mut fields = json!({
        "spacing_ms": 0,
        "starts_per_second": tenths(rate),
        "p50_us": tenths(p50), "p90_us": tenths(p90), "p99_us": tenths(p99),
    });
    let mut words = format!("{rate:>7.0} /s {p50:>9.0} {p90:>9.0} {p99:>9.0} µs");
    if let Some((to, base)) = base {
        let time = Ratio::of(&side.times, &base.times, to);
        let share = Ratio::of(&side.rates, &base.rates, to);
        words += &format!(
            "   {:.0} % of {to}'s rate, {:.2} ({:.2} to {:.2}) x its time",
            share.p50 * 100.0,
            time.p50,
            time.low,
            time.high
        );
        fields["rate_ratio"] = ratio(&share);
        fields["ratios"] = json!([ratio(&time)]);
    }
    report.figure(row, who, &fields, &words);
}

/// Eight in flight all the time; the floor has a turn in six. The first tenth against the last.
fn drift([floor, worker]: [&mut Contender; 2], seconds: usize, report: &mut Report) {
    let flags = LIMITS | SECCOMP;
    let (begun, whole) = (Instant::now(), Duration::from_secs(seconds as u64));
    let mut early = [Side::default(), Side::default()];
    let mut late = [Side::default(), Side::default()];
    let mut middle = [Side::default(), Side::default()];
    while begun.elapsed() < whole {
        let done = begun.elapsed().as_secs_f64() / whole.as_secs_f64();
        let part = match done {
            ..0.1 => &mut early,
            0.9.. => &mut late,
            _ => &mut middle,
        };
        part[0].take(floor, BUNDLE | flags, 8);
        for _ in 0..5 {
            part[1].take(worker, flags, 8);
        }
    }
    for (at, who) in ["floor", "hotcell"].into_iter().enumerate() {
        let first = format!("{who}, first tenth");
        let name = format!("8 in flight for {seconds} s");
        tell(report, &name, (&first, &early[at]), None);
        tell(report, &name, (&format!("{who}, last tenth"), &late[at]), Some((&first, &early[at])));
    }
}
