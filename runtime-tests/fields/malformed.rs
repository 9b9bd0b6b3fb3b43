//! A `config.json` that is none, or asks for nonsense: told with its place, and nothing is left.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use hotcell::bundle::Bundle;

use super::{config, hotcell, refused};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(nonsense_is_told_with_its_place, Cells, Busybox),
        test!(an_unknown_capability_is_left_out, Cells, Busybox),
        test!(a_text_cut_anywhere_is_told, Busybox),
        test!(a_specification_with_any_value_anywhere_runs_or_is_refused, Cells, Busybox),
    ]
}

fn nonsense_is_told_with_its_place(bed: &Bed) {
    let huge = "A".repeat(10 << 20);
    let rows: [(&str, Value, &str); 14] = [
        ("/process/user/uid", json!(-1), "process.user.uid: invalid value"),
        ("/process/user", json!(null), "process.user: invalid type: null"),
        ("/process/args", json!("sh"), "process.args: invalid type"),
        ("/process/args", json!([]), "command \"\": is missing"),
        ("/process/args", json!(["sh", huge]), "Argument list too long"),
        ("/process/args", json!(["sh", "a\0b"]), "must not hold a NUL byte"),
        ("/process/args", json!([huge, huge]), "are longer than any kernel takes"),
        ("/process/env", json!(["A\0=b"]), "must not hold a NUL byte"),
        ("/process/cwd", json!("relative"), "process.cwd: relative is not an absolute path"),
        ("/process/cwd", json!("/a\0b"), "must not hold a NUL byte"),
        ("/hostname", json!("h".repeat(65)), "sethostname: Invalid argument"),
        ("/root/path", json!("/no/such"), "rootfs \"/no/such\""),
        ("/root/path", json!("/a\0b"), "rootfs \"/a\\0b\""),
        ("/linux/namespaces", json!([{"type": "moon"}]), "linux.namespaces[0].type"),
    ];
    for (place, value, part) in rows {
        let mut config = config(bed, "true");
        let shown = value.to_string().chars().take(40).collect::<String>();
        *config.pointer_mut(place).unwrap_or_else(|| unreachable!("{place}")) = value;
        let error = hotcell(bed, &config).unwrap_err();
        let fine = error.contains(part);
        assert!(
            fine && !error.contains('\n'),
            "{place} {shown}: {}",
            &error[..error.len().min(400)]
        );
        assert!(error.len() < 1000, "{place}: {} bytes of error", error.len());
    }
}

fn an_unknown_capability_is_left_out(bed: &Bed) {
    let mut config = config(bed, "grep CapBnd /proc/self/status");
    let with = |name: &str| json!(["CAP_KILL", name]);
    for set in ["bounding", "effective", "permitted"] {
        config["process"]["capabilities"][set] = with("CAP_MOON");
    }
    assert_eq!(hotcell(bed, &config).unwrap(), "CapBnd:\t0000000000000020\n");
    config["process"]["capabilities"]["bounding"] = json!([1]);
    refused(bed, &config, "process.capabilities.bounding[0]");
}

fn a_text_cut_anywhere_is_told(bed: &Bed) {
    let text = config(bed, "true").to_string();
    for end in 0..text.len() {
        let error = Bundle::from_json(&text.as_bytes()[..end]).unwrap_err().to_string();
        assert!(error.starts_with("config.json: ") && error.contains("EOF"), "{end}: {error}");
    }
    assert!(Bundle::from_json(text.as_bytes()).is_ok());
}

/// All places of a value, as JSON pointers.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), all));
        }
        Value::Array(list) => {
            list.iter().take(3).zip(0..).for_each(|(value, at_in)| {
                places(value, &format!("{at}/{at_in}"), all);
            });
        }
        _ => {}
    }
}

/// Any value anywhere: what comes is a cell, or an error in one line.
fn a_specification_with_any_value_anywhere_runs_or_is_refused(bed: &Bed) {
    let config = config(bed, "true");
    let mut all = Vec::new();
    places(&config, "", &mut all);
    // These name what is not the cell's: the host's paths, and cgroups that are hotcell's to name.
    all.retain(|place| !place.is_empty() && !place.starts_with("/linux/cgroupsPath"));
    let values = [
        json!(null),
        json!(-1),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("\0"),
        json!("../.."),
        json!("\n"),
        json!([]),
        json!({}),
        json!([null]),
        json!(true),
    ];
    let cases = if std::env::var_os("HOTCELL_SOAK").is_some() { 5000 } else { 100 };
    let mut runner = TestRunner::new_with_rng(
        Config { cases, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let strategy = (0..all.len(), 0..values.len());
    let tried = runner.run(&strategy, |(place, value)| {
        let mut config = config.clone();
        *config.pointer_mut(&all[place]).unwrap() = values[value].clone();
        if let Err(error) = hotcell(bed, &config) {
            prop_assert!(!error.contains('\n') && !error.is_empty(), "{}: {error}", all[place]);
        }
        Ok(())
    });
    tried.unwrap();
}
