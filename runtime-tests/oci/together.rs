//! Two commands at once on one container: one of them wins, and the other says what it found.

use std::fs::File;
use std::process::Stdio;

use super::scene::{Scene, complaint};
use crate::bed::{Bed, Ran};
use crate::host::soak;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(of_two_creations_one_wins, Cells, Busybox),
        test!(two_deletions_leave_nothing, Cells, Busybox),
        test!(of_two_starts_one_wins, Cells, Busybox),
        test!(a_start_and_a_kill_meet, Cells, Busybox),
        test!(a_creation_and_a_deletion_by_force_meet, Cells, Busybox),
    ]
}

fn rounds() -> u32 {
    if soak() { 300 } else { 6 }
}

/// Both at once. What they start has neither's streams.
fn both(bed: &Bed, oci: &Scene<'_>, lines: [&[&str]; 2]) -> [Ran; 2] {
    let path = |at: usize| bed.path(&format!("errors-{at}"));
    let start = |at: usize| {
        let errors = File::create(path(at)).unwrap();
        oci.command(lines[at]).stdout(Stdio::null()).stderr(errors).spawn().unwrap()
    };
    let children = [start(0), start(1)];
    let mut codes = children.map(|mut child| child.wait().unwrap().code()).into_iter();
    [0, 1].map(|at| Ran {
        code: codes.next().unwrap(),
        out: String::new(),
        err: std::fs::read_to_string(path(at)).unwrap(),
    })
}

/// That one has done it, and what the other says.
#[track_caller]
fn the_other_says(ran: &[Ran; 2]) -> String {
    let winners = ran.iter().filter(|ran| ran.code == Some(0)).count();
    assert_eq!(winners, 1, "{ran:?}");
    complaint(ran.iter().find(|ran| ran.code != Some(0)).unwrap())
}

fn of_two_creations_one_wins(bed: &Bed) {
    let oci = Scene::new(bed);
    let bundle = oci.bundle("c1", oci.config("sleep 30"));
    let create = ["create", "-b", bundle.to_str().unwrap(), "c1"];
    for _ in 0..rounds() {
        let ran = both(bed, &oci, [&create, &create]);
        assert_eq!(the_other_says(&ran), "container with given ID already exists: c1");
        assert_eq!(oci.status("c1"), "created");
        oci.delete("c1");
    }
}

fn two_deletions_leave_nothing(bed: &Bed) {
    let oci = Scene::new(bed);
    for _ in 0..rounds() {
        oci.create("c1", "sleep 30");
        let ran = both(bed, &oci, [&["delete", "c1"], &["delete", "c1"]]);
        assert_eq!(the_other_says(&ran), "container does not exist");
        oci.start("c1", "sleep 30");
        let force = ["delete", "--force", "c1"];
        let ran = both(bed, &oci, [&force, &force]);
        assert!(ran.iter().all(|ran| ran.code == Some(0)), "{ran:?}");
        assert!(!oci.root().join("c1").exists());
    }
}

fn of_two_starts_one_wins(bed: &Bed) {
    let oci = Scene::new(bed);
    for _ in 0..rounds() {
        oci.create("c1", "sleep 30");
        let ran = both(bed, &oci, [&["start", "c1"], &["start", "c1"]]);
        assert_eq!(the_other_says(&ran), "cannot start an already running container");
        assert_eq!(oci.status("c1"), "running");
        oci.delete("c1");
    }
}

fn a_start_and_a_kill_meet(bed: &Bed) {
    let oci = Scene::new(bed);
    for _ in 0..rounds() {
        oci.create("c1", "sleep 30");
        let [start, kill] = both(bed, &oci, [&["start", "c1"], &["kill", "c1", "KILL"]]);
        assert_eq!(kill.code, Some(0), "there is always somebody to kill: {kill:?}");
        if start.code != Some(0) {
            let told = complaint(&start);
            let ends = [
                "cannot start a container that has stopped",
                "between its start and its command",
                "no cell waits for its start",
                // Killed, and not yet dead.
                "cannot start an already running container",
            ];
            assert!(ends.iter().any(|end| told.contains(end)), "{told}");
        }
        oci.until("c1", "stopped");
        oci.call(&["delete", "c1"]).ok();
    }
}

fn a_creation_and_a_deletion_by_force_meet(bed: &Bed) {
    let oci = Scene::new(bed);
    let bundle = oci.bundle("c1", oci.config("sleep 30"));
    let create = ["create", "-b", bundle.to_str().unwrap(), "c1"];
    for _ in 0..rounds() {
        let [create, delete] = both(bed, &oci, [&create, &["delete", "--force", "c1"]]);
        assert_eq!(delete.code, Some(0), "{delete:?}");
        match create.code {
            Some(0) => {}
            // Removed before it was begun.
            _ => assert_eq!(complaint(&create), "container does not exist"),
        }
        oci.delete("c1");
    }
}
