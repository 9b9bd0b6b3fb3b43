//! Plays a form through runc or crun, where it can harm nothing but the scene.
//!
//! A peer may really be open to what is tried on it. It runs from a copy, in mount and PID
//! namespaces of its own, on a root that is read-only but for the scene's directory.

use std::fs;
use std::process::{Command, Stdio as Pipes};

use serde_json::{Value, json};

use super::case::{Base, Case, Form, Mode, Upper};
use super::cell;
use super::judge::{Seen, Verdict, judge};
use super::scene::Scene;
use super::watch::Watch;
use crate::bed::Ran;
use crate::host::fixture;

/// Another runtime.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Runc,
    Crun,
}

/// Whether the peers are to be asked.
pub fn wanted() -> bool {
    std::env::var("HOTCELL_PEERS").is_ok_and(|peers| peers == "1")
}

/// In namespaces of its own: arguments are the scene's directory, the peer, the kind of root, then
/// what to start.
const STAGE: &str = "
set -e
scene=$1 peer=$2 base=$3; shift 3
mount -t proc proc /proc
mount --bind $scene $scene
mount -o remount,bind,ro /
# crun knows no hybrid host.
[ $peer = runc ] || [ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 none /sys/fs/cgroup
if [ $base != copy ]; then
    mount -t tmpfs tmpfs $scene/peer/over
    mkdir $scene/peer/over/upper $scene/peer/over/work
    mount -t overlay -o lowerdir=$base,upperdir=$scene/peer/over/upper,workdir=$scene/peer/over/work \
        overlay $scene/peer/rootfs
fi
cd $scene/peer/bundle
exec timeout -k 2 20 \"$@\"";

impl Peer {
    pub const ALL: [Peer; 2] = [Peer::Runc, Peer::Crun];

    pub fn name(self) -> &'static str {
        match self {
            Peer::Runc => "runc",
            Peer::Crun => "crun",
        }
    }

    /// As it says it itself: `runc 1.1.5`.
    pub fn version(self) -> String {
        let output = Command::new(self.name()).arg("--version").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().next().unwrap_or_default().replace(" version", "");
        line.split('+').next().unwrap_or_default().to_owned()
    }

    /// The program where the shell finds it.
    fn program(self) -> std::path::PathBuf {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut found = path.split(':').map(|dir| std::path::Path::new(dir).join(self.name()));
        found.find(|path| path.is_file()).unwrap()
    }

    /// Plays one form on a scene of its own; `None` if there is no bundle to play.
    pub fn play(self, case: &Case, form: &Form) -> Option<Verdict> {
        let scene = Scene::set_up(case.base, form);
        for dir in ["peer", "peer/over", "peer/rootfs", "peer/state"] {
            fs::create_dir(scene.bed.path(dir)).unwrap();
        }
        let mode = Mode { init: false, upper: Upper::Tmpfs, own_ids: false };
        let written = write_bundle(&scene, form, mode)?;
        let copy = scene.bed.path("peer").join(self.name());
        fs::copy(self.program(), &copy).unwrap();
        let before = Watch::take(&scene, false);
        let seen = self.run(&scene, case, form);
        drop(written);
        if fs::read(&copy).unwrap() != fs::read(self.program()).unwrap() {
            return Some(Verdict::Escaped("the runtime's own program was overwritten".to_owned()));
        }
        // `timeout` says 124 or, if it had to kill, 137.
        let verdict = judge(&seen, &scene, &before, false, case.expect.code());
        match (&verdict, seen.code) {
            (Verdict::Escaped(_) | Verdict::Contained, _) => Some(verdict),
            (_, Some(124 | 137) | None) => Some(Verdict::Hung),
            _ => Some(verdict),
        }
    }

    fn run(self, scene: &Scene, case: &Case, form: &Form) -> Seen {
        let bed = scene.bed.path("");
        let bed = bed.to_str().unwrap().trim_end_matches('/');
        let debian = fixture("debian");
        let base = match case.base {
            Base::Busybox => "copy",
            Base::Debian => debian.to_str().unwrap(),
        };
        let namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"];
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["sh", "-c", STAGE, "sh", bed, self.name(), base]);
        command.args(form.under.iter().map(|word| scene.fill(word)));
        command.arg(format!("{bed}/peer/{}", self.name()));
        command.args(["--root", &format!("{bed}/peer/state"), "run", "hostile"]);
        Ran::from(command.stdin(Pipes::null()).output().unwrap()).into()
    }
}

/// The cgroup above a peer's cell.
fn cgroup(scene: &Scene) -> String {
    format!("hotcell-hostile-{}", scene.token.trim_start_matches("canary-"))
}

/// The bundle that hotcell writes, without what this host's cgroups can't do for a peer. The value
/// removes the cgroups it names.
fn write_bundle(scene: &Scene, form: &Form, mode: Mode) -> Option<Cgroups> {
    let dir = scene.bed.path("peer/bundle");
    let mut words = vec!["--bundle-dir".to_owned(), dir.to_str().unwrap().to_owned()];
    // A deadline is the driver's business and not the bundle's.
    let all = cell::words(scene, form, mode);
    words.extend(all.into_iter().filter(|word| !word.starts_with("--timeout")));
    let mut bundle = Command::new(crate::bed::PROGRAM);
    let output = bundle.arg("bundle").args(words).stdin(Pipes::null()).output().unwrap();
    if !output.status.success() {
        return None;
    }
    let config = dir.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    spec["root"]["readonly"] = json!(false);
    if !scene.root().starts_with(scene.bed.path("")) {
        spec["root"]["path"] = json!(scene.bed.path("peer/rootfs"));
    }
    spec["linux"]["cgroupsPath"] = json!(format!("/{}/cell", cgroup(scene)));
    if let Some(linux) = spec["linux"].as_object_mut() {
        linux.remove("resources");
    }
    if let Some(edit) = &form.edit {
        edit(&mut spec);
    }
    fs::write(&config, scene.fill(&spec.to_string())).unwrap();
    Some(Cgroups(cgroup(scene)))
}

/// Removes what a peer leaves of its cgroups.
struct Cgroups(String);

impl Drop for Cgroups {
    fn drop(&mut self) {
        let mounts = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let mounts = mounts.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]);
        for parent in mounts.map(|mount| mount.join(&self.0)) {
            let _ = (fs::remove_dir(parent.join("cell")), fs::remove_dir(&parent));
        }
    }
}
