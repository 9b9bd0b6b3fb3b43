//! The command line: what is understood, what is refused, and where that is told.

use serde_json::Value;

use super::scene::{PROGRAM, Scene, complaint};
use crate::bed::{Bed, Ran};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(the_version_is_told_as_engines_read_it),
        test!(a_link_named_as_another_runtime_serves, Cells, Busybox),
        test!(bad_command_lines_are_refused_in_one_line),
        test!(a_failure_is_in_the_log_too),
        test!(every_global_flag_of_engines_is_taken),
        test!(checkpoints_are_not_supported),
        test!(the_default_specification_is_written_once),
    ]
}

fn the_version_is_told_as_engines_read_it(_: &Bed) {
    for flag in ["--version", "-v"] {
        let ran = std::process::Command::new(PROGRAM).arg(flag).output().unwrap();
        let text = Ran::from(ran).ok();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(concat!("hotcell-oci version ", env!("CARGO_PKG_VERSION"))));
        assert_eq!(lines.next(), Some("spec: 1.2.0"));
    }
}

/// Engines may find their runtime by a link that has a name of theirs.
fn a_link_named_as_another_runtime_serves(bed: &Bed) {
    let oci = Scene::new(bed);
    let link = bed.path("runc");
    std::os::unix::fs::symlink(PROGRAM, &link).unwrap();
    let call = |args: &[&str]| {
        let mut command = std::process::Command::new(&link);
        Ran::from(command.arg("--root").arg(oci.root()).args(args).output().unwrap())
    };
    assert!(call(&["--version"]).ok().starts_with("hotcell-oci version "));
    oci.start("c1", "sleep 1000");
    assert_eq!(
        serde_json::from_str::<Value>(&call(&["state", "c1"]).ok()).unwrap(),
        oci.state("c1")
    );
    assert!(complaint(&call(&["state", "c2"])).contains("container does not exist"));
    call(&["delete", "--force", "c1"]).ok();
}

fn bad_command_lines_are_refused_in_one_line(bed: &Bed) {
    let oci = Scene::new(bed);
    for (args, why) in [
        (&[][..], "a command is missing"),
        (&["bogus"], "there is no command \"bogus\""),
        (&["list", "--bogus"], "unexpected argument '--bogus'"),
        (&["list", "-f", "xml"], "invalid value 'xml'"),
        (&["state"], "required arguments were not provided"),
        (&["state", "a", "b"], "unexpected argument 'b'"),
        (&["state", "a b"], "invalid container ID format: \"a b\""),
        (&["state", ".."], "invalid container ID format"),
        (&["create", "a/b"], "invalid container ID format"),
        (&["kill", "a", "FOO"], "unknown signal \"FOO\""),
        (&["update", "--memory", "x", "a"], "--memory \"x\""),
        (&["events", "--interval", "soon", "a"], "--interval \"soon\""),
        (&["--rootless", "true", "list"], "--rootless true is not supported"),
        (&["--cgroup-manager", "disabled", "list"], "--cgroup-manager disabled is not supported"),
        (&["--systemd-cgroup", "--cgroup-manager=cgroupfs", "list"], "--cgroup-manager cgroupfs"),
        (&["spec", "--rootless"], "--rootless is not supported"),
    ] {
        let ran = oci.call(args);
        assert_eq!(ran.code, Some(1), "{args:?}");
        assert_eq!(ran.err.trim_end().lines().count(), 1, "{ran:?}");
        assert!(complaint(&ran).contains(why), "{ran:?}");
    }
}

fn a_failure_is_in_the_log_too(bed: &Bed) {
    let log = bed.path("log");
    let call = |format: &str| {
        let path = log.to_str().unwrap();
        let args = ["--log", path, "--log-format", format, "state", "nobody"];
        let ran = Scene::new(bed).call(&args);
        assert_eq!((ran.code, ran.err.as_str()), (Some(1), "container does not exist\n"));
        std::fs::read_to_string(&log).unwrap()
    };
    let record: Value = serde_json::from_str(&call("json")).unwrap();
    assert_eq!(
        (&record["level"], &record["msg"]),
        (&"error".into(), &"container does not exist".into())
    );
    assert!(record["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    // It is added, not written over.
    let text = call("text");
    assert_eq!(text.lines().count(), 2);
    assert!(text.ends_with("level=error msg=\"container does not exist\"\n"), "{text}");
}

fn every_global_flag_of_engines_is_taken(bed: &Bed) {
    let oci = Scene::new(bed);
    for flags in [
        &["--debug", "--criu", "/criu", "--rootless", "auto"][..],
        &["--rootless=false", "--cgroup-manager=cgroupfs", "--log-format=text"],
    ] {
        let args: Vec<_> = flags.iter().copied().chain(["list", "--format", "json"]).collect();
        assert_eq!(oci.call(&args).ok(), "null\n");
    }
}

fn checkpoints_are_not_supported(bed: &Bed) {
    for verb in ["checkpoint", "restore"] {
        let ran = Scene::new(bed).call(&[verb, "--image-path", "/x", "c1"]);
        assert_eq!((ran.code, complaint(&ran)), (Some(1), format!("{verb} is not supported")));
    }
}

fn the_default_specification_is_written_once(bed: &Bed) {
    let oci = Scene::new(bed);
    let dir = bed.path("fresh");
    std::fs::create_dir(&dir).unwrap();
    let args = ["spec", "--bundle", dir.to_str().unwrap()];
    oci.call(&args).ok();
    let text = std::fs::read(dir.join("config.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&text).unwrap()["ociVersion"], "1.2.0");
    let ran = oci.call(&args);
    assert!(complaint(&ran).contains("file exists"), "{ran:?}");
}
