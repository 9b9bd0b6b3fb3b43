//! The life of a container: made, started, ended, deleted; and all of it in one command.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use hotcell::cgroup::{Controller, Hierarchies};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::scene::{Scene, complaint};
use crate::bed::{Bed, Ran, every_cgroup_dir};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_container_waits_for_its_start_and_runs_until_it_ends, Cells, Busybox),
        test!(what_a_state_forbids_is_told_in_the_words_of_engines, Cells, Busybox),
        test!(the_pid_file_holds_the_process_that_state_tells_of, Cells, Busybox),
        test!(run_gives_the_streams_and_the_code_of_its_container, Cells, Busybox),
        test!(run_hands_signals_on, Cells, Busybox),
        test!(a_detached_run_leaves_a_container_that_runs, Cells, Busybox),
        test!(a_kept_container_is_there_when_it_has_ended, Cells, Busybox),
        test!(a_failed_creation_leaves_nothing, Cells, Busybox),
        test!(a_number_that_is_used_again_is_never_touched, Cells, Busybox),
        test!(who_lives_in_a_cgroup_that_was_never_claimed_is_left_alone, Cells, Busybox),
        test!(of_a_cgroup_that_was_only_begun_one_place_is_sure, Cells, Busybox, Hybrid, Pids),
        test!(a_process_enters_a_container_and_gives_its_code, Cells, Busybox),
        test!(a_command_that_is_not_there_has_codes_that_engines_know, Cells, Busybox),
    ]
}

fn a_container_waits_for_its_start_and_runs_until_it_ends(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.create("c1", "trap 'exit 3' TERM; while :; do sleep 0.02; done");
    let state = oci.state("c1");
    assert_eq!((&state["id"], &state["status"]), (&json!("c1"), &json!("created")));
    let mode = oci.root().join("c1").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    oci.call(&["start", "c1"]).ok();
    assert_eq!(oci.status("c1"), "running");
    assert_eq!(oci.state("c1")["pid"], state["pid"]);
    oci.until_caught("c1", Signal::TERM);
    oci.call(&["kill", "c1"]).ok();
    oci.until("c1", "stopped");
    assert_eq!(oci.state("c1")["pid"], json!(0));
    oci.call(&["delete", "c1"]).ok();
    assert_eq!(complaint(&oci.call(&["state", "c1"])), "container does not exist");
    // One that never ran may go, too.
    oci.create("c2", "true");
    oci.call(&["delete", "c2"]).ok();
    assert_eq!(oci.call(&["list", "-q"]).ok(), "");
}

fn what_a_state_forbids_is_told_in_the_words_of_engines(bed: &Bed) {
    let oci = Scene::new(bed);
    let refused = |args: &[&str], want: &str| {
        let ran = oci.call(args);
        assert_eq!(ran.code, Some(if args[0] == "exec" { 255 } else { 1 }), "{args:?}");
        assert_eq!(complaint(&ran), want, "{args:?}");
    };
    oci.start("c1", "while :; do sleep 0.05; done");
    refused(&["start", "c1"], "cannot start an already running container");
    refused(&["delete", "c1"], "cannot delete container c1 that is not stopped: running");
    refused(&["resume", "c1"], "container not paused");
    let bundle = oci.bundle("c1", oci.config("true"));
    let again = ["create", "-b", bundle.to_str().unwrap(), "c1"];
    refused(&again, "container with given ID already exists: c1");
    oci.call(&["pause", "c1"]).ok();
    assert_eq!(oci.status("c1"), "paused");
    refused(&["pause", "c1"], "container not running");
    refused(&["start", "c1"], "cannot start a container in the paused state");
    refused(&["delete", "c1"], "cannot delete container c1 that is not stopped: paused");
    let why = "cannot exec in a paused container (use --ignore-paused to override)";
    refused(&["exec", "c1", "true"], why);
    oci.call(&["resume", "c1"]).ok();
    oci.call(&["kill", "c1", "KILL"]).ok();
    oci.until("c1", "stopped");
    refused(&["kill", "c1", "KILL"], "container not running");
    refused(&["start", "c1"], "cannot start a container that has stopped");
    refused(&["pause", "c1"], "container not running");
    refused(&["resume", "c1"], "container not paused");
    refused(&["update", "--pids-limit", "5", "c1"], "container not running");
    refused(&["exec", "c1", "true"], "cannot exec in a stopped container");
    refused(&["events", "--stats", "c1"], "container with id c1 is not running");
    oci.call(&["delete", "c1"]).ok();
    for verb in ["start", "state", "kill", "delete", "pause", "resume", "ps", "events"] {
        refused(&[verb, "c1"], "container does not exist");
    }
    refused(&["exec", "c1", "true"], "container does not exist");
    oci.call(&["delete", "--force", "c1"]).ok();
}

fn the_pid_file_holds_the_process_that_state_tells_of(bed: &Bed) {
    let oci = Scene::new(bed);
    let bundle = oci.bundle("c1", oci.config("sleep 30"));
    let file = bed.path("pid");
    let mut create = oci.command(&["create", "c1", "--bundle", bundle.to_str().unwrap()]);
    create.arg("--pid-file").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(create.status().unwrap().success());
    let pid: i32 = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    assert_eq!(oci.state("c1")["pid"], json!(pid));
    oci.delete("c1");
}

fn run_gives_the_streams_and_the_code_of_its_container(bed: &Bed) {
    let oci = Scene::new(bed);
    let bundle = oci.bundle("c1", oci.config("cat; echo err >&2; exit 7"));
    let mut run = oci.command(&["run", "-b", bundle.to_str().unwrap(), "c1"]);
    let mut child =
        run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"typed").unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(7), "typed", "err\n"));
    assert_eq!(oci.call(&["list", "-q"]).ok(), "");
    let bundle = oci.bundle("c2", oci.config("kill -9 $$"));
    let ran = oci.call(&["run", "--bundle", bundle.to_str().unwrap(), "c2"]);
    assert_eq!(ran.code, Some(0), "PID 1 does not kill itself: {ran:?}");
}

fn run_hands_signals_on(bed: &Bed) {
    let oci = Scene::new(bed);
    let script = "trap 'exit 9' USR1; echo ready; while :; do sleep 0.02; done";
    let bundle = oci.bundle("c1", oci.config(script));
    let mut run = oci.command(&["run", "-b", bundle.to_str().unwrap(), "c1"]);
    let mut child = run.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    kill_process(Pid::from_child(&child), Signal::USR1).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

fn a_detached_run_leaves_a_container_that_runs(bed: &Bed) {
    let oci = Scene::new(bed);
    let bundle = oci.bundle("c1", oci.config("sleep 30"));
    let mut run = oci.command(&["run", "--detach", "-b", bundle.to_str().unwrap(), "c1"]);
    assert!(run.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    assert_eq!(oci.status("c1"), "running");
    oci.delete("c1");
}

fn a_kept_container_is_there_when_it_has_ended(bed: &Bed) {
    let oci = Scene::new(bed);
    let bundle = oci.bundle("c1", oci.config("exit 4"));
    let ran = oci.call(&["run", "--keep", "-b", bundle.to_str().unwrap(), "c1"]);
    assert_eq!(ran.code, Some(4));
    assert_eq!(oci.status("c1"), "stopped");
    oci.delete("c1");
}

fn a_failed_creation_leaves_nothing(bed: &Bed) {
    let oci = Scene::new(bed);
    let mut config = oci.config("true");
    config["process"]["cwd"] = json!("/nowhere/at/all");
    config["mounts"] = json!([{ "destination": "/tmp", "type": "nosuchtype", "source": "x" }]);
    let bundle = oci.bundle("c1", config);
    for verb in ["create", "run"] {
        let ran = oci.call(&[verb, "-b", bundle.to_str().unwrap(), "c1"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_eq!(complaint(&oci.call(&["state", "c1"])), "container does not exist");
        assert!(!oci.root().join("c1").exists());
    }
    let ran = oci.call(&["create", "-b", "/nowhere", "c1"]);
    assert_eq!(complaint(&ran), "read /nowhere/config.json: no such file or directory");
}

fn a_number_that_is_used_again_is_never_touched(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.create("c1", "sleep 30");
    // The kernel tells of starts in hundredths of a second.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let mut bystander = std::process::Command::new("sleep").arg("30").spawn().unwrap();
    let path = oci.root().join("c1/state.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    record["process"]["pid"] = json!(bystander.id());
    std::fs::write(&path, record.to_string()).unwrap();
    assert_eq!(oci.status("c1"), "stopped");
    assert_eq!(complaint(&oci.call(&["kill", "c1", "KILL"])), "container not running");
    oci.delete("c1");
    assert!(bystander.try_wait().unwrap().is_none());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

fn who_lives_in_a_cgroup_that_was_never_claimed_is_left_alone(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.create("c1", "sleep 30");
    let pid = oci.state("c1")["pid"].clone();
    let (home, kept) = (oci.root().join("c1"), bed.path("kept"));
    let copy = std::process::Command::new("cp").arg("-a").args([&home, &kept]).status().unwrap();
    assert!(copy.success());
    // As if the command had been killed when it had written the record.
    for file in ["begun", "claimed"] {
        let _ = std::fs::remove_file(home.join(file));
    }
    forget_process(&home);
    oci.delete("c1");
    std::fs::rename(&kept, &home).unwrap();
    assert_eq!(oci.state("c1")["pid"], pid, "it lives");
    oci.delete("c1");
}

/// Takes the process out of a container's record.
fn forget_process(home: &Path) {
    let path = home.join("state.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    record["process"] = json!(null);
    std::fs::write(&path, record.to_string()).unwrap();
}

/// As if the command had been killed after the birth.
fn of_a_cgroup_that_was_only_begun_one_place_is_sure(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.create("c1", "sleep 30");
    let pid = oci.state("c1")["pid"].clone();
    let home = oci.root().join("c1");
    std::fs::remove_file(home.join("claimed")).unwrap();
    assert!(home.join("begun").exists());
    forget_process(&home);
    let all = || every_cgroup_dir().into_iter().map(|dir| dir.join("oci-c1"));
    // A hybrid host may have it in the v2 tree.
    let Some(pids) = Hierarchies::detect().unwrap().v1.remove(&Controller::Pids) else {
        oci.delete("c1");
        return;
    };
    let shared = all().find(|dir| dir.starts_with(&pids)).unwrap();
    let mut other = std::process::Command::new("sleep").arg("30").spawn().unwrap();
    std::fs::write(shared.join("cgroup.procs"), other.id().to_string()).unwrap();
    oci.delete("c1");
    assert!(!Path::new(&format!("/proc/{pid}/cwd")).exists(), "it is dead");
    assert!(other.try_wait().unwrap().is_none(), "he lives");
    assert_eq!(all().filter(|dir| dir.exists()).collect::<Vec<_>>(), [&*shared]);
    other.kill().unwrap();
    other.wait().unwrap();
    std::fs::remove_dir(shared).unwrap();
}

fn a_process_enters_a_container_and_gives_its_code(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.start("c1", "while :; do sleep 0.05; done");
    let ran =
        oci.call(&["exec", "-e", "A=b", "--cwd", "/bin", "c1", "sh", "-c", "echo $A; pwd; exit 6"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(6), "b\n/bin\n"), "{ran:?}");
    assert_eq!(oci.call(&["exec", "-u", "7:8", "c1", "id", "-u"]).ok(), "7\n");
    let process = bed.path("process.json");
    let text = json!({ "args": ["sleep", "30"], "cwd": "/", "user": { "uid": 0, "gid": 0 },
        "env": ["PATH=/bin:/usr/bin"] });
    std::fs::write(&process, text.to_string()).unwrap();
    let (process, pid) = (process.to_str().unwrap(), bed.path("pid"));
    let args =
        ["exec", "--process", process, "--detach", "--pid-file", pid.to_str().unwrap(), "c1"];
    let status = oci.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
    let pid: i64 = std::fs::read_to_string(&pid).unwrap().parse().unwrap();
    let pids: Vec<i64> = serde_json::from_str(&oci.call(&["ps", "-f", "json", "c1"]).ok()).unwrap();
    assert!(pids.contains(&pid), "{pid} in {pids:?}");
    oci.delete("c1");
}

fn a_command_that_is_not_there_has_codes_that_engines_know(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.start("c1", "while :; do sleep 0.05; done");
    let ran = oci.call(&["exec", "c1", "nonexistent"]);
    assert_eq!(ran.code, Some(255));
    let text = "exec: \"nonexistent\": executable file not found in $PATH";
    assert!(complaint(&ran).ends_with(text), "{ran:?}");
    oci.delete("c1");
    let mut config = oci.config("");
    config["process"]["args"] = json!(["nonexistent"]);
    let bundle = oci.bundle("c2", config);
    let ran = oci.call(&["run", "-b", bundle.to_str().unwrap(), "c2"]);
    assert_eq!(ran.code, Some(1));
    assert!(complaint(&ran).ends_with(text), "{ran:?}");
}
