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
        test!(hooks_that_make_no_sense_are_refused_by_name, Cells, Busybox),
    ]
}

const POINTS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

pub fn sh(script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-ec", script], "env": ["PATH=/bin:/usr/bin"] })
}

/// A container on a root of its own that sees the directory "told" of the bed's at the same path.
pub fn config(oci: &Scene, bed: &Bed, prepare: &str, script: &str) -> (Value, PathBuf) {
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
pub fn create(oci: &Scene, config: Value) -> Ran {
    let bundle = oci.bundle("c1", config);
    let errors = bundle.join("errors");
    let mut command = oci.command(&["create", "--bundle", bundle.to_str().unwrap(), "c1"]);
    let file = std::fs::File::create(&errors).unwrap();
    let status = command.stdout(std::process::Stdio::null()).stderr(file).status().unwrap();
    let err = std::fs::read_to_string(errors).unwrap();
    Ran { code: status.code(), out: String::new(), err }
}

pub fn lines(told: &Path) -> Vec<String> {
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

fn hooks_that_make_no_sense_are_refused_by_name(bed: &Bed) {
    let oci = Scene::new(bed);
    let (whole, told) = config(&oci, bed, "true", "true");
    let told = told.join("log");
    for name in ["createContainer", "startContainer"] {
        for (hook, why) in [
            (json!({ "path": "bin/sh" }), "path: \"bin/sh\" is not an absolute path"),
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
