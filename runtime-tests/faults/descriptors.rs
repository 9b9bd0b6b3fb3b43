//! No descriptors left, at every number of them: a start works or says so, and nothing leaks.

use std::process::Command;

use hotcell::launch::Stdio;
use hotcell::native::{Instance, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::left;
use super::story::{TELLINGS, Trouble};
use crate::bed::{Bed, script};
use crate::embedder::played;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(every_number_of_descriptors_is_enough_or_is_told, Cells, Busybox, Pids),
        test!(a_program_without_descriptors_says_so, Cells, Busybox),
    ]
}

fn every_number_of_descriptors_is_enough_or_is_told(bed: &Bed) {
    let out = played(bed, "fault-descriptors");
    let enough = out.lines().filter(|line| line.starts_with("enough ")).count();
    assert_eq!(enough, TELLINGS.len(), "{out}");
    assert!(out.contains("closed without one"), "{out}");
}

fn a_program_without_descriptors_says_so(bed: &Bed) {
    let rootfs = crate::host::fixture("busybox");
    let mut told = 0;
    for most in 4..40 {
        let args = ["--rootfs", rootfs.to_str().unwrap(), "--", "sh", "-c", "exit 7"];
        let inner = bed.command("run", args);
        let mut shell = Command::new("prlimit");
        shell.arg(format!("--nofile={most}")).arg(inner.get_program()).args(inner.get_args());
        inner.get_envs().for_each(|(key, value)| {
            shell.env(key, value.unwrap());
        });
        let output = shell.output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(7) => assert!(told > 0 || most > 30, "{most}"),
            Some(125) => {
                assert!(err.contains("Too many open files"), "{most}: {err}");
                assert_eq!(err.lines().count(), 1, "{most}: {err}");
                told += 1;
            }
            // The loader could not open the C library: there was no program yet.
            Some(127) if err.contains("shared libraries") => {}
            _ => panic!("{most}: {output:?}"),
        }
    }
    assert!(told >= 5, "{told}");
    // What could not be removed without a descriptor is the next driver's.
    drop(bed.driver());
}

fn all_open() -> u64 {
    std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1
}

fn open_now() -> usize {
    // A loaded device filter is kept for the next cell.
    let kept = |link: std::path::PathBuf| link.to_string_lossy().contains("bpf-prog");
    let all = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    all.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|link| !kept(link))).count() - 1
}

fn limit(most: Option<u64>) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = most.or(maximum);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// Stories with ever more descriptors, until there are enough.
pub fn play(options: Options) {
    // What is opened once in the life of a process is open.
    TELLINGS.iter().for_each(|telling| drop(telling.tell(options.clone(), || ())));
    for telling in TELLINGS {
        let before = open_now();
        let enough = (1..80).find(|more| {
            let squeeze = || limit(Some(all_open() + more));
            let troubles = telling.tell(options.clone(), squeeze);
            limit(None);
            troubles.iter().for_each(|trouble| about_descriptors(trouble, *more));
            assert_eq!(open_now(), before, "{telling:?} with {more}: {troubles:?}");
            drop(Instance::open(options.clone()).unwrap());
            assert_eq!(left(&options), [""; 0], "{telling:?} with {more}: {troubles:?}");
            troubles.is_empty()
        });
        println!("enough {} for {telling:?}", enough.unwrap());
    }
    close_without_one(options);
}

fn about_descriptors(trouble: &Trouble, more: u64) {
    let told = ["Too many open files", "the next driver tries again"];
    assert!(told.iter().any(|told| trouble.text.contains(told)), "with {more}: {trouble:?}");
}

/// A cell that runs is killed and removed without a single descriptor.
fn close_without_one(options: Options) {
    let instance = Instance::open(options).unwrap();
    for init in [true, false] {
        let mut config = script("sleep 600");
        config.init = init;
        config.upper = hotcell::bundle::Upper::Disk;
        let running = instance.create(None, &config, None).unwrap().run(Stdio::default()).unwrap();
        limit(Some(0));
        let closed = running.close();
        limit(None);
        closed.unwrap();
    }
    println!("closed without one");
}
