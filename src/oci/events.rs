//! `events`: what a container uses and what becomes of it, one JSON object a line.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};

use super::args::EventsArgs;
use super::status::Status;
use super::store::Store;
use super::{Error, place, print};
use crate::cgroup::Cgroup;

/// How long it takes at most to tell that memory ran out.
const LOOK: Duration = Duration::from_millis(100);

/// Prints one measurement, or one every interval and whatever happens until the container ends.
pub(super) fn events(store: &Store, args: &EventsArgs) -> Result<u8, Error> {
    let interval = interval(&args.interval)?;
    let home = store.find(&args.id.parse()?)?;
    let record = home.record()?;
    let running = !matches!(Status::of(&home, &record)?, Status::Stopped | Status::Creating);
    let pidfd = record.process.filter(|_| running).map_or(Ok(None), |process| process.open())?;
    let Some(pidfd) = pidfd else {
        return Err(Error::NoEvents(args.id.clone()));
    };
    let cgroup = place::open(&record)?;
    if args.stats {
        return tell(&args.id, "stats", Some(measured(&cgroup)?));
    }
    let mut kills = cgroup.oom_events()?.kills;
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now()).min(LOOK);
        let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timespec(left)));
        // What happened last is told, too. With its files gone, there is nothing more to tell.
        let now = cgroup.oom_events().map_or(kills, |oom| oom.kills);
        for _ in kills..now {
            tell(&args.id, "oom", None)?;
        }
        kills = now;
        if ended == Ok(1) {
            return Ok(0);
        }
        if Instant::now() >= next {
            next += interval;
            tell(&args.id, "stats", Some(measured(&cgroup)?))?;
        }
    }
}

fn measured(cgroup: &Cgroup) -> Result<Value, Error> {
    let stats = cgroup.stats()?;
    serde_json::to_value(stats).map_err(|error| Error::io("print", "measurements", error))
}

fn tell(id: &str, kind: &str, data: Option<Value>) -> Result<u8, Error> {
    let mut event = json!({ "type": kind, "id": id });
    if let Some(data) = data {
        event["data"] = data;
    }
    print(&format!("{event}\n"))
}

/// `5s`, `500ms`, `1m30s`: as Go programs write times.
fn interval(text: &str) -> Result<Duration, Error> {
    let wrong = || Error::Usage(format!("--interval {text:?} is not a time such as 5s or 500ms"));
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, more) = behind.split_at(letters);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        total += Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        rest = more;
    }
    if total < Duration::from_millis(1) { Err(wrong()) } else { Ok(total) }
}

fn timespec(duration: Duration) -> rustix::event::Timespec {
    rustix::event::Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_written_as_go_writes_them() {
        let millis = |text| interval(text).ok().map(|time| time.as_millis());
        let pairs =
            [("5s", 5000), ("500ms", 500), ("1m30s", 90_000), ("1.5s", 1500), ("1h", 3_600_000)];
        for (text, want) in pairs {
            assert_eq!(millis(text), Some(want), "{text}");
        }
        for bad in ["", "5", "s", "0s", "-1s", "1d", "1s5", "1e9h"] {
            assert_eq!(millis(bad), None, "{bad}");
        }
    }
}
