//! What a crash leaves is not trusted: a damaged record hides nothing and stops nothing.

use std::fs::{create_dir, create_dir_all, write};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use super::host::sweep;
use crate::bed::{Bed, cgroup_dirs};
use crate::host::OLD_FREEZER;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(no_flipped_bit_of_a_record_hides_anything, Cells, Busybox),
        test!(no_cut_record_hides_anything, Cells, Busybox),
        test!(a_record_that_is_no_file_hides_nothing, Cells, Busybox),
        test!(what_a_newer_driver_left_is_killed_and_kept_for_its_successor, Cells, Busybox),
        test!(one_bad_instance_keeps_no_other, Cells, Busybox),
        test!(
            what_can_not_die_yet_keeps_no_driver_from_opening,
            Hybrid,
            Cells,
            Busybox,
            OldFreezer
        ),
        test!(a_parent_of_another_name_goes_with_its_dead_driver, Cells, Busybox),
    ]
}

const ID: &str = "0123456789ab";

/// What a killed driver leaves, made by hand.
struct Remains<'a> {
    bed: &'a Bed,
    id: &'static str,
    range: &'static str,
    parents: Vec<PathBuf>,
}

impl<'a> Remains<'a> {
    fn new(bed: &'a Bed) -> Remains<'a> {
        Remains { bed, id: ID, range: "77", parents: cgroup_dirs() }
    }

    fn dir(&self) -> PathBuf {
        self.bed.options().state_dir.join(self.id)
    }

    fn record(&self) -> PathBuf {
        self.dir().join(".instance.json")
    }

    fn sound(&self) -> String {
        let options = self.bed.options();
        let (parent, data) = (options.cgroup_parent, options.data_dir);
        format!(r#"{{"version":1,"cgroup_parent":"{parent}","data_dir":"{}"}}"#, data.display())
    }

    /// Everything but the record.
    fn make(&self) {
        let options = self.bed.options();
        for dir in [&options.state_dir, &options.data_dir] {
            std::fs::DirBuilder::new().mode(0o700).recursive(true).create(dir).unwrap();
        }
        create_dir_all(self.dir().join("cell")).unwrap();
        write(self.dir().join(".lock"), "").unwrap();
        write(self.dir().join("cell/config.json"), "{}").unwrap();
        create_dir_all(options.data_dir.join(self.id).join("cell/upper")).unwrap();
        create_dir_all(options.state_dir.join("ids")).unwrap();
        symlink(self.id, options.state_dir.join("ids").join(self.range)).unwrap();
        write(options.state_dir.join(format!(".made-{}", options.cgroup_parent)), "").unwrap();
        for parent in &self.parents {
            create_dir_all(parent.join(format!("{}-cell", self.id))).unwrap();
        }
    }

    /// A process in the cell's cgroup, in every hierarchy.
    fn process(&self) -> Child {
        let process = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        for parent in &self.parents {
            let procs = parent.join(format!("{}-cell/cgroup.procs", self.id));
            write(procs, process.id().to_string()).unwrap();
        }
        process
    }

    fn is_killed(&self, mut process: Child) {
        let status = process.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }
}

fn no_flipped_bit_of_a_record_hides_anything(bed: &Bed) {
    let remains = Remains::new(bed);
    let sound = remains.sound().into_bytes();
    for bit in 0..sound.len() * 8 {
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        remains.make();
        write(remains.record(), &damaged).unwrap();
        if String::from_utf8_lossy(&damaged).contains(r#""version":1,"#) {
            sweep(bed);
        } else {
            sweep_newer(&remains);
        }
    }
}

/// A flip in the number may have made it a newer driver's.
fn sweep_newer(remains: &Remains<'_>) {
    drop(remains.bed.driver());
    let leaf = format!("{ID}-cell");
    assert!(remains.parents.iter().all(|parent| !parent.join(&leaf).exists()));
    let _ = std::fs::remove_dir_all(remains.dir());
    sweep(remains.bed);
}

fn no_cut_record_hides_anything(bed: &Bed) {
    let remains = Remains::new(bed);
    let sound = remains.sound();
    for length in 0..=sound.len() {
        remains.make();
        write(remains.record(), &sound[..length]).unwrap();
        sweep(bed);
    }
}

fn a_record_that_is_no_file_hides_nothing(bed: &Bed) {
    let remains = Remains::new(bed);
    let outside = bed.path("outside");
    create_dir(&outside).unwrap();
    let elsewhere = outside.join("record");
    write(&elsewhere, r#"{"version":1,"cgroup_parent":"x","data_dir":"/"}"#).unwrap();
    let kinds: [fn(&Remains<'_>); 4] = [
        |remains| symlink(remains.bed.path("outside/record"), remains.record()).unwrap(),
        |remains| symlink(remains.bed.path("outside"), remains.record()).unwrap(),
        |remains| create_dir_all(remains.record().join("deep")).unwrap(),
        |remains| {
            let (fifo, at) = (rustix::fs::FileType::Fifo, rustix::fs::CWD);
            rustix::fs::mknodat(at, remains.record(), fifo, 0o600.into(), 0).unwrap();
        },
    ];
    for kind in kinds {
        remains.make();
        let process = remains.process();
        kind(&remains);
        sweep(bed);
        remains.is_killed(process);
        assert!(elsewhere.exists());
    }
}

fn what_a_newer_driver_left_is_killed_and_kept_for_its_successor(bed: &Bed) {
    let remains = Remains::new(bed);
    remains.make();
    let process = remains.process();
    write(remains.record(), r#"{"version":2,"networks":["eth0"]}"#).unwrap();
    drop(bed.driver());
    remains.is_killed(process);
    assert!(crate::contract::tools::cells().is_empty());
    assert!(remains.dir().join("cell/config.json").exists() && remains.record().exists());
    // The newer driver is one that knows this record.
    write(remains.record(), remains.sound()).unwrap();
    sweep(bed);
}

fn one_bad_instance_keeps_no_other(bed: &Bed) {
    let bad = Remains::new(bed);
    let good = Remains { id: "ba9876543210", range: "78", ..Remains::new(bed) };
    bad.make();
    good.make();
    // A lock that nobody can take: what it stands for is left alone, and told in the log.
    std::fs::remove_file(bad.dir().join(".lock")).unwrap();
    symlink("/etc/passwd", bad.dir().join(".lock")).unwrap();
    drop(bed.driver());
    assert!(bad.dir().exists() && !good.dir().exists());
    std::fs::remove_file(bad.dir().join(".lock")).unwrap();
    sweep(bed);
}

fn a_parent_of_another_name_goes_with_its_dead_driver(bed: &Bed) {
    let mut remains = Remains::new(bed);
    let name = format!("{}-other", bed.options().cgroup_parent);
    remains.parents.iter_mut().for_each(|parent| *parent = parent.with_file_name(&name));
    remains.make();
    write(bed.options().state_dir.join(format!(".made-{name}")), "").unwrap();
    // Without a record, the mark alone tells where its cells are.
    let process = remains.process();
    sweep(bed);
    remains.is_killed(process);
    assert!(remains.parents.iter().all(|parent| !parent.exists()));
}

fn what_can_not_die_yet_keeps_no_driver_from_opening(bed: &Bed) {
    let (stuck, other) =
        (Remains::new(bed), Remains { id: "ba9876543210", range: "78", ..Remains::new(bed) });
    stuck.make();
    other.make();
    let (process, sleeper) = (stuck.process(), other.process());
    let frozen = PathBuf::from(OLD_FREEZER).join(bed.options().cgroup_parent);
    create_dir(&frozen).unwrap();
    write(frozen.join("cgroup.procs"), process.id().to_string()).unwrap();
    write(frozen.join("freezer.state"), "FROZEN").unwrap();
    let start = Instant::now();
    drop(bed.driver());
    let took = start.elapsed();
    let leaf = |remains: &Remains<'_>| format!("{}-cell", remains.id);
    let is_left = |remains: &Remains<'_>| {
        remains.parents.iter().any(|parent| parent.join(leaf(remains)).exists())
    };
    let (left, gone) =
        (is_left(&stuck) && stuck.dir().exists(), !is_left(&other) && !other.dir().exists());
    write(frozen.join("freezer.state"), "THAWED").unwrap();
    stuck.is_killed(process);
    other.is_killed(sleeper);
    std::fs::remove_dir(&frozen).unwrap();
    assert!(left && gone);
    assert!(took < Duration::from_secs(15), "{took:?}");
    sweep(bed);
}
