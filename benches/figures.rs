//! The figures of a run, read back from their JSON lines for a picture or a page.

use serde_json::Value;

/// Back to back, and apart.
pub(crate) const SPACINGS: [&str; 2] = ["back to back", "80 ms apart"];

/// A ratio of medians with its interval, and that of the 99th percentiles.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) p50: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) p99: f64,
}

/// A contender against a base: one mark for each spacing.
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) marks: [Option<Mark>; 2],
    /// Of CPU times back to back.
    pub(crate) cpu: Option<Mark>,
}

/// The lines of one row of a group.
pub(crate) struct Panel {
    pub(crate) group: String,
    pub(crate) row: String,
    pub(crate) lines: Vec<Line>,
}

pub(crate) struct Figures {
    pub(crate) host: Value,
    /// All lines, as they were written.
    pub(crate) all: Vec<Value>,
}

impl Figures {
    pub(crate) fn read(path: &str) -> Figures {
        let text = std::fs::read_to_string(path).unwrap();
        let all: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let host = all.iter().find_map(|line| line.get("host")).cloned().unwrap_or_default();
        Figures { host, all }
    }

    /// Where and when, and how busy that machine was, then the versions.
    pub(crate) fn about(&self) -> [String; 2] {
        let host = |name: &str| word(&self.host, name);
        let loads = self.all.iter().filter_map(|line| line["load"].as_f64());
        let (least, most) =
            loads.fold((f64::MAX, 0.0_f64), |(a, b), load| (a.min(load), b.max(load)));
        let first = format!(
            "{} · Linux {} · {} · cgroups {} · load average {least:.1} to {most:.1}",
            host("date"),
            host("kernel"),
            host("cpu"),
            host("cgroups"),
        );
        let versions = ["hotcell", "runc", "crun", "youki"].map(|program| {
            let version = host(program);
            if version.starts_with(program) { version } else { format!("{program} {version}") }
        });
        [first, versions.join(" · ")]
    }

    /// What has ratios, in the order of the run.
    pub(crate) fn panels(&self) -> Vec<Panel> {
        let mut panels: Vec<Panel> = Vec::new();
        for figure in &self.all {
            let (group, row) = (word(figure, "group"), word(figure, "row"));
            for ratio in figure["ratios"].as_array().into_iter().flatten() {
                let label = format!("{} / {}", word(figure, "contender"), word(ratio, "to"));
                let mark = Some(Mark::of(ratio));
                let apart = usize::from(figure["spacing_ms"].as_u64() != Some(0));
                let known =
                    panels.iter().position(|panel| panel.group == group && panel.row == row);
                let at = known.unwrap_or_else(|| {
                    let (group, row, lines) = (group.clone(), row.clone(), Vec::new());
                    panels.push(Panel { group, row, lines });
                    panels.len() - 1
                });
                let lines = &mut panels[at].lines;
                let known = lines.iter().position(|line| line.label == label);
                let at = known.unwrap_or_else(|| {
                    lines.push(Line { label, marks: [None; 2], cpu: None });
                    lines.len() - 1
                });
                lines[at].marks[apart] = mark;
                let cpu = ratio.get("cpu").filter(|_| apart == 0).map(Mark::of);
                lines[at].cpu = lines[at].cpu.or(cpu);
            }
        }
        panels
    }
}

impl Mark {
    pub(crate) fn of(ratio: &Value) -> Mark {
        let [p50, low, high, p99] =
            ["p50", "low", "high", "p99"].map(|name| ratio[name].as_f64().unwrap_or(f64::NAN));
        Mark { p50, low, high, p99 }
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(out, "{:.2} ({:.2} to {:.2})", self.p50, self.low, self.high)
    }
}

pub(crate) fn word(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}
