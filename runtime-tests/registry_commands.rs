//! The program's commands about registries: what is pulled, who is asked for it, what is kept and shown.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio as Pipes};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bed::{Bed, Ran};
use crate::host::image;
use crate::registry::{Content, On, Registry, Rule, Setting};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(what_is_pulled_is_told_listed_and_run, Cells, Images),
        test!(run_pulls_what_it_is_told_to, Cells, Images),
        test!(a_pull_that_is_interrupted_leaves_nothing, Cells, Images),
    ]
}

const NAME: &str = "team/busybox";

fn content() -> Content {
    let mut content = Content::default();
    content.layout(NAME, "latest", &image("busybox", "oci"));
    content
}

/// The name of the image in this registry.
fn name(registry: &Registry) -> String {
    format!("{}/{NAME}", registry.address())
}

impl Bed {
    /// The program for somebody without credentials of their own.
    fn stranger(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = self.command(verb, args);
        for name in ["FN_DOCKER_AUTH", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "HOTCELL_REGISTRIES"]
        {
            command.env_remove(name);
        }
        command.env("HOME", self.path("home"));
        command
    }

    fn asks(&self, verb: &str, args: &[&str]) -> Ran {
        Ran::from(self.stranger(verb, args).output().unwrap())
    }
}

#[track_caller]
fn refused(ran: &Ran, what: &str) {
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(ran.err.contains(what) && ran.err.lines().count() == 1, "{ran:?}");
    assert!(ran.out.is_empty(), "{ran:?}");
}

/// What may be shown when a pull is told on no terminal.
#[track_caller]
fn went_well(ran: Ran) -> String {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out
}

fn what_is_pulled_is_told_listed_and_run(bed: &Bed) {
    let registry = Registry::plain(content());
    let name = name(&registry);
    let pulled = bed.asks("pull", &[&name]);
    let digest = {
        let index = fs::read(image("busybox", "oci").join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        index["manifests"][0]["digest"].as_str().unwrap().to_owned()
    };
    assert_eq!(pulled.out, format!("Pulled image: {name}:latest\nDigest: {digest}\n"));
    let lines: Vec<_> = pulled.err.lines().collect();
    assert!(lines[0].starts_with("layer 1 of 1: downloaded ("), "{lines:?}");
    assert!(lines[1].starts_with("layer 1 of 1: unpacked ("), "{lines:?}");
    assert_eq!(lines[2..], ["writing to the disk"]);
    assert_eq!(bed.asks("run", &["--network", "none", &name, "echo", "here"]).ok(), "here\n");

    // What is here is not asked for again, but for what the name means now.
    registry.forget();
    let quiet = bed.asks("pull", &["-q", &name]).ok();
    assert_eq!(quiet, format!("{name}:latest\n"));
    assert_eq!(registry.count(&On::Blob), 0);
    let json = went_well(bed.asks("pull", &["--format", "json", &format!("{name}@{digest}")]));
    let object: Value = serde_json::from_str(&json).unwrap();
    let id = fs::read_to_string(image("busybox", "id")).unwrap();
    assert_eq!(object["id"], id.trim());
    let names = object["names"].as_array().unwrap();
    assert!(names.contains(&json!(format!("{name}:latest"))), "{object}");

    let other = bed.asks("pull", &["--platform", "linux/s390x", &name]);
    assert_eq!(other.code, Some(125), "{other:?}");
    assert!(other.err.contains("linux/s390x"), "{other:?}");
}

fn run_pulls_what_it_is_told_to(bed: &Bed) {
    let registry = Registry::plain(content());
    let name = name(&registry);
    let run = |flags: &[&str]| {
        registry.forget();
        let ran = bed.asks("run", &[flags, &[&name, "echo", "here"]].concat());
        (ran, registry.count(&On::Manifest))
    };
    let (never, asked) = run(&["--pull", "never"]);
    refused(&never, &format!("no such image: {name}"));
    assert_eq!((asked, registry.met()), (0, 0));
    let (missing, asked) = run(&["--quiet"]);
    assert_eq!((missing.ok().as_str(), asked), ("here\n", 1));
    for flags in [&["--pull", "missing"][..], &["--pull=never"], &[]] {
        let (there, asked) = run(flags);
        assert_eq!((there.ok().as_str(), asked), ("here\n", 0));
    }
    let (always, asked) = run(&["-q", "--pull", "always"]);
    assert_eq!((always.ok().as_str(), asked), ("here\n", 1));

    drop(registry);
    let away = bed.asks("run", &["-q", "--pull", "always", &name, "echo", "here"]);
    refused(&away, &name[..name.find('/').unwrap()]);
    assert_eq!(bed.asks("run", &[&name, "echo", "here"]).ok(), "here\n");
}

fn a_pull_that_is_interrupted_leaves_nothing(bed: &Bed) {
    let registry =
        Registry::start(([127, 0, 0, 1], 0), Setting { content: content(), ..Setting::default() });
    // Its configuration comes, its layer does not.
    registry.when(Rule::new(On::Blob, |_, right| right.stall(1000)).after(1));
    let name = name(&registry);
    // The store is there before, and empty.
    assert_eq!(bed.asks("image", &["check"]).ok(), "");
    let before = files(bed);
    let mut command = bed.stranger("pull", &[&name]);
    command.stdout(Pipes::piped()).stderr(Pipes::piped());
    let child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while registry.count(&On::Blob) < 2 {
        assert!(Instant::now() < deadline, "nobody asked for the blobs");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(2), "{output:?}");
    assert_eq!(files(bed), before);
    assert_eq!(bed.asks("image", &["check"]).ok(), "");
}

/// The files in the store.
fn files(bed: &Bed) -> Vec<String> {
    let mut all = Vec::new();
    let mut dirs = vec![bed.path("images")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            all.push(entry.path().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    all.sort();
    all
}
