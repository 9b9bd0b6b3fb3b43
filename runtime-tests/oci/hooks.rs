//! Hooks: who is told of a container's life, where and as whom, and what becomes of one that fails.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::scene::{Scene, complaint};
use crate::bed::{Bed, Ran};
use crate::life::image;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(hooks_are_told_of_the_life_in_order, Cells, Busybox),
        test!(all_six_kinds_run_where_runc_runs_them, Cells, Busybox, Runc),
        test!(a_hook_that_fails_ends_the_container_and_no_later_one_runs, Cells, Busybox),
        test!(a_hook_that_takes_too_long_is_killed, Cells, Busybox),
        test!(warnings_hold_no_later_hook_up, Cells, Busybox),
        test!(poststop_hooks_run_after_a_forced_end, Cells, Busybox),
        test!(the_hosts_program_runs_before_the_root_is_entered, Cells, Busybox),
        test!(the_images_program_runs_and_its_links_lead_nowhere_else, Cells, Busybox),
        test!(a_hook_of_the_images_has_the_tasks_rights_and_nothing_more, Cells, Busybox),
        test!(a_hook_of_the_hosts_changes_the_root_as_device_hooks_do, Cells, Busybox),
        test!(hooks_run_in_a_container_with_ids_of_its_own, Cells, Busybox),
        test!(hooks_run_beside_the_hosts_processes, Cells, Busybox),
        test!(what_a_hook_leaves_running_ends_with_the_container, Cells, Busybox),
        test!(hooks_that_make_no_sense_are_refused_by_name, Cells, Busybox),
    ]
}

const POINTS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

fn sh(script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-ec", script], "env": ["PATH=/bin:/usr/bin"] })
}

/// A container on a root of its own that sees the directory "told" of the bed's at the same path.
fn config(oci: &Scene, bed: &Bed, prepare: &str, script: &str) -> (Value, PathBuf) {
    let told = bed.path("told");
    std::fs::create_dir_all(&told).unwrap();
    let mut config = oci.config(script);
    config["root"] = json!({ "path": image(bed, prepare), "readonly": false });
    config["mounts"].as_array_mut().unwrap().push(
        json!({ "destination": told, "source": told, "type": "bind", "options": ["rbind", "rw"] }),
    );
    (config, told)
}

/// Calls `create`, its container's streams the null device.
fn create(oci: &Scene, config: Value) -> Ran {
    let bundle = oci.bundle("c1", config);
    let errors = bundle.join("errors");
    let mut command = oci.command(&["create", "--bundle", bundle.to_str().unwrap(), "c1"]);
    let file = std::fs::File::create(&errors).unwrap();
    let status = command.stdout(std::process::Stdio::null()).stderr(file).status().unwrap();
    let err = std::fs::read_to_string(errors).unwrap();
    Ran { code: status.code(), out: String::new(), err }
}

fn lines(told: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(told).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn hooks_are_told_of_the_life_in_order(bed: &Bed) {
    let oci = Scene::new(bed);
    let (mut config, told) = config(&oci, bed, "true", "exit 4");
    let told = told.join("log");
    for name in POINTS {
        let script = format!("{{ printf '{name} '; cat; echo; }} >> {}", told.display());
        config["hooks"][name] = json!([sh(&script)]);
    }
    config["annotations"] = json!({ "of": "the caller" });
    let bundle = oci.bundle("c1", config.clone());
    let ran = oci.call(&["run", "--bundle", bundle.to_str().unwrap(), "c1"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    oci.create_from("c1", config);
    oci.call(&["start", "c1"]).ok();
    oci.until("c1", "stopped");
    oci.call(&["delete", "c1"]).ok();
    let lines = lines(&told);
    let told: Vec<(&str, Value)> = lines
        .iter()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, state)| (name, serde_json::from_str(state).unwrap()))
        .collect();
    let names: Vec<_> = told.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, [POINTS, POINTS].concat());
    for (name, state) in told {
        let status = match name {
            "startContainer" => "created",
            "poststart" => "running",
            "poststop" => "stopped",
            _ => "creating",
        };
        assert_eq!((&state["id"], &state["status"]), (&json!("c1"), &json!(status)), "{name}");
        assert_eq!(state["bundle"], json!(bundle), "{name}");
        assert_eq!(state["annotations"]["of"], json!("the caller"), "{name}");
        match name {
            "poststop" => assert!(state["pid"].is_null()),
            // The number that the process has for the hook.
            "createContainer" | "startContainer" => assert_eq!(state["pid"], json!(1)),
            _ => assert!(state["pid"].as_i64().unwrap() > 1),
        }
    }
}

/// Says where and as what it runs. Numbers that differ between two runs are left out.
fn witness(name: &str, told: &Path) -> Value {
    let script = format!(
        r#"exec >> {told}/log
        echo "== {name} $0 $*"
        state=$(cat)
        for key in status pid; do echo "$key $(echo "$state" | sed "s/.*\"$key\":\"*\([a-z0-9]*\).*/\1/")"; done
        for kind in mnt pid net uts ipc cgroup user; do echo "$kind $(readlink /proc/self/ns/$kind)"; done
        echo "cwd $(pwd)"
        echo "umask $(umask)"
        grep -E '^(Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status
        echo open $(ls /proc/self/fd)
        env | grep -vE '^(PWD|SHLVL|OLDPWD)='"#,
        told = told.display()
    );
    json!({ "path": "/bin/sh", "args": ["sh", "-ec", script, "the-name", "more"],
        "env": ["PATH=/bin:/usr/bin", format!("OF={name}")], "timeout": 20 })
}

/// What every hook of a life under one runtime told, in order.
fn lived(bed: &Bed, oci: &Scene, rest: Value) -> Vec<Vec<String>> {
    let (mut config, told) = config(oci, bed, "true", "true");
    std::fs::write(told.join("log"), "").unwrap();
    let anybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(told.join("log"), anybody).unwrap();
    for (key, value) in rest.as_object().unwrap() {
        config["process"][key] = value.clone();
    }
    for name in POINTS {
        config["hooks"][name] = json!([witness(name, &told)]);
    }
    let root = config["root"]["path"].as_str().unwrap().to_owned();
    let bundle = oci.bundle("c1", config.clone()).display().to_string();
    oci.create_from("c1", config);
    let pid = oci.state("c1")["pid"].to_string();
    let kinds = ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"];
    let of = |pid: &str| {
        let link = |kind| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        kinds.map(|kind| link(kind).to_string_lossy().into_owned())
    };
    let (ours, theirs) = (of("self"), of(&pid));
    oci.call(&["start", "c1"]).ok();
    oci.until("c1", "stopped");
    oci.delete("c1");
    let here = std::env::current_dir().unwrap().display().to_string();
    let named = |line: String| {
        let (key, value) = line.split_once(' ').unwrap_or((&line, ""));
        match key {
            _ if ours.iter().any(|link| link == value) => format!("{key} the host's"),
            _ if theirs.iter().any(|link| link == value) => format!("{key} the container's"),
            "pid" if value == pid => "pid on the host".to_owned(),
            "cwd" if value == bundle => "cwd the bundle".to_owned(),
            "cwd" if value == here => "cwd the caller's".to_owned(),
            "cwd" if value == root => "cwd the root".to_owned(),
            _ => line,
        }
    };
    let all: Vec<_> = lines(&told.join("log")).into_iter().map(named).collect();
    std::fs::remove_file(told.join("log")).unwrap();
    all.chunk_by(|_, next| !next.starts_with("== ")).map(<[_]>::to_vec).collect()
}

fn all_six_kinds_run_where_runc_runs_them(bed: &Bed) {
    for rest in [
        json!({}),
        json!({ "user": { "uid": 1000, "gid": 1001, "additionalGids": [7], "umask": 0o27 },
            "cwd": "/bin", "noNewPrivileges": true }),
    ] {
        let mut ours = lived(bed, &Scene::new(bed), rest.clone());
        let mut runcs = lived(bed, &Scene::runc(bed), rest);
        let name = |said: &Vec<String>| said[0].split(' ').nth(1).unwrap().to_owned();
        assert_eq!(ours.iter().map(name).collect::<Vec<_>>(), POINTS);
        // It runs these when a container is made.
        let early = runcs.remove(3);
        assert_eq!(name(&early), "poststart");
        runcs.insert(4, early);
        // Streams, and the directory that `ls` reads. Under runc there may be more.
        assert!(ours.iter().all(|said| said.iter().any(|line| line == "open 0 1 2 3")), "{ours:?}");
        for said in [&mut ours, &mut runcs] {
            said.iter_mut().for_each(|said| said.retain(|line| !line.starts_with("open")));
            said[4].retain(|line| !line.starts_with("status") && !line.starts_with("cwd"));
            // That of one without a process says nothing.
            said[5].retain(|line| !line.starts_with("pid {") && !line.starts_with("pid /"));
            said[5].retain(|line| !line.starts_with("pid") || line.contains("host's"));
        }
        for (ours, runcs) in ours.iter().zip(&runcs) {
            assert_eq!(ours, runcs);
        }
        let says = |at: usize, line: &str| {
            assert!(ours[at].iter().any(|said| said == line), "{line}: {:?}", ours[at]);
        };
        says(2, "mnt the container's");
        says(2, "pid 1");
        says(2, "cwd the root");
        says(3, "net the container's");
        says(1, "net the host's");
    }
}

fn a_hook_that_fails_ends_the_container_and_no_later_one_runs(bed: &Bed) {
    let oci = Scene::new(bed);
    for (at, failing) in POINTS.iter().enumerate().take(4) {
        let (mut config, told) = config(&oci, bed, "true", "echo task >> $0");
        let told = told.join(failing);
        for name in POINTS {
            config["hooks"][name] = json!([sh(&format!("echo {name} >> {}", told.display()))]);
        }
        config["process"]["args"].as_array_mut().unwrap().push(json!(told));
        let list = config["hooks"][failing].as_array_mut().unwrap();
        list.push(sh("echo no luck >&2; exit 3"));
        list.push(sh(&format!("echo never >> {}", told.display())));
        let ran = match *failing {
            "startContainer" => {
                oci.create_from("c1", config);
                let ran = oci.call(&["start", "c1"]);
                oci.until("c1", "stopped");
                oci.delete("c1");
                ran
            }
            _ => create(&oci, config),
        };
        let text = format!(
            "unable to start container process: error running {failing} hook #1: exit status 3, \
             stderr: no luck"
        );
        assert_eq!(complaint(&ran), text);
        assert_eq!(oci.call(&["list", "-q"]).ok(), "");
        // What has begun is told of its end.
        assert_eq!(lines(&told), [&POINTS[..=at], &["poststop"]].concat());
    }
}

fn a_hook_that_takes_too_long_is_killed(bed: &Bed) {
    let oci = Scene::new(bed);
    for late in ["prestart", "createRuntime", "createContainer", "startContainer"] {
        let (mut config, told) = config(&oci, bed, "true", "true");
        let mut hook =
            sh(&format!("echo $$ >> {}; echo x; exec sleep 1000", told.join(late).display()));
        hook["timeout"] = json!(1);
        config["hooks"][late] = json!([hook]);
        let ran = match late {
            "startContainer" => {
                oci.create_from("c1", config);
                let ran = oci.call(&["start", "c1"]);
                oci.delete("c1");
                ran
            }
            _ => create(&oci, config),
        };
        let text = format!("{late} hook #0: timed out after 1 s, stderr: x");
        assert!(complaint(&ran).ends_with(&text), "{ran:?}");
        assert_eq!(lines(&told.join(late)).len(), 1);
        assert_eq!(oci.call(&["list", "-q"]).ok(), "");
    }
}

fn warnings_hold_no_later_hook_up(bed: &Bed) {
    let oci = Scene::new(bed);
    let (mut config, told) = config(&oci, bed, "true", "while :; do sleep 0.05; done");
    let told = told.join("log");
    for name in ["poststart", "poststop"] {
        let mut late = sh("exec sleep 1000");
        late["timeout"] = json!(1);
        let last = sh(&format!("echo {name} >> {}", told.display()));
        config["hooks"][name] = json!([sh("echo no luck >&2; exit 3"), late, last]);
    }
    oci.create_from("c1", config);
    for (verb, name) in [("start", "poststart"), ("delete", "poststop")] {
        let words = if verb == "start" { vec![verb, "c1"] } else { vec![verb, "--force", "c1"] };
        let ran = oci.call(&words);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for text in ["hook #0: exit status 3, stderr: no luck", "hook #1: timed out after 1 s"] {
            let warning = ran.err.lines().find(|line| line.contains(&format!("{name} {text}")));
            assert!(warning.is_some_and(|line| line.contains("level=warning")), "{ran:?}");
        }
    }
    assert_eq!(lines(&told), ["poststart", "poststop"]);
}

fn poststop_hooks_run_after_a_forced_end(bed: &Bed) {
    let oci = Scene::new(bed);
    let (mut config, told) = config(&oci, bed, "true", "while :; do sleep 0.05; done");
    let told = told.join("log");
    config["hooks"]["poststop"] = json!([sh(&format!("cat >> {0}; echo >> {0}", told.display()))]);
    // One that never ran, and one that runs.
    for started in [false, true] {
        oci.create_from("c1", config.clone());
        if started {
            oci.call(&["start", "c1"]).ok();
        }
        oci.delete("c1");
    }
    let told = lines(&told);
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|state| state.contains("\"status\":\"stopped\"")), "{told:?}");
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

fn what_a_hook_leaves_running_ends_with_the_container(bed: &Bed) {
    let oci = Scene::new(bed);
    for name in ["createContainer", "startContainer"] {
        let (mut config, told) = config(&oci, bed, "true", "while :; do sleep 0.05; done");
        let left = told.join(name);
        let script = format!("sleep 1000 & echo $! > {}", left.display());
        config["hooks"][name] = json!([sh(&script)]);
        oci.create_from("c1", config);
        oci.call(&["start", "c1"]).ok();
        // It is a process of the container's.
        let number = lines(&left)[0].clone();
        let seen = oci.call(&["exec", "c1", "cat", &format!("/proc/{number}/cmdline")]).ok();
        assert_eq!(seen, "sleep\u{0}1000\u{0}");
        oci.delete("c1");
    }
}

fn hooks_that_make_no_sense_are_refused_by_name(bed: &Bed) {
    let oci = Scene::new(bed);
    let (whole, told) = config(&oci, bed, "true", "true");
    let told = told.join("log");
    for name in ["createContainer", "startContainer"] {
        for (hook, why) in [
            (json!({ "path": "bin/sh" }), "path: bin/sh is not an absolute path"),
            (json!({ "path": "/bin/sh", "timeout": 0 }), "timeout: 0 is not above 0"),
            (json!({ "path": "/bin/sh", "timeout": -1 }), "timeout: -1 is not above 0"),
        ] {
            let mut config = whole.clone();
            // Nothing is begun, so nobody hears of an end.
            let tell = sh(&format!("echo told >> {}", told.display()));
            config["hooks"]["poststop"] = json!([tell]);
            config["hooks"][name] = json!([tell, hook]);
            let said = complaint(&create(&oci, config));
            let text = format!("config.json: hooks.{name}[1].{why}");
            assert!(said.ends_with(&text), "{said}");
        }
    }
    let mut config = whole;
    config["hooks"]["startContainer"] = json!([sh("true")]);
    config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["wait4"], "action": "SCMP_ACT_ERRNO" }],
    });
    let said = complaint(&create(&oci, config));
    let text = "linux.seccomp: refuses wait4, which it takes to run hooks.startContainer";
    assert!(said.ends_with(text), "{said}");
    assert!(!told.exists());
}
