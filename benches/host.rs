//! What this host is, which programs it has, and how busy it was.

use std::process::Command;

use serde_json::{Value, json};

/// The first line of a run.
pub(crate) fn describe() -> Value {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = format!("{} x {}", count, model.map_or("unknown", |(_, model)| model));
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let version = |program| first_line(program, &["--version"]).unwrap_or("not installed".into());
    let commit = first_line("git", &["describe", "--always", "--dirty"]).unwrap_or_default();
    let hotcell = format!("{} {commit}", env!("CARGO_PKG_VERSION"));
    let hotcell = hotcell.trim_end();
    json!({ "host": {
        "date": first_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_default(),
        "kernel": format!("{} {}", read("/proc/sys/kernel/osrelease"), std::env::consts::ARCH),
        "cpu": cpu,
        "cgroups": if unified { "unified" } else { "hybrid" },
        "load": read("/proc/loadavg"),
        "hotcell": hotcell,
        "runc": version("runc"),
        "crun": version("crun"),
        "youki": version("youki"),
    }})
}

/// Of what the program says.
pub(crate) fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().next()?.to_owned())
}

/// The host's CPU time so far: all of it, and what other virtual machines took away.
pub(crate) struct Busy {
    all: f64,
    stolen: f64,
}

impl Busy {
    pub(crate) fn now() -> Busy {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let times: Vec<f64> =
            line.split_whitespace().skip(1).filter_map(|time| time.parse().ok()).collect();
        Busy { all: times.iter().take(8).sum(), stolen: times.get(7).copied().unwrap_or(0.0) }
    }

    /// The load average now, and the percentage of CPU time stolen since the last question.
    pub(crate) fn since(&mut self) -> (f64, f64) {
        let now = Busy::now();
        let share = (now.stolen - self.stolen) / (now.all - self.all).max(1.0) * 100.0;
        *self = now;
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
        (load, (share * 10.0).round() / 10.0)
    }
}
