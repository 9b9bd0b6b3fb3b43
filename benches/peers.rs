//! A start against other runtimes', of the bundle that `runc spec` writes: in process, and as whole
//! processes that a small process spawns and awaits.

use std::path::{Path, PathBuf};

use hotcell::oci_spec::runtime::Capability;
use hotcell::seccomp::{Architecture, Kernel, Profile};
use serde_json::{Value, json};

use super::args::Args;
use super::bed::Bed;
use super::contender::Contender;
use super::measure::Turn;
use super::report::Report;
use super::runtime::{RUN, Runtime, is_hybrid, is_installed};
use super::start::{both_spacings, floor};
use super::worker::flag::{BIND, BUNDLE, LIMITS, NET, NO_CGROUPNS, SECCOMP};

const IN_PROCESS: &str = "hotcell, in process";
const PROGRAM: &str = "hotcell run";

/// What a row's bundle has beside what `runc spec` writes.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) flags: u32,
}

const KINDS: [Kind; 4] = [
    Kind { name: "runc spec", flags: 0 },
    // What it writes on hybrid hosts.
    Kind { name: "runc spec, host's cgroup namespace", flags: NO_CGROUPNS },
    Kind { name: "runc spec, filter", flags: SECCOMP },
    Kind { name: "runc spec, filter, limits", flags: SECCOMP | LIMITS },
];

pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    for kind in &KINDS {
        let bundle = write_bundle(bed, kind, true);
        let mut turns = vec![
            floor(bed, "floor", &[], BUNDLE | BIND | NET | kind.flags),
            in_process(bed, &bundle),
            program(bed, kind),
        ];
        turns.extend(["runc", "crun", "youki"].map(|name| peer(bed, kind, name)));
        both_spacings("peers", kind.name, &mut turns, args, report);
    }
    // The share that is the program's own start.
    let mut turns = vec![spawn(bed, "true", &[], &[bed.rootfs.join("bin/true").to_str().unwrap()])];
    for name in [env!("CARGO_BIN_EXE_hotcell"), "runc", "crun", "youki"] {
        let short = Path::new(name).file_name().unwrap().to_string_lossy().into_owned();
        let turn = spawn(bed, &format!("{short} --version"), &["true"], &[name, "--version"]);
        turns.push(if is_installed(name) { turn } else { Turn::missing(turn.name, NOT_THERE) });
    }
    both_spacings("peers", "the programs themselves", &mut turns, args, report);
}

pub(crate) const NOT_THERE: &str = "not installed";

fn capabilities() -> [Capability; 3] {
    [Capability::AuditWrite, Capability::Kill, Capability::NetBindService]
}

/// Writes the bundle and returns its directory.
pub(crate) fn write_bundle(bed: &Bed, kind: &Kind, resources: bool) -> PathBuf {
    let mut spec: Value = serde_json::from_str(include_str!("bundle.json")).unwrap();
    spec["root"]["path"] = json!(bed.rootfs);
    if kind.flags & LIMITS != 0 {
        spec["linux"]["resources"]["memory"] = json!({ "limit": 128 << 20 });
        spec["linux"]["resources"]["cpu"] = json!({ "quota": 50_000, "period": 100_000 });
        spec["linux"]["resources"]["pids"] = json!({ "limit": 64 });
    }
    if kind.flags & SECCOMP != 0 {
        let profile = Profile::hotcell();
        let filter = profile.resolve(&capabilities(), Architecture::NATIVE, Kernel::running());
        spec["linux"]["seccomp"] = serde_json::to_value(filter).unwrap();
    }
    if kind.flags & NO_CGROUPNS != 0 {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
    }
    if !resources {
        spec["linux"]["resources"] = json!({});
    }
    let dir = bed.dir.path().join(format!("bundle-{}-{resources}", kind.flags));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("config.json"), serde_json::to_vec(&spec).unwrap()).unwrap();
    dir
}

fn in_process<'a>(bed: &Bed, bundle: &Path) -> Turn<'a> {
    let mut worker = Contender::start(&mut bed.worker(16));
    let request = format!("bundle {}", bundle.display());
    Turn::new(IN_PROCESS, &["floor"], move || worker.measure(&request))
}

/// The program, with the flags that come nearest to the bundle.
fn program<'a>(bed: &Bed, kind: &Kind) -> Turn<'a> {
    let options = bed.options();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let mut words: Vec<String> =
        [env!("CARGO_BIN_EXE_hotcell"), "run", "--rm", "--read-only"].map(str::to_owned).into();
    words.extend(["--rootfs".to_owned(), path(&bed.rootfs)]);
    words.extend(["--state-dir".to_owned(), path(&options.state_dir)]);
    words.extend(["--data-dir".to_owned(), path(&options.data_dir)]);
    words.extend(["--cgroup-parent".to_owned(), options.cgroup_parent]);
    let mut more = vec!["--hostname", "bench", "--ulimit", "nofile=1024", "--cap-drop", "ALL"];
    for capability in ["AUDIT_WRITE", "KILL", "NET_BIND_SERVICE"] {
        more.extend(["--cap-add", capability]);
    }
    if kind.flags & SECCOMP == 0 {
        more.extend(["--security-opt", "seccomp=unconfined"]);
    }
    if kind.flags & LIMITS != 0 {
        more.extend(["--memory", "128m", "--cpus", "0.5", "--pids-limit", "64"]);
    }
    words.extend(more.into_iter().chain(["--", "/bin/true"]).map(str::to_owned));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    spawn(bed, PROGRAM, &["floor"], &words)
}

/// Executes a command from a small process and awaits its end.
fn spawn<'a>(bed: &Bed, name: &str, against: &[&str], words: &[&str]) -> Turn<'a> {
    let mut spawner = Contender::start(bed.tool().arg("spawn"));
    let request = words.join("\t");
    Turn::new(name, against, move || spawner.measure(&request)).peer()
}

/// Another runtime's `run`, or why this host can't have it. One that can't enforce the bundle's
/// resources here gets a bundle without.
fn peer<'a>(bed: &Bed, kind: &Kind, name: &'static str) -> Turn<'a> {
    let against = &[PROGRAM, IN_PROCESS];
    let turn_name = format!("{name} run");
    if !is_installed(name) {
        return Turn::missing(turn_name, NOT_THERE);
    }
    let moved = name == "crun" && is_hybrid();
    let whole = Runtime::new(bed, name, moved, write_bundle(bed, kind, true));
    match whole.try_once(&RUN) {
        Ok(()) => whole.turn(turn_name, against, &RUN),
        Err(_) if kind.flags & LIMITS == 0 => {
            let bare = Runtime::new(bed, name, moved, write_bundle(bed, kind, false));
            match bare.try_once(&RUN) {
                Ok(()) => bare.turn(format!("{turn_name}, no device filter"), against, &RUN),
                Err(why) => Turn::missing(turn_name, why),
            }
        }
        Err(why) => Turn::missing(turn_name, why),
    }
}
