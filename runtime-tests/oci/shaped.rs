//! What a container makes of its cgroup and its process, and what is damaged: the commands get by.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::scene::Scene;
use crate::bed::{Bed, every_cgroup_dir};
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(cgroups_of_any_name_depth_and_number_go_with_their_container, Cells, Busybox),
        test!(a_process_without_its_first_thread_runs, Cells, Debian),
        test!(a_damaged_record_hides_no_other_container, Cells, Busybox),
    ]
}

/// The v2 cgroup of the container of this name.
fn unified(name: &str) -> PathBuf {
    let dirs = every_cgroup_dir().into_iter().map(|dir| dir.join(format!("oci-{name}")));
    dirs.into_iter().find(|dir| dir.join("cgroup.kill").exists()).unwrap()
}

/// As root in a container that may write its cgroup can make them.
fn cgroups_of_any_name_depth_and_number_go_with_their_container(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.start("c1", "sleep 1000");
    let top = unified("c1");
    let strange = top.join(OsStr::from_bytes(b"a\xff b")).join("below");
    std::fs::create_dir_all(&strange).unwrap();
    (0..1100).for_each(|number| std::fs::create_dir(top.join(number.to_string())).unwrap());
    std::fs::create_dir_all(top.join(["d"; 100].join("/"))).unwrap();
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    std::fs::write(strange.join("cgroup.procs"), other.id().to_string()).unwrap();
    let all = oci.call(&["ps", "--format", "json", "c1"]).ok();
    let all: Vec<u32> = serde_json::from_str(&all).unwrap();
    assert!(all.contains(&other.id()), "{all:?}");
    oci.call(&["kill", "--all", "c1", "TERM"]).ok();
    assert!(!other.wait().unwrap().success());
    oci.delete("c1");
    assert!(!top.exists());
}

fn a_process_without_its_first_thread_runs(bed: &Bed) {
    let oci = Scene::new(bed);
    let mut config = oci.config("");
    // The first thread ends itself alone, not the process.
    let script = "import ctypes, threading, time\n\
                  threading.Thread(target=time.sleep, args=(1000,)).start()\n\
                  libc = ctypes.CDLL(None)\n\
                  libc.pthread_exit(None)";
    config["root"]["path"] = json!(fixture("debian"));
    config["process"]["args"] = json!(["python3", "-c", script]);
    oci.create_from("c1", config);
    oci.call(&["start", "c1"]).ok();
    let pid = oci.state("c1")["pid"].as_i64().unwrap();
    let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let deadline = std::time::Instant::now() + super::scene::PATIENCE;
    while !stat().contains(") Z ") {
        assert!(std::time::Instant::now() < deadline, "{}", stat());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(oci.status("c1"), "running");
    oci.call(&["pause", "c1"]).ok();
    assert_eq!(oci.status("c1"), "paused");
    oci.call(&["resume", "c1"]).ok();
    assert_eq!(oci.call(&["delete", "c1"]).code, Some(1));
    oci.call(&["kill", "c1", "KILL"]).ok();
    oci.until("c1", "stopped");
    oci.call(&["delete", "c1"]).ok();
}

fn a_damaged_record_hides_no_other_container(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.start("c1", "sleep 1000");
    let record = oci.root().join("c1/state.json");
    let good = std::fs::read(&record).unwrap();
    oci.start("c2", "sleep 1000");
    std::fs::write(&record, "{").unwrap();
    let ran = oci.call(&["list", "--format", "json"]);
    let list: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, list.len(), &list[0]["id"]), (Some(0), 1, &json!("c2")), "{ran:?}");
    assert!(ran.err.contains("level=warning") && ran.err.contains("c1"), "{ran:?}");
    std::fs::write(&record, good).unwrap();
    oci.delete("c1");
    oci.delete("c2");
}
