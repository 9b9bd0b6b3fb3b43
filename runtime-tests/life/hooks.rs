//! Hooks of the caller's namespaces, while a cell is made.

use std::path::Path;

use hotcell::bundle::spec;
use hotcell::launch::{Error, Exit, Place};
use hotcell::oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::{Made, end, image, task};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(hooks_find_the_root_and_the_process_and_the_namespaces, Cells, Busybox),
        test!(what_a_hook_mounts_in_the_cell_stays_in_the_cell, Cells, Busybox),
        test!(a_hook_that_fails_ends_the_cell_and_is_told, Cells, Busybox),
        test!(hooks_run_inside_a_cell_that_starts_at_once, Cells, Busybox),
        test!(a_hook_inside_that_fails_ends_the_cell_and_is_told, Cells, Busybox),
        test!(hooks_that_nobody_runs_are_refused, Cells, Busybox),
        test!(nothing_of_the_host_is_left_behind_hooks, Cells, Busybox),
    ]
}

fn with_hooks(root: &Path, command: &str, hooks: Value) -> Spec {
    let mut json = serde_json::to_value(spec(&task(["sh", "-c", command])).unwrap()).unwrap();
    json["hooks"] = hooks;
    json["root"] = json!({"path": root, "readonly": false});
    json["annotations"] = json!({"of": "the caller"});
    serde_json::from_value(json).unwrap()
}

fn sh(script: &str) -> Value {
    let path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    json!({"path": "/bin/sh", "args": ["sh", "-ec", script], "env": [path], "timeout": 20})
}

/// Reads the state, and takes the process out of it.
const STATE: &str = r#"state=$(cat); pid=$(echo "$state" | sed 's/.*"pid":\([0-9]*\).*/\1/')"#;

fn place() -> Place {
    Place { id: Some("the-id".to_owned()), ..Place::default() }
}

fn hooks_find_the_root_and_the_process_and_the_namespaces(bed: &Bed) {
    let (root, seen) = (image(bed, "true"), bed.path("seen"));
    let look = |name: &str| {
        let seen = seen.display();
        sh(&format!(
            "{STATE}; echo {name} $state >> {seen}; readlink /proc/$pid/ns/net >> {seen}; \
             grep -c ' {} ' /proc/$pid/mountinfo >> {seen}; readlink /proc/self/ns/mnt >> {seen}",
            root.display()
        ))
    };
    let hooks = json!({"createRuntime": [look("second")], "prestart": [look("first")]});
    let made = Made::of(&bed.driver(), with_hooks(&root, "readlink /proc/self/ns/net", hooks));
    let (exit, out) = end(made.launch(place()).unwrap());
    assert_eq!(exit, Exit::Code(0), "{out}");
    let seen = std::fs::read_to_string(seen).unwrap();
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines.len(), 8, "{seen}");
    for (at, name) in [(0, "first"), (4, "second")] {
        assert!(lines[at].starts_with(name), "{seen}");
        for part in ["\"id\":\"the-id\"", "\"status\":\"creating\"", "\"of\":\"the caller\""] {
            assert!(lines[at].contains(part), "{seen}");
        }
        assert_eq!(lines[at + 1], out.trim());
        assert_eq!(
            lines[at + 2],
            "1",
            "the root stands at its path in the cell's namespace: {seen}"
        );
        let ours = std::fs::read_link("/proc/self/ns/mnt").unwrap();
        assert_eq!(Path::new(lines[at + 3]), ours);
    }
    made.close();
}

/// As device hooks do: they enter the mount namespace of the process and mount below the root.
fn what_a_hook_mounts_in_the_cell_stays_in_the_cell(bed: &Bed) {
    let root = image(bed, "mkdir extra");
    let enter =
        format!("{STATE}; nsenter -t $pid -m mount -t tmpfs from-a-hook {}/extra", root.display());
    let hooks = json!({"createRuntime": [sh(&enter)]});
    let made = Made::of(&bed.driver(), with_hooks(&root, "grep from-a-hook /proc/mounts", hooks));
    let (exit, out) = end(made.launch(place()).unwrap());
    assert!(out.starts_with("from-a-hook /extra tmpfs"), "{out}");
    assert_eq!(exit, Exit::Code(0));
    made.close();
}

fn a_hook_that_fails_ends_the_cell_and_is_told(bed: &Bed) {
    let root = image(bed, "true");
    let driver = bed.driver();
    let hooks = json!({"prestart": [sh("true"), sh("echo no such network >&2; exit 7")]});
    let made = Made::of(&driver, with_hooks(&root, "true", hooks));
    let error = made.launch(place()).unwrap_err();
    assert!(matches!(error, Error::Hook { .. }));
    let text = "error running prestart hook #1: exit status 7, stderr: no such network";
    assert_eq!(error.to_string(), text);
    assert!(!made.cgroup().is_populated().unwrap());
    made.close();
}

fn hooks_that_nobody_runs_are_refused(bed: &Bed) {
    let root = image(bed, "true");
    let driver = bed.driver();
    let refused = |hooks: Value, place: Place| {
        let made = Made::of(&driver, with_hooks(&root, "true", hooks));
        let error = made.launch(place).unwrap_err().to_string();
        made.close();
        error
    };
    let inside = ["createContainer", "startContainer"];
    for point in ["prestart", "createRuntime", "poststart", "poststop"].into_iter().chain(inside) {
        let error = refused(json!({point: [sh("true")]}), Place::default());
        assert_eq!(error, "config.json: hooks is not supported");
    }
}

/// Without a latch they come right before the command, and an init that stays leaves no place for them.
fn hooks_run_inside_a_cell_that_starts_at_once(bed: &Bed) {
    let root = image(bed, "true");
    let driver = bed.driver();
    let hooks =
        json!({"createContainer": [sh("cat > made")], "startContainer": [sh("cat > /begun")]});
    let spec = with_hooks(&root, "cat /made; echo; cat /begun", hooks);
    let made = Made::of(&driver, spec.clone());
    let (exit, out) = end(made.launch(place()).unwrap());
    assert_eq!(exit, Exit::Code(0), "{out}");
    let states: Vec<Value> =
        out.lines().map(|state| serde_json::from_str(state).unwrap()).collect();
    for (state, status) in states.iter().zip(["creating", "created"]) {
        assert_eq!((&state["status"], &state["pid"]), (&json!(status), &json!(1)));
    }
    assert_eq!(states.len(), 2);
    made.close();
    let mut json = serde_json::to_value(spec).unwrap();
    json["annotations"] = json!({"dev.hotcell.init": "true"});
    let made = Made::of(&driver, serde_json::from_value(json).unwrap());
    let error = made.launch(place()).unwrap_err().to_string();
    assert!(error.ends_with("an init that stays runs no hooks.startContainer"), "{error}");
    made.close();
}

fn a_hook_inside_that_fails_ends_the_cell_and_is_told(bed: &Bed) {
    let root = image(bed, "true");
    let driver = bed.driver();
    for point in ["createContainer", "startContainer"] {
        let hooks = json!({point: [sh("true"), sh("printf '\\033[31mno luck' >&2; exit 7")]});
        let made = Made::of(&driver, with_hooks(&root, "true", hooks));
        let error = made.launch(place()).unwrap_err();
        assert!(matches!(error, Error::Hook { .. }));
        let text =
            format!("error running {point} hook #1: exit status 7, stderr: \u{fffd}[31mno luck");
        assert_eq!(error.to_string(), text);
        assert!(!made.cgroup().is_populated().unwrap());
        made.close();
    }
}

/// Such a cell is born among the host's mounts. None of them may be left in reach.
fn nothing_of_the_host_is_left_behind_hooks(bed: &Bed) {
    let root = image(bed, "true");
    let hooks = json!({"createRuntime": [sh("true")]});
    let look = "cat /proc/self/mountinfo; ls -l /proc/self/fd /proc/1/fd; ls -d /..";
    let made = Made::of(&bed.driver(), with_hooks(&root, look, hooks));
    let (exit, out) = end(made.launch(place()).unwrap());
    assert_eq!(exit, Exit::Code(0), "{out}");
    let fields = |line: &str| line.split(' ').nth(4).unwrap_or_default().to_owned();
    let points: Vec<_> = out.lines().filter(|l| l.contains(" - ")).map(fields).collect();
    assert!(points.contains(&"/".to_owned()) && points.contains(&"/proc".to_owned()), "{out}");
    for point in &points {
        let known = ["/proc", "/dev", "/sys"].iter().any(|at| point.starts_with(at));
        assert!(known || point == "/", "{point} of the host's: {out}");
    }
    assert!(!out.contains("mnt:") && !out.contains("socket:"), "{out}");
    made.close();
}
