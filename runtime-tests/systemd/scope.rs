//! A container's scope: its place, its properties and limits, what happens to it when systemd loads its
//! configuration again, and that nothing of it is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bed::{Bed, Ran};
use crate::oci::scene::{Scene, complaint};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_container_is_a_scope_in_its_slice, Cells, Busybox, Systemd),
        test!(a_container_that_names_no_place_is_in_the_system_slice, Cells, Busybox, Systemd),
        test!(limits_outlive_systemds_new_configuration, Cells, Busybox, Systemd),
        test!(one_process_is_enough_of_a_limit, Cells, Busybox, Systemd),
        test!(annotations_choose_properties, Cells, Busybox, Systemd),
        test!(what_names_no_scope_is_refused_and_makes_none, Cells, Busybox, Systemd),
        test!(a_scope_of_that_name_is_left_alone, Cells, Busybox, Systemd),
        test!(a_failed_scope_of_that_name_is_in_nobodys_way, Cells, Busybox, Systemd),
        test!(a_failed_start_leaves_no_scope, Cells, Busybox, Systemd),
        test!(a_killed_creation_leaves_no_scope, Cells, Busybox, Systemd),
        test!(without_systemd_it_is_refused_in_one_line, Cells, Busybox, Hybrid),
    ]
}

/// A container's commands with systemd as the maker of cgroups.
struct Units<'a> {
    oci: Scene<'a>,
}

impl<'a> Units<'a> {
    fn new(bed: &'a Bed) -> Units<'a> {
        Units { oci: Scene::new(bed) }
    }

    fn config(&self, place: &str, script: &str) -> Value {
        let mut config = self.oci.config(script);
        config["linux"]["cgroupsPath"] = json!(place);
        config
    }

    fn create(&self, name: &str, config: Value) -> Ran {
        let bundle = self.oci.bundle(name, config);
        let args = ["--systemd-cgroup", "create", "--bundle", bundle.to_str().unwrap(), name];
        let mut command = self.oci.command(&args);
        // What the container holds open must not hold this test.
        let errors = bundle.join("errors");
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&errors).unwrap());
        let code = command.status().unwrap().code();
        Ran { code, out: String::new(), err: std::fs::read_to_string(&errors).unwrap() }
    }

    fn start(&self, name: &str, config: Value) {
        self.create(name, config).ok();
        self.oci.call(&["start", name]).ok();
    }

    /// Removes it, and sees that systemd has forgotten it.
    fn delete(&self, name: &str, unit: &str) {
        self.oci.delete(name);
        assert_eq!(show(unit, "LoadState"), "not-found");
    }
}

fn systemctl(args: &[&str]) -> Ran {
    Ran::from(Command::new("systemctl").args(args).output().unwrap())
}

/// A unit's property, as systemd tells it.
fn show(unit: &str, property: &str) -> String {
    systemctl(&["show", "--value", "--property", property, unit]).ok().trim_end().to_owned()
}

fn place(path: &str) -> PathBuf {
    Path::new("/sys/fs/cgroup").join(path)
}

fn value(path: &str, file: &str) -> String {
    std::fs::read_to_string(place(path).join(file)).unwrap().trim_end().to_owned()
}

const FOREVER: &str = "while :; do sleep 0.5; done";

fn a_container_is_a_scope_in_its_slice(bed: &Bed) {
    let units = Units::new(bed);
    let config = units.config("hotcelltest-inner.slice:test:c1", FOREVER);
    units.start("c1", config);
    let (unit, path) = ("test-c1.scope", "hotcelltest.slice/hotcelltest-inner.slice/test-c1.scope");
    assert_eq!(show(unit, "ControlGroup"), format!("/{path}"));
    assert_eq!(show(unit, "ActiveState"), "active");
    assert_eq!(show(unit, "Delegate"), "yes");
    // The placeholder has gone: only the container is there.
    let pid = units.oci.state("c1")["pid"].to_string();
    assert_eq!(value(path, "cgroup.procs").lines().next(), Some(pid.as_str()));
    let ps = units.oci.call(&["ps", "--format", "json", "c1"]).ok();
    assert!(ps.contains(&pid) && !ps.contains("null"), "{ps}");
    let inside = units.oci.call(&["exec", "c1", "cat", "/proc/self/cgroup"]).ok();
    assert_eq!(inside, format!("0::/{path}\n"));
    units.oci.call(&["pause", "c1"]).ok();
    assert_eq!(units.oci.status("c1"), "paused");
    units.oci.call(&["resume", "c1"]).ok();
    units.delete("c1", unit);
    assert!(!place(path).exists());
    systemctl(&["stop", "hotcelltest.slice"]).ok();
}

fn a_container_that_names_no_place_is_in_the_system_slice(bed: &Bed) {
    let units = Units::new(bed);
    // The other name of the same wish, and a container that is run to its end.
    let bundle = units.oci.bundle("c1", units.config("", "cat /proc/self/cgroup; exit 3"));
    let args = ["--cgroup-manager", "systemd", "run", "-b", bundle.to_str().unwrap(), "c1"];
    let ran = units.oci.call(&args);
    let place = "0::/system.slice/hotcell-c1.scope\n";
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(3), place, ""));
    assert_eq!(show("hotcell-c1.scope", "LoadState"), "not-found");
    units.start("c2", units.config("", FOREVER));
    assert_eq!(show("hotcell-c2.scope", "ControlGroup"), "/system.slice/hotcell-c2.scope");
    units.delete("c2", "hotcell-c2.scope");
}

fn limits_outlive_systemds_new_configuration(bed: &Bed) {
    let units = Units::new(bed);
    let mut config = units.config("::limited", FOREVER);
    config["linux"]["resources"] = json!({
        "memory": { "limit": 64 << 20, "swap": 64 << 20, "reservation": 32 << 20 },
        "cpu": { "shares": 512, "quota": 12_300, "period": 100_000, "cpus": "0", "mems": "0" },
        "pids": { "limit": 20 },
        "unified": { "memory.high": "50331648" },
    });
    units.start("c1", config);
    let read = || {
        let files = ["memory.max", "memory.low", "memory.high", "cpu.weight", "cpu.max"];
        let others = ["cpuset.cpus", "cpuset.mems", "pids.max"];
        files.into_iter().chain(others).map(|file| value("system.slice/limited.scope", file))
    };
    let exact: Vec<_> = read().collect();
    assert_eq!(exact[0..3], ["67108864", "33554432", "50331648"]);
    assert_eq!(exact[4..], ["12300 100000", "0", "0", "20"]);
    assert_eq!(show("limited.scope", "MemoryMax"), "67108864");
    assert_eq!(show("limited.scope", "TasksMax"), "20");
    let reload = || {
        systemctl(&["daemon-reload"]).ok();
        // Something that makes systemd write this unit's files again.
        systemctl(&["set-property", "--runtime", "limited.scope", "MemoryMin=4096"]).ok();
        systemctl(&["set-property", "--runtime", "limited.scope", "CPUWeight=77"]).ok();
    };
    reload();
    let after: Vec<_> = read().collect();
    // Systemd keeps whole percents: never less than was asked for.
    assert_eq!(after[4], "13000 100000");
    assert_eq!(after[3], "77");
    assert_eq!((&after[..3], &after[5..]), (&exact[..3], &exact[5..]));
    let update = ["update", "--memory", "96m", "--memory-swap", "96m", "--pids-limit", "30"];
    let update = [&update[..], &["--cpu-quota", "50000", "--cpu-share", "1024", "c1"]].concat();
    units.oci.call(&update).ok();
    assert_eq!(show("limited.scope", "MemoryMax"), "100663296");
    reload();
    let after: Vec<_> = read().collect();
    assert_eq!(
        (after[0].as_str(), after[4].as_str(), after[7].as_str()),
        ("100663296", "50000 100000", "30")
    );
    units.delete("c1", "limited.scope");
}

fn one_process_is_enough_of_a_limit(bed: &Bed) {
    let units = Units::new(bed);
    let mut config = units.config("::single", "exec sleep 1000");
    config["linux"]["resources"]["pids"] = json!({ "limit": 1 });
    units.start("c1", config);
    assert_eq!(value("system.slice/single.scope", "pids.max"), "1");
    assert_eq!(show("single.scope", "TasksMax"), "1");
    units.oci.until("c1", "running");
    units.delete("c1", "single.scope");
}

fn annotations_choose_properties(bed: &Bed) {
    let units = Units::new(bed);
    let mut config = units.config("::annotated", FOREVER);
    config["annotations"] = json!({
        "org.systemd.property.TimeoutStopUSec": "uint64 7000000",
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.systemd.property.Description": "'a test'",
    });
    units.start("c1", config);
    assert_eq!(show("annotated.scope", "TimeoutStopUSec"), "7s");
    assert_eq!(show("annotated.scope", "CollectMode"), "inactive-or-failed");
    assert_eq!(show("annotated.scope", "Description"), "a test");
    units.delete("c1", "annotated.scope");
    let mut config = units.config("::annotated", FOREVER);
    config["annotations"] = json!({ "org.systemd.property.Slice": "'a.slice'" });
    let ran = units.create("c2", config);
    assert!(complaint(&ran).contains("org.systemd.property.Slice"), "{ran:?}");
    assert!(!units.oci.root().join("c2").exists());
}

fn what_names_no_scope_is_refused_and_makes_none(bed: &Bed) {
    let units = Units::new(bed);
    for (path, why) in [
        ("/a/b", "SLICE:PREFIX:NAME"),
        ("a:b:c", "no name of a slice"),
        ("::a b", "no name of a unit"),
        ("::a.slice", "a slice holds no processes"),
    ] {
        let ran = units.create("c1", units.config(path, FOREVER));
        assert_eq!(ran.code, Some(1));
        assert!(complaint(&ran).contains(why), "{ran:?}");
        assert!(!units.oci.root().join("c1").exists());
    }
}

fn a_scope_of_that_name_is_left_alone(bed: &Bed) {
    let units = Units::new(bed);
    units.start("c1", units.config("::taken", FOREVER));
    let ran = units.create("c2", units.config("::taken", FOREVER));
    assert!(complaint(&ran).contains("UnitExists"), "{ran:?}");
    assert!(!units.oci.root().join("c2").exists());
    assert_eq!(units.oci.status("c1"), "running");
    assert_eq!(show("taken.scope", "ActiveState"), "active");
    units.delete("c1", "taken.scope");
}

fn a_failed_scope_of_that_name_is_in_nobodys_way(bed: &Bed) {
    let units = Units::new(bed);
    let fail = ["--scope", "--unit=failed", "--property=RuntimeMaxSec=1s", "sleep", "1000"];
    let ran = Command::new("systemd-run").args(fail).output().unwrap();
    assert!(!ran.status.success(), "{ran:?}");
    assert_eq!(show("failed.scope", "ActiveState"), "failed");
    units.start("c1", units.config("::failed", FOREVER));
    assert_eq!(show("failed.scope", "ActiveState"), "active");
    units.delete("c1", "failed.scope");
}

fn a_failed_start_leaves_no_scope(bed: &Bed) {
    let units = Units::new(bed);
    let mut config = units.config("::broken", FOREVER);
    config["process"]["args"] = json!(["/no/such/program"]);
    assert_eq!(units.create("c1", config).code, Some(1));
    assert_eq!(show("broken.scope", "LoadState"), "not-found");
    // A limit that can't be enforced is found out when the scope is there.
    let mut config = units.config("::broken", FOREVER);
    config["linux"]["resources"]["unified"] = json!({ "memory.bogus": "1" });
    let ran = units.create("c1", config);
    assert!(complaint(&ran).contains("memory.bogus"), "{ran:?}");
    assert_eq!(show("broken.scope", "LoadState"), "not-found");
    assert!(!units.oci.root().join("c1").exists());
}

fn a_killed_creation_leaves_no_scope(bed: &Bed) {
    let units = Units::new(bed);
    let mut config = units.config("::killed", FOREVER);
    // The hook waits for ever, among the things that come after the scope's start.
    config["hooks"]["createRuntime"] =
        json!([{ "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 100 }]);
    let bundle = units.oci.bundle("c1", config);
    let args = ["--systemd-cgroup", "create", "--bundle", bundle.to_str().unwrap(), "c1"];
    let mut command = units.oci.command(&args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let procs = place("system.slice/killed.scope").join("cgroup.procs");
    let sleeps = || {
        let table = Command::new("pgrep").args(["-f", "^sleep 1000$"]).output().unwrap();
        String::from_utf8(table.stdout).unwrap()
    };
    let deadline = std::time::Instant::now() + crate::oci::scene::PATIENCE;
    while !procs.exists() || sleeps().is_empty() {
        assert!(std::time::Instant::now() < deadline, "the hook does not start");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for pid in sleeps().lines() {
        Command::new("kill").args(["-9", pid]).status().unwrap();
    }
    units.delete("c1", "killed.scope");
}

fn without_systemd_it_is_refused_in_one_line(bed: &Bed) {
    let units = Units::new(bed);
    let ran = units.create("c1", units.config("::c1", FOREVER));
    assert_eq!(ran.code, Some(1));
    assert!(complaint(&ran).contains("--systemd-cgroup: "), "{ran:?}");
    assert!(!units.oci.root().join("c1").exists());
    // What makes no cgroup is not hindered.
    let list = units.oci.call(&["--systemd-cgroup", "list", "--format", "json"]).ok();
    assert_eq!(list, "null\n");
}
