//! Hooks inside the container: whose programs they are, what they may do, what they leave.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::hooks::{config, create, lines, sh};
use super::scene::{Scene, complaint};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(the_hosts_program_runs_before_the_root_is_entered, Cells, Busybox),
        test!(the_images_program_runs_and_its_links_lead_nowhere_else, Cells, Busybox),
        test!(a_hook_of_the_images_has_the_tasks_rights_and_nothing_more, Cells, Busybox),
        test!(a_hook_of_the_hosts_changes_the_root_as_device_hooks_do, Cells, Busybox),
        test!(hooks_run_in_a_container_with_ids_of_its_own, Cells, Busybox),
        test!(hooks_run_beside_the_hosts_processes, Cells, Busybox),
        test!(nothing_of_the_hosts_goes_on_in_the_root, Cells, Busybox),
        test!(what_a_hook_of_the_images_leaves_is_the_containers, Cells, Busybox),
    ]
}

/// Whatever an image has at the same path, and whatever its links say.
fn the_hosts_program_runs_before_the_root_is_entered(bed: &Bed) {
    let oci = Scene::new(bed);
    let tool = bed.path("tool");
    let told = bed.path("told/log");
    let script = |who: &str| format!("#!/bin/sh\necho {who} >> {}\n", told.display());
    let in_image = format!("mkdir -p .{}", tool.parent().unwrap().display());
    let (mut config, _) = config(&oci, bed, &in_image, "true");
    let root = PathBuf::from(config["root"]["path"].as_str().unwrap());
    let others = root.join(tool.strip_prefix("/").unwrap());
    for (path, who) in [(&tool, "host"), (&others, "image")] {
        std::fs::write(path, script(who)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let linked = bed.path("linked");
    std::os::unix::fs::symlink(&tool, &linked).unwrap();
    config["hooks"]["createContainer"] = json!([{ "path": tool }, { "path": linked }]);
    config["hooks"]["startContainer"] = json!([{ "path": tool }]);
    oci.create_from("c1", config.clone());
    assert_eq!(lines(&told), ["host", "host"]);
    oci.call(&["start", "c1"]).ok();
    assert_eq!(lines(&told), ["host", "host", "image"]);
    oci.delete("c1");
    // One that is in the image alone is not there yet.
    config["hooks"]["createContainer"] = json!([{ "path": "/only/here" }]);
    std::fs::create_dir(root.join("only")).unwrap();
    std::fs::rename(&others, root.join("only/here")).unwrap();
    let said = complaint(&create(&oci, config));
    assert!(said.contains("createContainer hook #0: cannot execute /only/here: No such"), "{said}");
}

fn the_images_program_runs_and_its_links_lead_nowhere_else(bed: &Bed) {
    let oci = Scene::new(bed);
    let canary = bed.path("canary");
    let tool = bed.path("tool");
    std::fs::write(&tool, format!("#!/bin/sh\necho reached > {}\n", canary.display())).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&tool, mode).unwrap();
    let up = "../".repeat(30);
    let mut ways: Vec<String> = ["", &up, "/proc/1/root", "/proc/1/cwd", "/proc/self/root"]
        .map(|way| format!("{way}{}", tool.display()))
        .to_vec();
    // What the init has open, whatever that is: no directory of the host's, and no whole /proc.
    for number in 3..24 {
        ways.push(format!("/proc/1/fd/{number}{}", tool.display()));
        ways.push(format!("/proc/self/fd/{number}"));
        ways.push(format!("/proc/self/fd/{number}{}", tool.display()));
        ways.push(format!("/proc/self/fd/{number}/self/root{}", tool.display()));
    }
    // The init itself, executed again, knows no plan.
    ways.push("/proc/self/exe".to_owned());
    let mut links = String::new();
    for (number, way) in ways.iter().enumerate() {
        links += &format!("ln -s {way} hook{number}; ");
    }
    let (mut config, _) = config(&oci, bed, &links, "true");
    for (number, way) in ways.iter().enumerate() {
        config["hooks"]["startContainer"] = json!([{ "path": format!("/hook{number}") }]);
        // Without a device of the host's that mounts it, it isn't even there.
        oci.create_from("c1", config.clone());
        let ran = oci.call(&["start", "c1"]);
        let said = complaint(&ran);
        assert!(said.contains("startContainer hook #0: "), "{way}: {said}");
        assert!(!canary.exists(), "{way}");
        oci.delete("c1");
    }
}

fn a_hook_of_the_images_has_the_tasks_rights_and_nothing_more(bed: &Bed) {
    let oci = Scene::new(bed);
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            { "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
            { "names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO" },
        ],
    });
    // With and without the right to load a filter by itself, which is lent for that.
    for gains_nothing in [true, false] {
        let (mut config, told) = config(&oci, bed, "true", "cat /proc/self/status > $0/task");
        std::fs::set_permissions(&told, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        config["process"]["args"].as_array_mut().unwrap().push(json!(told));
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        config["process"]["noNewPrivileges"] = json!(gains_nothing);
        config["process"]["capabilities"].as_object_mut().unwrap().remove("ambient");
        config["linux"]["seccomp"] = profile.clone();
        let script = format!(
            "cd {}; cat /proc/self/status > hook; cat /proc/1/status > init; \
             ls /proc/self/fd > open; mkdir made && exit 9; true",
            told.display()
        );
        config["hooks"]["startContainer"] = json!([sh(&script)]);
        oci.create_from("c1", config);
        oci.call(&["start", "c1"]).ok();
        oci.until("c1", "stopped");
        oci.delete("c1");
        let of = |file: &str, key: &str| {
            let line = lines(&told.join(file)).into_iter().find(|line| line.starts_with(key));
            line.unwrap().split_once('\t').unwrap().1.to_owned()
        };
        for key in ["Uid:", "Gid:", "Groups:", "NoNewPrivs:", "Seccomp:"] {
            assert_eq!(of("hook", key), of("task", key), "{key}");
            assert_eq!(of("init", key), of("task", key), "{key}");
        }
        for key in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(of("hook", key), of("task", key), "{key}");
        }
        // What was lent has been given back before a program of the image's ran.
        let permitted = u64::from_str_radix(&of("init", "CapPrm:"), 16).unwrap();
        assert_eq!(permitted >> 21 & 1, 0, "{permitted:x}");
        assert_eq!(of("hook", "Seccomp:"), "2");
        // Its streams, and the directory that `ls` reads.
        assert_eq!(lines(&told.join("open")), ["0", "1", "2", "3"]);
        std::fs::remove_dir_all(&told).unwrap();
    }
}

/// The root stands at its own path with all its mounts, the host's files beside it, and may be written
/// to, though the task may not.
fn a_hook_of_the_hosts_changes_the_root_as_device_hooks_do(bed: &Bed) {
    let oci = Scene::new(bed);
    let look = "cat /etc/cache > $0/cache; grep ' /extra ' /proc/mounts > $0/mounts; \
                touch /etc/mine 2> $0/refused; cat /tool > $0/tool";
    let (mut config, told) = config(&oci, bed, "mkdir -p extra etc; : > tool", look);
    config["process"]["args"].as_array_mut().unwrap().push(json!(told));
    config["root"]["readonly"] = json!(true);
    std::fs::write(bed.path("of-the-host"), "a library\n").unwrap();
    let script = format!(
        r#"bundle=$(sed 's/.*"bundle":"\([^"]*\)".*/\1/')
        root=$(sed 's/.*"root":{{[^}}]*"path":"\([^"]*\)".*/\1/' $bundle/config.json)
        test "$(pwd)" = "$root" && test -e $root/proc/self && test -c $root/dev/null
        echo made > $root/etc/cache; ls -l $root/etc/cache > {told}/mode
        mount -t tmpfs from-a-hook $root/extra
        mount --bind {host} $root/tool"#,
        told = told.display(),
        host = bed.path("of-the-host").display(),
    );
    config["hooks"]["createContainer"] = json!([sh(&script)]);
    oci.create_from("c1", config);
    oci.call(&["start", "c1"]).ok();
    oci.until("c1", "stopped");
    oci.delete("c1");
    assert_eq!(lines(&told.join("cache")), ["made"]);
    assert!(lines(&told.join("mode"))[0].starts_with("-rw-r--r--"), "its umask is a sane one");
    assert!(lines(&told.join("mounts"))[0].starts_with("from-a-hook /extra tmpfs"));
    assert_eq!(lines(&told.join("tool")), ["a library"]);
    assert!(lines(&told.join("refused"))[0].contains("Read-only"));
    assert!(!std::fs::read_to_string("/proc/mounts").unwrap().contains("from-a-hook"));
}

fn hooks_run_in_a_container_with_ids_of_its_own(bed: &Bed) {
    let oci = Scene::new(bed);
    let (mut config, told) = config(&oci, bed, "chown -R 100000:100000 .", "true");
    for dir in [&bed.path(""), &told] {
        std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    let root = PathBuf::from(config["root"]["path"].as_str().unwrap());
    std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
    let script = format!("id -u >> {0}/log; cat /proc/self/uid_map >> {0}/log", told.display());
    for name in ["createContainer", "startContainer"] {
        config["hooks"][name] = json!([sh(&script)]);
    }
    oci.create_from("c1", config);
    oci.call(&["start", "c1"]).ok();
    oci.until("c1", "stopped");
    oci.delete("c1");
    let words: Vec<String> = lines(&told.join("log"))
        .iter()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(words, ["0", "0 100000 65536", "0", "0 100000 65536"]);
}

/// There the process has its number on the host, and nothing but the cgroup ends what is left.
fn hooks_run_beside_the_hosts_processes(bed: &Bed) {
    let oci = Scene::new(bed);
    let (mut config, told) = config(&oci, bed, "true", "true");
    let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    let tell = sh(&format!("cat >> {0}; echo >> {0}", told.join("log").display()));
    config["hooks"] = json!({ "createContainer": [tell], "startContainer": [tell] });
    oci.create_from("c1", config.clone());
    let pid = oci.state("c1")["pid"].clone();
    oci.call(&["start", "c1"]).ok();
    oci.delete("c1");
    let states = lines(&told.join("log"));
    assert_eq!(states.len(), 2);
    for state in states {
        assert_eq!(serde_json::from_str::<Value>(&state).unwrap()["pid"], pid);
    }
    config["hooks"]["createContainer"] = json!([sh("sleep 1000 & exit 1")]);
    let said = complaint(&create(&oci, config));
    assert!(said.contains("createContainer hook #0: exit status 1"), "{said}");
}

/// The kernel moves all processes along to the new root. One of the host's, with the host's rights, must
/// not be among them: it would execute what the image has.
fn nothing_of_the_hosts_goes_on_in_the_root(bed: &Bed) {
    let oci = Scene::new(bed);
    let (mut config, told) = config(&oci, bed, "true", "while :; do sleep 0.05; done");
    let log = told.join("log");
    let left = format!("setsid sh -c 'while :; do :; done; echo gone on >> {}' &", log.display());
    config["hooks"]["createContainer"] = json!([sh(&left), sh(&format!("{left} exit 0"))]);
    oci.create_from("c1", config.clone());
    oci.call(&["start", "c1"]).ok();
    let processes = oci.call(&["exec", "c1", "ps", "-o", "args"]).ok();
    assert!(!processes.contains("gone on"), "{processes}");
    oci.delete("c1");
    // Among processes of others nothing tells them apart.
    let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    let said = complaint(&create(&oci, config.clone()));
    assert!(said.contains("createContainer hook #0: left a process running"), "{said}");
    // What ends by itself may.
    config["hooks"]["createContainer"] = json!([sh("sleep 0.1 &")]);
    oci.create_from("c1", config);
    oci.delete("c1");
}

fn what_a_hook_of_the_images_leaves_is_the_containers(bed: &Bed) {
    let oci = Scene::new(bed);
    let (mut config, told) = config(&oci, bed, "true", "while :; do sleep 0.05; done");
    let left = told.join("log");
    config["hooks"]["startContainer"] =
        json!([sh(&format!("sleep 1000 & echo $! > {}", left.display()))]);
    oci.create_from("c1", config);
    oci.call(&["start", "c1"]).ok();
    let number = lines(&left)[0].clone();
    let processes = oci.call(&["exec", "c1", "ps", "-o", "pid,args"]).ok();
    let found =
        processes.lines().any(|line| line.split_whitespace().next() == Some(number.as_str()));
    assert!(found, "{number}: {processes}");
    oci.delete("c1");
}
