//! Whether the floor's process stands where a cell's stands: the two are parked and looked at, and
//! what only one of them has is told.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::bed::Bed;
use super::contender::Contender;
use super::memory::tasks;
use super::report::{Report, Row};
use super::worker::flag::{BUNDLE, LIMITS, NET, SECCOMP};

const FLAGS: u32 = LIMITS | NET | SECCOMP;

pub(crate) fn compare(bed: &Bed, report: &mut Report) {
    let mut floor = Contender::start(&mut bed.floor());
    let parent = format!("floor-{}", floor.pid());
    let floor = look(&mut floor, BUNDLE | FLAGS, &parent);
    let mut worker = Contender::start(&mut bed.worker(1));
    let cell = look(&mut worker, FLAGS, &bed.options().cgroup_parent);
    assert!(floor.len() > 20, "too little was seen of the floor: {floor:?}");
    let only =
        |one: &BTreeSet<String>, other| -> Vec<String> { one.difference(other).cloned().collect() };
    let (ours, floors) = (only(&cell, &floor), only(&floor, &cell));
    let row = Row { group: "start", name: "what only one has", spacing: Duration::ZERO };
    for (who, all) in [("floor", floors), ("hotcell", ours)] {
        let words = if all.is_empty() { "nothing".to_owned() } else { all.join("; ") };
        report.figure(row, who, &json!({ "only": all }), &words);
    }
}

/// What can be seen of a parked process: mounts, cgroups, rights.
fn look(contender: &mut Contender, flags: u32, parent: &str) -> BTreeSet<String> {
    contender.ask(&format!("park {flags} 1")).unwrap();
    let pid = tasks(parent)[0];
    let read = |name| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let mut seen = BTreeSet::new();
    for line in read("mountinfo").lines() {
        let words: Vec<_> = line.split(' ').collect();
        let kind = words.iter().position(|word| *word == "-").map_or("", |at| words[at + 1]);
        seen.insert(format!("mount {} {kind} {}", words[4], words[5]));
    }
    for line in read("cgroup").lines().filter(|line| line.contains(parent)) {
        let controller = line.split(':').nth(1).unwrap_or_default();
        seen.insert(format!("cgroup {}", if controller.is_empty() { "v2" } else { controller }));
    }
    let rights = ["Cap", "NoNewPrivs", "Seccomp"];
    let status = read("status");
    let lines = status.lines().filter(|line| rights.iter().any(|word| line.starts_with(word)));
    seen.extend(lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")));
    contender.ask("unpark").unwrap();
    seen
}
