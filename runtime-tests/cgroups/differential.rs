//! The same resources given to runc and to hotcell: the same files hold the same values then, or
//! both refuse, or the difference stands in a table with its reason.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::documents::{DOCUMENTS, Document};
use super::{Spot, parse};
use crate::bed::Bed;
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test!(files_hold_what_runc_writes, Cells, Busybox, Runc)]
}

/// What is set in a cgroup; counters and what lives there are left out.
const SETTINGS: [&str; 37] = [
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.swappiness",
    "memory.oom_control",
    "cpu.shares",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.cfs_burst_us",
    "cpu.idle",
    "cpu.rt_runtime_us",
    "cpu.rt_period_us",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
    "devices.list",
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "blkio.throttle.read_iops_device",
    "blkio.throttle.write_iops_device",
    "blkio.weight",
    "blkio.bfq.weight",
    "freezer.state",
    "net_cls.classid",
    "net_prio.ifpriomap",
    "hugetlb.2MB.limit_in_bytes",
    "hugetlb.2MB.max",
    "memory.max",
    "memory.low",
    "memory.high",
    "memory.swap.max",
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "io.max",
    "io.weight",
    "cgroup.max.descendants",
];

/// A document, a file, and why the two may differ there.
const KNOWN: [(&str, &str, &str); 2] = [
    ("shares", "cpu.weight", "runc 1.1 converts along a straight line, later ones along a curve"),
    ("too much swappiness", "", "nothing on a unified host has it: both may take it"),
];

/// A container of runc's, created and not started.
struct Theirs {
    root: PathBuf,
    id: String,
    spot: Spot,
}

impl Theirs {
    fn create(bed: &Bed, at: usize, resources: &str) -> Result<Theirs, String> {
        let spot = Spot::new(&format!("runc-{at}"));
        let dir = bed.path(&format!("runc-{at}"));
        std::fs::create_dir(&dir).unwrap();
        let config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": fixture("busybox"), "readonly": true},
            "process": {"args": ["/bin/sleep", "100"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
            // runc makes devices, and not in a root that all tests share.
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            ],
            "linux": {
                "cgroupsPath": spot.path,
                "namespaces": [{"type": "pid"}, {"type": "mount"}],
                "resources": serde_json::from_str::<Value>(resources).unwrap(),
            },
        });
        std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
        let id = format!("hotcell-at-{at}-{}", std::process::id());
        let theirs = Theirs { root: bed.path("runc-state"), id, spot };
        let log = dir.join("log");
        let streams = std::fs::File::create(&log).unwrap();
        let status = theirs
            .runc(&["create", "--bundle", dir.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(streams.try_clone().unwrap())
            .stderr(streams)
            .status()
            .unwrap();
        match status.success() {
            true => Ok(theirs),
            false => Err(std::fs::read_to_string(log).unwrap()),
        }
    }

    fn runc(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(&self.root).args(arguments).arg(&self.id);
        command
    }

    fn update(&self, resources: &str) -> Result<(), String> {
        let mut command = self.runc(&["update", "--resources", "-"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(resources.as_bytes()).unwrap();
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        match status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&stderr).into_owned()),
        }
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.runc(&["delete", "--force"]).output();
    }
}

fn settings(spot: &Spot) -> BTreeMap<&'static str, String> {
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        // The count of kills is none of the settings.
        lines.retain(|line| !line.starts_with("oom_kill ") && !line.starts_with("under_oom"));
        // /dev/net/tun, which runc gave every container before 1.2.
        lines.retain(|line| line != "c 10:200 rwm");
        lines.sort();
        lines.join("\n")
    };
    SETTINGS.iter().filter_map(|name| Some((*name, sorted(spot.read(name)?)))).collect()
}

fn known(name: &str, file: &str) -> bool {
    KNOWN.iter().any(|(document, place, _)| name.starts_with(document) && *place == file)
}

/// What differs after one step; whether both went on.
fn compare(
    name: &str,
    (ours, our_spot): (Result<(), String>, &Spot),
    (theirs, their_spot): (Result<(), String>, Option<&Spot>),
    found: &mut Vec<String>,
) -> bool {
    match (ours, theirs, their_spot) {
        (Ok(()), Ok(()), Some(their_spot)) => {
            let (ours, theirs) = (settings(our_spot), settings(their_spot));
            for (file, value) in &ours {
                let other = theirs.get(file);
                if other != Some(value) && !known(name, file) {
                    found.push(format!("{name}: {file}: ours {value:?}, runc's {other:?}"));
                }
            }
            true
        }
        (Err(_), Err(_), _) => false,
        (ours, theirs, _) => {
            if !known(name, "") {
                found.push(format!("{name}: ours {ours:?}, runc's {theirs:?}"));
            }
            false
        }
    }
}

fn both(bed: &Bed, at: usize, document: &Document, found: &mut Vec<String>) {
    let (name, resources, updates) = document;
    let spot = Spot::new(&format!("ours-{at}"));
    let ours = spot.create(resources);
    let theirs = Theirs::create(bed, at, resources);
    let their_spot = theirs.as_ref().ok().map(|theirs| &theirs.spot);
    let result = ours.as_ref().map(drop).map_err(ToString::to_string);
    let created = theirs.as_ref().map(drop).map_err(Clone::clone);
    if !compare(name, (result, &spot), (created, their_spot), found) {
        return;
    }
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    for (step, update) in updates.iter().enumerate() {
        let name = format!("{name} ⟶ {}", step + 1);
        let result = ours.update(&parse(update)).map(drop).map_err(|error| error.to_string());
        let updated = theirs.update(update);
        compare(&name, (result, &spot), (updated, Some(&theirs.spot)), found);
    }
}

fn files_hold_what_runc_writes(bed: &Bed) {
    let mut found = Vec::new();
    for (at, document) in DOCUMENTS.iter().enumerate() {
        both(bed, at, document, &mut found);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
