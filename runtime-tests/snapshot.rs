//! A look at the host: what a cell could leave behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bed::{Bed, cgroup_parent, every_cgroup_dir};

/// How long the kernel may take to let go of what nobody uses any more.
const SETTLE: Duration = Duration::from_secs(3);

/// Everything found, as lines that can be compared.
pub struct Snapshot {
    lines: BTreeSet<String>,
}

impl Snapshot {
    pub fn take(bed: &Bed) -> Snapshot {
        let mut lines = BTreeSet::new();
        mounts(&mut lines);
        cgroups(&mut lines);
        processes(&mut lines);
        descriptors(&mut lines);
        directories(bed, &mut lines);
        Snapshot { lines }
    }

    /// Looks again until nothing new is there; says what is still there after a while.
    pub fn compare(&self, bed: &Bed) -> Result<(), String> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let now = Snapshot::take(bed);
            let left: Vec<_> = now.lines.difference(&self.lines).cloned().collect();
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("left behind:\n  {}", left.join("\n  ")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn mounts(lines: &mut BTreeSet<String>) {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    lines.extend(table.lines().map(|line| format!("mount {line}")));
}

/// Whatever lies below the test run's parents.
fn cgroups(lines: &mut BTreeSet<String>) {
    for parent in every_cgroup_dir() {
        for entry in std::fs::read_dir(&parent).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                lines.insert(format!("cgroup {}", entry.path().display()));
            }
        }
    }
}

/// Our descendants, zombies included, and what lives in this run's cgroups. Every process of a cell
/// is born there, so those of other runs and drivers don't matter.
fn processes(lines: &mut BTreeSet<String>) {
    let me = std::process::id().to_string();
    let ours = format!("/{}/", cgroup_parent());
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let behind_name = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
        let mut fields = behind_name.split(' ');
        let (state, parent) = (fields.next().unwrap_or("?"), fields.next().unwrap_or("?"));
        let link = |name: &str| {
            std::fs::read_link(entry.path().join(name))
                .map(|path| path.display().to_string())
                .unwrap_or_default()
        };
        if parent == me {
            lines.insert(format!("child {name} in state {state}: {stat}"));
        }
        let cgroup = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        if cgroup.contains(&ours) {
            lines.insert(format!("process {name} in {}", cgroup.replace('\n', " ")));
            lines.insert(format!("network namespace {}", link("ns/net")));
        }
    }
}

/// Our own open descriptors by what they lead to; two that lead to the same are two.
fn descriptors(lines: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let Ok(target) = std::fs::read_link(entry.path()) else {
            continue;
        };
        // Kept for the life of the process, on purpose.
        let kept = ["/dev/null", "hotcell-init", "mnt:[", "/proc/"];
        let target = target.display().to_string();
        if !kept.iter().any(|kept| target.contains(kept)) && !target.contains("bpf-prog") {
            let mut numbers = 1..;
            while !lines.insert(format!("descriptor {target}, number {}", numbers.next().unwrap()))
            {
            }
        }
    }
}

/// Instances with their cells, names, ids and layers.
fn directories(bed: &Bed, lines: &mut BTreeSet<String>) {
    let mut dirs = vec![bed.path("state"), bed.path("data")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                dirs.push(path.clone());
            }
            // The directories of names and ids and the lock of the whole stay, as the root itself
            // does, and a trash as long as its instance.
            let kept = ["state/names", "state/ids", "state/.lock", ".trash"];
            if !kept.iter().any(|kept| path.ends_with(kept)) && !is_mark(&path) {
                lines.insert(format!("file {}", path.display()));
            }
        }
    }
}

/// The note that a cgroup parent is the drivers' own stays as long as the parent.
fn is_mark(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parent = name.strip_prefix(".made-").unwrap_or_default().to_owned();
    !parent.is_empty()
        && every_cgroup_dir().iter().any(|dir| dir.ends_with(&parent) && dir.exists())
}
