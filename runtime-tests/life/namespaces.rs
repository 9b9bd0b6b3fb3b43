//! Namespaces of others, and none of one's own.

use std::io::Read;

use hotcell::bundle::{IdRange, Upper, UserNamespace, spec};
use hotcell::launch::{Exit, Latch, Place};
use hotcell::native::{Instance, Running};
use hotcell::oci_spec::runtime::Spec;

use super::{Made, dir, end, task};
use crate::bed::{Bed, script, start};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(namespaces_of_another_cell_are_joined, Cells, Busybox),
        test!(processes_of_another_cell_are_seen_and_outlived, Cells, Busybox),
        test!(a_user_namespace_is_joined_and_owns_what_is_made, Cells, Busybox),
        test!(all_namespaces_of_a_pod_are_joined, Cells, Busybox),
        test!(ids_that_the_joined_namespace_has_not_are_refused, Cells, Busybox),
        test!(the_hosts_processes_are_seen_and_the_cgroup_ends_the_cell, Cells, Busybox),
        test!(what_is_no_such_namespace_is_refused, Cells, Busybox),
        test!(clocks_can_be_the_cells_own, Cells, Busybox),
        test!(this_process_stays_where_it_was, Cells, Busybox),
    ]
}

/// A specification whose namespaces are edited: kind, and a path to join or none to leave it out.
fn edited(command: &str, edits: &[(&str, Option<String>)]) -> Spec {
    let mut config = task(["sh", "-c", command]);
    if edits.iter().any(|(kind, _)| *kind == "user") {
        // Before Linux 6.6 ids of its own and a layer in memory do not go together.
        config.upper = Upper::ReadOnly;
    }
    let mut json = serde_json::to_value(spec(&config).unwrap()).unwrap();
    let all = json["linux"]["namespaces"].as_array_mut().unwrap();
    for (kind, path) in edits {
        all.retain(|namespace| namespace["type"] != *kind);
        if let Some(path) = path {
            all.push(serde_json::json!({"type": kind, "path": path}));
        }
    }
    json.as_object_mut().unwrap().remove("hostname");
    serde_json::from_value(json).unwrap()
}

fn link(pid: i32, name: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display().to_string()
}

fn namespaces_of_another_cell_are_joined(bed: &Bed) {
    let driver = bed.driver();
    let other = start(&driver, &script("sleep 100"));
    let pid = other.cell().pid();
    let kinds = [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup")];
    let edits = kinds.map(|(kind, name)| (kind, Some(format!("/proc/{pid}/ns/{name}"))));
    let command = "for n in net ipc uts cgroup pid; do readlink /proc/self/ns/$n; done; echo $$";
    let made = Made::of(&driver, edited(command, &edits));
    let (exit, out) = end(made.launch(Place::default()).unwrap());
    assert_eq!(exit, Exit::Code(0), "{out}");
    let seen: Vec<_> = out.lines().collect();
    assert_eq!(seen[..4], kinds.map(|(_, name)| link(pid, name)));
    assert_ne!(seen[4], link(pid, "pid"));
    assert_eq!(seen[5], "1");
    made.close();
    other.close().unwrap();
}

fn processes_of_another_cell_are_seen_and_outlived(bed: &Bed) {
    let driver = bed.driver();
    let other = start(&driver, &script("exec sleep 4711"));
    let pid = other.cell().pid();
    let join = [("pid", Some(format!("/proc/{pid}/ns/pid")))];
    let command = "test $$ != 1 && ps -o args | grep -c '[s]leep 4711'; readlink /proc/self/ns/pid";
    let made = Made::of(&driver, edited(command, &join));
    let (exit, out) = end(made.launch(Place::default()).unwrap());
    assert_eq!((exit, out), (Exit::Code(0), format!("1\n{}\n", link(pid, "pid"))));
    made.close();
    assert!(!other.cell().has_ended());
    other.close().unwrap();
}

/// A cell that others join, with these ids of its own.
fn pod(driver: &Instance) -> Running {
    let mut config = script("exec sleep 4711");
    config.init = false;
    config.upper = Upper::ReadOnly;
    config.user_namespace = UserNamespace::Range(IdRange::new(300_000, 65_536).unwrap());
    start(driver, &config)
}

fn a_user_namespace_is_joined_and_owns_what_is_made(bed: &Bed) {
    let (driver, dir) = (bed.driver(), dir(bed, "latch"));
    let other = pod(&driver);
    let pid = other.cell().pid();
    let join = [("user", Some(format!("/proc/{pid}/ns/user")))];
    let command = "readlink /proc/self/ns/user; id -u; cat /proc/self/uid_map; echo $$; ulimit -Hn
        hostname renamed && ip link set lo down && mount -t tmpfs none /tmp && hostname
        exec sleep 1000";
    let mut json = serde_json::to_value(edited(command, &join)).unwrap();
    json["hostname"] = "joined".into();
    json["linux"].as_object_mut().unwrap().remove("seccomp");
    for set in ["bounding", "effective", "permitted"] {
        let held = json["process"]["capabilities"][set].as_array_mut().unwrap();
        held.extend(["CAP_SYS_ADMIN".into(), "CAP_NET_ADMIN".into()]);
    }
    json["process"]["rlimits"] =
        serde_json::json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}]);
    let made = Made::of(&driver, serde_json::from_value(json).unwrap());
    let place = Place { latch: Some(Latch::create(&dir).unwrap()), ..Place::default() };
    let (launched, mut out) = made.launch(place).unwrap();
    let inside = launched.cell.pid();
    for name in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        assert_ne!(link(inside, name), link(pid, name), "{name}");
    }
    let status = std::fs::read_to_string(format!("/proc/{inside}/status")).unwrap();
    assert!(status.contains("\nUid:\t300000\t300000\t300000\t300000\n"), "{status}");
    Latch::release(&dir).unwrap();
    let mut text = [0; 4096];
    let mut said = String::new();
    while said.lines().count() < 6 {
        let count = out.read(&mut text).unwrap();
        assert!(count > 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&text[..count]));
    }
    let said: Vec<_> = said.lines().map(str::trim).collect();
    assert_eq!(said[0], link(pid, "user"), "{said:?}");
    assert_eq!(said[1], "0", "{said:?}");
    assert_eq!(said[2].split_whitespace().collect::<Vec<_>>(), ["0", "300000", "65536"]);
    assert_eq!(said[3..], ["1", "99", "renamed"], "{said:?}");
    launched.cell.kill().unwrap();
    assert!(launched.cell.wait(None).unwrap().unwrap().is_kill());
    made.close();
    other.close().unwrap();
}

fn all_namespaces_of_a_pod_are_joined(bed: &Bed) {
    let driver = bed.driver();
    let other = pod(&driver);
    let pid = other.cell().pid();
    let names = ["user", "net", "ipc", "uts", "pid"];
    let kinds = ["user", "network", "ipc", "uts", "pid"];
    let edits: Vec<_> = kinds
        .iter()
        .zip(names)
        .map(|(kind, name)| (*kind, Some(format!("/proc/{pid}/ns/{name}"))))
        .collect();
    let command = "for n in user net ipc uts pid; do readlink /proc/self/ns/$n; done
        test $$ != 1 && ps -o args | grep -c '[s]leep 4711'; id -u; echo x >/dev/null && echo wrote";
    for maps in [None, Some((300_000, 65_536)), Some((0, 1))] {
        let mut json = serde_json::to_value(edited(command, &edits)).unwrap();
        if let Some((first, count)) = maps {
            let map = serde_json::json!([{"containerID": 0, "hostID": first, "size": count}]);
            json["linux"]["uidMappings"] = map.clone();
            json["linux"]["gidMappings"] = map;
        }
        let made = Made::of(&driver, serde_json::from_value(json).unwrap());
        let (exit, out) = end(made.launch(Place::default()).unwrap());
        let expected = names.map(|name| link(pid, name)).join("\n") + "\n1\n0\nwrote\n";
        assert_eq!((exit, out), (Exit::Code(0), expected), "{maps:?}");
        made.close();
    }
    assert!(!other.cell().has_ended());
    other.close().unwrap();
}

fn ids_that_the_joined_namespace_has_not_are_refused(bed: &Bed) {
    let driver = bed.driver();
    let other = pod(&driver);
    let path = format!("/proc/{}/ns/user", other.cell().pid());
    let mut json = serde_json::to_value(edited("true", &[("user", Some(path))])).unwrap();
    let map = |first: u32| serde_json::json!([{"containerID": 0, "hostID": first, "size": 65_536}]);
    json["linux"]["uidMappings"] = map(300_000);
    json["linux"]["gidMappings"] = map(400_000);
    let mut beyond = json.clone();
    beyond["linux"]["gidMappings"] = map(300_000);
    beyond["process"]["user"] = serde_json::json!({"uid": 70_000, "gid": 0});
    for (json, refusal) in [
        (
            json,
            "linux.gidMappings: are not those of the user namespace that is joined (0 300000 65536)",
        ),
        (beyond, "process.user: user 70000 is nobody in linux.uidMappings"),
    ] {
        let made = Made::of(&driver, serde_json::from_value(json).unwrap());
        let error = made.launch(Place::default()).unwrap_err().to_string();
        assert!(error.contains(refusal), "{error}");
        made.close();
    }
    other.close().unwrap();
}

fn the_hosts_processes_are_seen_and_the_cgroup_ends_the_cell(bed: &Bed) {
    let (driver, dir) = (bed.driver(), dir(bed, "latch"));
    let command = "readlink /proc/self/ns/pid; sleep 1000 & exit 4";
    let made = Made::of(&driver, edited(command, &[("pid", None)]));
    let place = Place { latch: Some(Latch::create(&dir).unwrap()), ..Place::default() };
    let (launched, out) = made.launch(place).unwrap();
    Latch::release(&dir).unwrap();
    let exit = launched.cell.wait(None).unwrap().unwrap();
    assert_eq!(exit, Exit::Code(4));
    // What it left running is still in its cgroup, and goes with it.
    assert!(made.cgroup().is_populated().unwrap());
    made.cgroup().kill().unwrap();
    let text = std::io::read_to_string(out).unwrap();
    assert_eq!(text, format!("{}\n", link(std::process::id() as i32, "pid")));
    made.close();
}

fn what_is_no_such_namespace_is_refused(bed: &Bed) {
    let driver = bed.driver();
    let fifo = bed.path("fifo");
    std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    for (kind, path, refusal) in [
        ("network", "/proc/self/ns/uts", "is no namespace of this kind"),
        ("ipc", "/dev/null", "is no namespace of this kind"),
        ("uts", fifo.to_str().unwrap(), "is no namespace of this kind"),
        ("pid", "/proc/self/ns/nothing", "namespace \"/proc/self/ns/nothing\""),
        ("user", "/proc/self/ns/net", "is no namespace of this kind"),
        ("user", "/proc/self/ns/user", "is the host's own: leave it out"),
        ("mount", "/proc/self/ns/mnt", "mount is not supported with a path to join"),
    ] {
        let made = Made::of(&driver, edited("true", &[(kind, Some(path.to_owned()))]));
        let error = made.launch(Place::default()).unwrap_err().to_string();
        assert!(error.contains(refusal), "{kind}: {error}");
        made.close();
    }
}

fn clocks_can_be_the_cells_own(bed: &Bed) {
    let driver = bed.driver();
    let mut json =
        serde_json::to_value(edited("cut -d. -f1 /proc/uptime; readlink /proc/self/ns/time", &[]))
            .unwrap();
    json["linux"]["namespaces"].as_array_mut().unwrap().push(serde_json::json!({"type": "time"}));
    json["linux"]["timeOffsets"] = serde_json::json!({"boottime": {"secs": 100_000_000}});
    let made = Made::of(&driver, serde_json::from_value(json).unwrap());
    let (exit, out) = end(made.launch(Place::default()).unwrap());
    assert_eq!(exit, Exit::Code(0), "{out}");
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].parse::<u64>().unwrap() > 100_000_000, "{out}");
    assert_ne!(lines[1], link(std::process::id() as i32, "time"));
    made.close();
}

fn this_process_stays_where_it_was(bed: &Bed) {
    let names = ["net", "uts", "ipc", "pid_for_children", "mnt"];
    let here = || names.map(|name| std::fs::read_link(format!("/proc/thread-self/ns/{name}")));
    let before = here().map(Result::unwrap);
    processes_of_another_cell_are_seen_and_outlived(bed);
    assert_eq!(here().map(Result::unwrap), before);
}
