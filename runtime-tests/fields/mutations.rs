//! A whole specification with one thing wrong at a time: every property of every wrong kind, gone,
//! twice, far too long. What is wrong is told with its place, in one line.

use hotcell::bundle::Bundle;
use hotcell::launch::{Place, compile};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::host::soak;
use crate::{Test, test};

/// A specification with every property that hotcell knows.
const FULL: &str = include_str!("../../fuzz/corpus/config/full.json");

/// The most memory that reading and compiling may take, with values of 10 MB.
const MOST_KIB: u64 = 256 << 10;

pub fn tests() -> Vec<Test> {
    vec![
        test!(whatever_a_property_is_its_place_is_told),
        test!(a_property_that_is_there_twice_is_told),
        test!(values_of_ten_megabytes_take_no_more_memory_than_a_few_copies),
    ]
}

/// All places of a value: as JSON pointers, and as errors show them.
fn places(value: &Value, at: (String, String), all: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if at.1.is_empty() { "" } else { "." };
                let name_in = name.replace('~', "~0").replace('/', "~1");
                let here = (format!("{}/{name_in}", at.0), format!("{}{dot}{name}", at.1));
                places(value, here, all);
            }
        }
        Value::Array(list) => {
            for (number, value) in list.iter().enumerate() {
                let here = (format!("{}/{number}", at.0), format!("{}[{number}]", at.1));
                places(value, here, all);
            }
        }
        _ => {}
    }
    if !at.0.is_empty() {
        all.push(at);
    }
}

fn full() -> (Value, Vec<(String, String)>) {
    let full: Value = serde_json::from_str(FULL).unwrap();
    let mut all = Vec::new();
    places(&full, Default::default(), &mut all);
    assert!(all.len() > 150, "{}", all.len());
    (full, all)
}

/// What comes of a text: nothing, or one line. Returns the place that its reader names.
fn read(text: &str, what: &str) -> Option<String> {
    let (error, at) = match Bundle::from_json(text.as_bytes()) {
        Ok(bundle) => match compile(&bundle, &Place::default()) {
            Ok(_) => return None,
            Err(error) => (error.to_string(), None),
        },
        Err(error) => {
            let line = error.to_string();
            let at = line.strip_prefix("config.json: ").and_then(|line| line.split_once(": "));
            let at = at.map(|(at, _)| at.to_owned());
            assert!(at.is_some(), "{what}: {line}");
            (line, at)
        }
    };
    let fine = !error.is_empty() && error.len() < 1200 && !error.contains(['\n', '\0']);
    assert!(fine, "{what}: {} bytes: {}", error.len(), &error[..error.len().min(400)]);
    at
}

/// Whether an error names the place, what it is part of, or a part of it.
fn names(told: &str, place: &str) -> bool {
    told == "." || place.starts_with(told) || told.starts_with(place)
}

fn whatever_a_property_is_its_place_is_told(_: &Bed) {
    let (full, all) = full();
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e300),
        json!(1.5),
        json!(""),
        json!("a\0b"),
        json!("../../.."),
        json!("a\nb\u{1b}[31m"),
        json!([]),
        json!({}),
        json!([null]),
        json!({ "a": { "b": [1, "c"] } }),
        json!([[], {}, "x", 1]),
    ];
    let mut refused = 0;
    for (turn, (pointer, place)) in all.iter().enumerate() {
        // A slice takes each value at many places, and each place with a few.
        let step = if soak() { 1 } else { 4 };
        for value in values.iter().skip(turn % step).step_by(step) {
            let mut config = full.clone();
            *config.pointer_mut(pointer).unwrap() = value.clone();
            let what = format!("{place} = {value}");
            if let Some(told) = read(&config.to_string(), &what) {
                refused += 1;
                assert!(names(&told, place), "{what}: the error is about {told}");
                assert!(told != ".", "{what}: the error has no place");
            }
        }
        let mut config = full.clone();
        remove(&mut config, pointer);
        if let Some(told) = read(&config.to_string(), &format!("{place} is gone")) {
            assert!(names(&told, place), "{place} is gone: the error is about {told}");
        }
    }
    assert!(refused > all.len(), "{refused} are refused by the reader");
}

fn remove(config: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/").replace("~0", "~");
    match config.pointer_mut(parent).unwrap() {
        Value::Object(fields) => drop(fields.remove(&name)),
        Value::Array(list) => drop(list.remove(name.parse().unwrap())),
        other => unreachable!("{other}"),
    }
}

/// A reader that took the last, or the first, would not read what another reads.
fn a_property_that_is_there_twice_is_told(_: &Bed) {
    let (full, all) = full();
    let mark = json!("the same once more");
    let mut unseen = Vec::new();
    for (pointer, place) in &all {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let name = name.replace("~1", "/").replace("~0", "~");
        let fields = match full.pointer(parent) {
            Some(Value::Object(fields)) => fields,
            _ => continue,
        };
        // A table's keys are whatever its writer likes, and the last one counts; what is refused as a
        // whole is not looked into.
        let table =
            ["annotations", "sysctl", "unified", "rdma", "timeOffsets", "netDevices", "intelRdt"];
        if table.iter().any(|table| parent.ends_with(&format!("/{table}"))) {
            continue;
        }
        let mut config = full.clone();
        let added = config.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        added.insert("\u{1}".to_owned(), mark.clone());
        let value = fields[&name].to_string();
        let twice = format!("{}:{value}", json!(name));
        let text = config.to_string().replacen(&format!("{}:{mark}", json!("\u{1}")), &twice, 1);
        if read(&text, &format!("{place} twice")).is_none() {
            unseen.push(place);
        }
    }
    assert!(unseen.is_empty(), "may be there twice: {unseen:?}");
}

fn values_of_ten_megabytes_take_no_more_memory_than_a_few_copies(_: &Bed) {
    let (full, all) = full();
    let long = Value::from("A".repeat(10 << 20));
    let texts = all.iter().filter(|(pointer, _)| full.pointer(pointer).unwrap().is_string());
    let before = peak_kib();
    for (pointer, place) in texts.step_by(if soak() { 1 } else { 16 }) {
        let mut config = full.clone();
        *config.pointer_mut(pointer).unwrap() = long.clone();
        read(&config.to_string(), place);
    }
    let more = peak_kib() - before;
    assert!(more < MOST_KIB, "{more} KiB more at most");
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
