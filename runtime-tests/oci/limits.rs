//! What is done to a container that runs: frozen, limited anew, measured, signalled as a whole.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::scene::{PATIENCE, Scene, complaint};
use crate::bed::{Bed, every_cgroup_dir};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_paused_container_stands_still_and_goes_on, Cells, Busybox),
        test!(limits_change_by_flags_and_by_what_engines_send, Cells, Busybox, Memory, Pids),
        test!(events_tell_of_memory_that_ran_out, Cells, Busybox, Memory),
        test!(events_are_measurements_until_the_container_ends, Cells, Busybox),
        test!(a_signal_for_all_reaches_every_process, Cells, Busybox),
        test!(a_paused_container_is_deleted_by_force, Cells, Busybox),
        test!(a_process_enters_a_cgroup_inside_the_containers, Cells, Busybox),
        test!(who_lives_at_a_containers_place_is_left_alone, Cells, Busybox),
        test!(a_container_has_the_devices_of_its_list_and_no_other, Cells, Busybox),
    ]
}

/// The cgroup directories of the container of this name.
fn dirs(name: &str) -> Vec<PathBuf> {
    let own = format!("oci-{name}");
    every_cgroup_dir().into_iter().map(|dir| dir.join(&own)).filter(|dir| dir.exists()).collect()
}

/// Wherever he is: in the v2 tree he is found before there is a process of the container's, elsewhere after.
fn who_lives_at_a_containers_place_is_left_alone(bed: &Bed) {
    let oci = Scene::new(bed);
    let bundle = oci.bundle("c1", oci.config("true"));
    let all: Vec<_> = every_cgroup_dir().into_iter().map(|dir| dir.join("oci-c1")).collect();
    // A cpuset of v1 takes nobody just so.
    for place in all.iter().filter(|dir| !dir.ancestors().any(|dir| dir.ends_with("cpuset"))) {
        std::fs::create_dir_all(place).unwrap();
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        std::fs::write(place.join("cgroup.procs"), other.id().to_string()).unwrap();
        let ran = oci.call(&["create", "--bundle", bundle.to_str().unwrap(), "c1"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let why = format!("{} can't be a container's: a process lives in it", place.display());
        assert!(complaint(&ran).contains(&why), "{ran:?}");
        assert!(other.try_wait().unwrap().is_none(), "{}", place.display());
        assert_eq!(oci.call(&["list", "-q"]).ok(), "");
        let left: Vec<_> = all.iter().filter(|dir| dir.exists()).collect();
        assert_eq!(left, [place]);
        other.kill().unwrap();
        other.wait().unwrap();
        std::fs::remove_dir(place).unwrap();
    }
}

/// A list as engines write it, which v1 has words for; a denial inside of what is allowed, for which it has
/// none; and the list again for one that could change it there.
fn a_container_has_the_devices_of_its_list_and_no_other(bed: &Bed) {
    let oci = Scene::new(bed);
    let none = json!({ "allow": false, "access": "rwm" });
    let tapes = json!({ "allow": true, "type": "c", "major": 9, "access": "rwm" });
    let tape = json!({ "allow": false, "type": "c", "major": 9, "minor": 1, "access": "rwm" });
    let script = "cd /dev; for node in 9:0 9:1 10:232; do
        mknod n c ${node%:*} ${node#*:} && (: < n) 2>&1; rm n; done; : < null && echo null";
    for (name, list, capabilities, denied) in [
        ("listed", vec![&none, &tapes], &["CAP_MKNOD"][..], "10:232"),
        ("filtered", vec![&none, &tapes, &tape], &["CAP_MKNOD"], "9:1 10:232"),
        ("free", vec![&none, &tapes], &["CAP_MKNOD", "CAP_SYS_ADMIN"], "10:232"),
    ] {
        let mut config = oci.config(script);
        config["linux"]["resources"]["devices"] = json!(list);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(capabilities);
        }
        let bundle = oci.bundle(name, config);
        let said = oci.call(&["run", "--bundle", bundle.to_str().unwrap(), name]).ok();
        // A device that may be opened is not there: no driver has its number, or no device is behind it.
        let lines: Vec<_> = said.lines().collect();
        let [answers @ .., last] = &lines[..] else { panic!("{name}: {said}") };
        assert_eq!((answers.len(), *last), (3, "null"), "{name}: {said}");
        for (node, answer) in ["9:0", "9:1", "10:232"].iter().zip(answers) {
            let is_denied = answer.contains("Operation not permitted");
            assert_eq!(is_denied, denied.contains(node), "{name}, {node}: {answer}");
        }
    }
}

fn a_process_enters_a_cgroup_inside_the_containers(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.start("c1", "sleep 1000");
    let seen = |flags: &[&str]| {
        let pid = bed.path("pid");
        let args = [&["exec", "--detach", "--pid-file", pid.to_str().unwrap()], flags].concat();
        let mut command = oci.command(&[&args[..], &["c1", "sleep", "1000"]].concat());
        assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
        let pid = std::fs::read_to_string(pid).unwrap();
        std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap()
    };
    let plain = seen(&[]);
    let all = dirs("c1");
    for dir in &all {
        let made = dir.join("a/b");
        std::fs::create_dir_all(&made).unwrap();
        // A cpuset of v1 takes nobody before it has CPUs and memory nodes.
        if made.join("cgroup.clone_children").exists() {
            for (file, inner) in ["cpuset.cpus", "cpuset.mems"].iter().zip([dir; 2]) {
                if let Ok(value) = std::fs::read(inner.join(file)) {
                    std::fs::write(dir.join("a").join(file), &value).unwrap();
                    std::fs::write(made.join(file), &value).unwrap();
                }
            }
        }
    }
    let inside = |line: &str| format!("{line}/a/b\n");
    assert_eq!(seen(&["--cgroup", "a/b"]), plain.lines().map(inside).collect::<String>());
    assert_eq!(seen(&["--cgroup", "/./a//b/"]), plain.lines().map(inside).collect::<String>());
    let refused = |place: &[&str], why: &str| {
        let args = [&["exec"], place, &["c1", "true"]].concat();
        let ran = oci.call(&args);
        assert_eq!(ran.code, Some(255), "{ran:?}");
        assert!(complaint(&ran).contains(why), "{ran:?}");
    };
    refused(&["--cgroup", "a/none"], "a/none");
    refused(&["--cgroup", "../c1/a"], "must not hold \"..\"");
    refused(&["--cgroup", "bogus:a"], "no hierarchy of this controller");
    refused(&["--cgroup", "a", "--cgroup", "b"], "names no controller");
    if plain.lines().any(|line| line.contains(":pids:")) {
        let one = |line: &str| match line.contains(":pids:") {
            true => inside(line),
            false => format!("{line}\n"),
        };
        assert_eq!(seen(&["--cgroup", "pids:a/b"]), plain.lines().map(one).collect::<String>());
    }
    oci.delete("c1");
    assert!(all.iter().all(|dir| !dir.exists()));
}

fn a_paused_container_stands_still_and_goes_on(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.start("c1", "trap 'exit 5' TERM; while :; do sleep 0.02; done");
    oci.until_caught("c1", Signal::TERM);
    oci.call(&["pause", "c1"]).ok();
    assert_eq!(oci.status("c1"), "paused");
    oci.call(&["kill", "c1", "TERM"]).ok();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(oci.status("c1"), "paused");
    oci.call(&["resume", "c1"]).ok();
    oci.until("c1", "stopped");
    oci.delete("c1");
}

fn limits_change_by_flags_and_by_what_engines_send(bed: &Bed) {
    let oci = Scene::new(bed);
    let limit = |key: &str| -> Value {
        let line = oci.call(&["events", "--stats", "c1"]).ok();
        serde_json::from_str::<Value>(&line).unwrap()["data"].pointer(key).unwrap().clone()
    };
    oci.start("c1", "while :; do sleep 0.05; done");
    oci.call(&["update", "--memory", "64m", "--pids-limit", "20", "c1"]).ok();
    assert_eq!(limit("/memory/usage/limit"), json!(64 << 20));
    assert_eq!(limit("/pids/limit"), json!(20));
    // Docker's: zero is "as it is".
    let docker = json!({ "memory": { "limit": 96 << 20, "swap": 0, "reservation": 0 },
        "cpu": { "shares": 0, "period": 0, "quota": 0, "cpus": "", "mems": "" },
        "pids": { "limit": 0 }, "blockIO": { "weight": 0 } });
    let mut update = oci.command(&["update", "--resources", "-", "c1"]);
    let mut child = update.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(docker.to_string().as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(limit("/memory/usage/limit"), json!(96 << 20));
    assert_eq!(limit("/pids/limit"), json!(20));
    let file = bed.path("resources.json");
    std::fs::write(&file, json!({ "pids": { "limit": 30 } }).to_string()).unwrap();
    oci.call(&["update", "-r", file.to_str().unwrap(), "c1"]).ok();
    assert_eq!(limit("/pids/limit"), json!(30));
    std::fs::write(&file, "{").unwrap();
    let ran = oci.call(&["update", "-r", file.to_str().unwrap(), "c1"]);
    assert!(complaint(&ran).starts_with("resources: "), "{ran:?}");
    oci.delete("c1");
}

fn events_tell_of_memory_that_ran_out(bed: &Bed) {
    let oci = Scene::new(bed);
    let script = "sleep 0.5; tail -c 64m /dev/zero | wc -c; exec sleep 30";
    let mut config = oci.config(script);
    config["linux"]["resources"]["memory"] = json!({ "limit": 16 << 20, "swap": 16 << 20 });
    oci.create_from("c1", config);
    let mut events = oci.command(&["events", "--interval", "1h", "c1"]);
    let mut child = events.stdout(Stdio::piped()).spawn().unwrap();
    oci.call(&["start", "c1"]).ok();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["type"], &event["id"]), (&json!("oom"), &json!("c1")));
    oci.delete("c1");
    child.wait().unwrap();
}

fn events_are_measurements_until_the_container_ends(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.start("c1", "while :; do sleep 0.05; done");
    let mut events = oci.command(&["events", "--interval=50ms", "c1"]);
    let mut child = events.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["type"], json!("stats"));
        assert!(event["data"]["cpu"]["usage"].is_object());
    }
    oci.call(&["kill", "c1", "KILL"]).ok();
    assert!(child.wait().unwrap().success());
    oci.delete("c1");
}

fn a_signal_for_all_reaches_every_process(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.start("c1", "sleep 31 & sleep 32 & trap : TERM; while :; do sleep 0.05; done");
    let sleepers = || {
        let table = oci.call(&["ps", "c1", "-eo", "pid,args"]).ok();
        let asleep = |line: &&str| line.ends_with(" sleep 31") || line.ends_with(" sleep 32");
        table.lines().filter(asleep).count()
    };
    let until = |count| {
        let deadline = Instant::now() + PATIENCE;
        while sleepers() != count {
            assert!(Instant::now() < deadline, "{} sleep, not {count}", sleepers());
        }
    };
    until(2);
    oci.call(&["kill", "--all", "c1", "TERM"]).ok();
    until(0);
    assert_eq!(oci.status("c1"), "running");
    oci.call(&["kill", "-a", "c1", "9"]).ok();
    oci.until("c1", "stopped");
    oci.call(&["kill", "-a", "c1", "9"]).ok();
    oci.delete("c1");
}

fn a_paused_container_is_deleted_by_force(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.start("c1", "while :; do sleep 0.05; done");
    oci.call(&["pause", "c1"]).ok();
    oci.delete("c1");
}
