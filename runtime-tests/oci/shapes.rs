//! The JSON and the tables that engines read: by the specification's schemas, and beside runc's.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::scene::Scene;
use crate::bed::Bed;
use crate::host::SCHEMAS;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(states_are_valid_by_the_schema, Cells, Busybox, Schemas),
        test!(the_default_specification_is_valid_by_the_schema, Schemas),
        test!(states_and_lists_look_like_runcs, Cells, Busybox, Runc),
        test!(features_have_runcs_keys, Runc),
        test!(measurements_have_runcs_keys, Cells, Busybox, Runc),
    ]
}

/// Checks a document against a schema of the specification.
#[track_caller]
fn valid(bed: &Bed, schema: &str, document: &Value) {
    let path = bed.path("document.json");
    std::fs::write(&path, document.to_string()).unwrap();
    let mut check = Command::new("python3");
    check.args(["-W", "ignore", "-m", "jsonschema", "--base-uri", &format!("file://{SCHEMAS}/")]);
    let output = check.arg("-i").arg(&path).arg(format!("{SCHEMAS}/{schema}")).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{document:#}: {error}");
}

fn states_are_valid_by_the_schema(bed: &Bed) {
    let oci = Scene::new(bed);
    let mut config = oci.config("sleep 30");
    config["annotations"] = json!({ "a.b": "c" });
    oci.create_from("c1", config);
    let state = oci.state("c1");
    assert_eq!(state["annotations"], json!({ "a.b": "c" }));
    valid(bed, "state-schema.json", &state);
    oci.call(&["start", "c1"]).ok();
    valid(bed, "state-schema.json", &oci.state("c1"));
    oci.call(&["kill", "c1", "KILL"]).ok();
    oci.until("c1", "stopped");
    valid(bed, "state-schema.json", &oci.state("c1"));
    oci.delete("c1");
    // The check itself finds what is wrong.
    let wrong = std::panic::catch_unwind(|| valid(bed, "state-schema.json", &json!({ "id": 1 })));
    assert!(wrong.is_err());
}

fn the_default_specification_is_valid_by_the_schema(bed: &Bed) {
    let dir = bed.path("fresh");
    std::fs::create_dir(&dir).unwrap();
    Scene::new(bed).call(&["spec", "--bundle", dir.to_str().unwrap()]).ok();
    let text = std::fs::read(dir.join("config.json")).unwrap();
    valid(bed, "config-schema.json", &serde_json::from_slice(&text).unwrap());
}

fn states_and_lists_look_like_runcs(bed: &Bed) {
    let (oci, runc) = (Scene::new(bed), Scene::runc(bed));
    let empty = |scene: &Scene<'_>| {
        [&["list"][..], &["list", "-f", "json"], &["list", "-q"]].map(|args| scene.call(args).ok())
    };
    assert_eq!(empty(&oci), empty(&runc));
    let look = |scene: &Scene<'_>| {
        let mut config = scene.config("while :; do sleep 0.05; done");
        config["annotations"] = json!({ "a.b": "c" });
        scene.create_from("c1", config);
        scene.call(&["start", "c1"]).ok();
        let state = scene.state("c1");
        let list: Value =
            serde_json::from_str(&scene.call(&["list", "--format=json"]).ok()).unwrap();
        let table = scene.call(&["list"]).ok();
        let words = |line: &str| line.split_whitespace().count();
        let table = table.lines().map(words).collect::<Vec<_>>();
        let owner = list[0]["owner"].clone();
        let ps = scene.call(&["ps", "c1"]).ok().lines().next().unwrap().to_owned();
        let pids: Vec<i64> =
            serde_json::from_str(&scene.call(&["ps", "--format", "json", "c1"]).ok()).unwrap();
        assert_eq!(Some(pids[0]), state["pid"].as_i64());
        let shown = scene.call(&["ps", "c1", "-o", "pid,args"]).ok().lines().count() > 1;
        scene.call(&["kill", "c1", "KILL"]).ok();
        scene.until("c1", "stopped");
        let keys = (keys(&state), keys(&list[0]), keys(&scene.state("c1")));
        scene.delete("c1");
        (keys, table, owner, ps, shown)
    };
    assert_eq!(look(&oci), look(&runc));
}

fn features_have_runcs_keys(bed: &Bed) {
    let features = |scene: Scene<'_>| -> Value {
        serde_json::from_str(&scene.call(&["features"]).ok()).unwrap()
    };
    let (ours, theirs) = (features(Scene::new(bed)), features(Scene::runc(bed)));
    for at in ["", "/linux", "/linux/cgroup", "/linux/seccomp", "/linux/apparmor", "/linux/selinux"]
    {
        let missing = keys(theirs.pointer(at).unwrap());
        let missing: Vec<_> =
            missing.difference(&keys(ours.pointer(at).unwrap())).cloned().collect();
        assert!(missing.is_empty(), "{at}: {missing:?}");
    }
    let names = |of: &Value, at: &str| -> BTreeSet<String> {
        serde_json::from_value(of.pointer(at).unwrap().clone()).unwrap()
    };
    // runc knows time namespaces since 1.2.
    let mut namespaces = names(&theirs, "/linux/namespaces");
    namespaces.insert("time".to_owned());
    assert_eq!(names(&ours, "/linux/namespaces"), namespaces);
    let options = names(&ours, "/mountOptions");
    for option in names(&theirs, "/mountOptions") {
        assert!(options.contains(&option), "{option}");
    }
}

fn measurements_have_runcs_keys(bed: &Bed) {
    let measure = |scene: Scene<'_>| {
        scene.start("c1", "while :; do sleep 0.05; done");
        let line = scene.call(&["events", "--stats", "c1"]).ok();
        assert_eq!(line.trim_end().lines().count(), 1);
        scene.delete("c1");
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let (ours, theirs) = (measure(Scene::new(bed)), measure(Scene::runc(bed)));
    assert_eq!((&ours["type"], &ours["id"]), (&theirs["type"], &theirs["id"]));
    for at in ["", "/data", "/data/cpu", "/data/cpu/usage", "/data/memory", "/data/memory/usage"] {
        let mut missing = keys(theirs.pointer(at).unwrap());
        // Both leave it out where nothing is cached, which one may be and the other not.
        missing.remove("cache");
        let missing: Vec<_> =
            missing.difference(&keys(ours.pointer(at).unwrap())).cloned().collect();
        assert!(missing.is_empty(), "{at}: {missing:?}");
    }
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}
