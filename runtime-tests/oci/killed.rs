//! Commands killed at every point on their way: `delete --force` finds all that they left.

use std::process::{Command, Stdio};

use hotcell::cgroup::{Controller, Hierarchies};
use hotcell::fault::{ENV, Point};

use super::scene::Scene;
use crate::bed::{Bed, cgroup_parent, every_cgroup_dir};
use crate::host::soak;
use crate::{Test, test};

/// More often than any command comes by a point.
const ENOUGH: u32 = 300;
const SIGKILL: i32 = 9;

pub fn tests() -> Vec<Test> {
    vec![
        test!(what_a_killed_creation_leaves_is_deleted_by_force, Cells, Busybox),
        test!(a_killed_creation_costs_nobody_else_his_life, Cells, Busybox, Hybrid, Pids),
        test!(a_killed_deletion_is_done_again, Cells, Busybox),
        test!(what_a_killed_start_leaves_is_deleted_by_force, Cells, Busybox),
        test!(what_a_killed_run_leaves_is_deleted_by_force, Cells, Busybox),
        test!(a_killed_entry_leaves_the_container_as_it_was, Cells, Busybox),
    ]
}

/// Kills `command` at every point it comes by, and looks `after` it each time.
fn at_every_point(mut command: impl FnMut() -> Command, mut after: impl FnMut()) -> u32 {
    let mut kills = 0;
    for point in Point::ALL.iter().filter(|point| **point != Point::InitStep) {
        let mut nth = 1;
        loop {
            assert!(nth < ENOUGH, "{} is reached for ever", point.name());
            let mut command = command();
            command.env(ENV, format!("{}:{nth}=kill", point.name()));
            let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
            let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(SIGKILL);
            after();
            if !killed {
                break;
            }
            kills += 1;
            nth = if soak() { nth + 1 } else { nth * 4 };
        }
    }
    kills
}

/// Nothing of the container is there: no directory, no cgroup, no process in one.
fn gone(oci: &Scene<'_>) {
    oci.call(&["delete", "--force", "c1"]).ok();
    assert!(!oci.root().join("c1").exists());
    // One that only waits to be reaped is in a cgroup that is gone.
    let place = format!("/{}/oci-c1\n", cgroup_parent());
    let left: Vec<_> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("cgroup")).ok())
        .filter(|cgroups| cgroups.contains(&place))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let dirs = every_cgroup_dir().into_iter().map(|dir| dir.join("oci-c1"));
    let left: Vec<_> = dirs.filter(|dir| dir.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn what_a_killed_creation_leaves_is_deleted_by_force(bed: &Bed) {
    let oci = Scene::new(bed);
    let bundle = oci.bundle("c1", oci.config("sleep 30"));
    let create = || oci.command(&["create", "-b", bundle.to_str().unwrap(), "c1"]);
    let kills = at_every_point(create, || gone(&oci));
    assert!(kills > 20, "{kills}");
}

/// He lives at the container's place in one hierarchy, and that is noticed late.
fn a_killed_creation_costs_nobody_else_his_life(bed: &Bed) {
    let oci = Scene::new(bed);
    let bundle = oci.bundle("c1", oci.config("true"));
    // A hybrid host may have it in the v2 tree.
    let Some(pids) = Hierarchies::detect().unwrap().v1.remove(&Controller::Pids) else { return };
    let place = pids.join(cgroup_parent()).join("oci-c1");
    std::fs::create_dir_all(&place).unwrap();
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    std::fs::write(place.join("cgroup.procs"), other.id().to_string()).unwrap();
    let create = || oci.command(&["create", "-b", bundle.to_str().unwrap(), "c1"]);
    let others: Vec<_> = every_cgroup_dir().into_iter().map(|dir| dir.join("oci-c1")).collect();
    let kills = at_every_point(create, || {
        oci.delete("c1");
        let left: Vec<_> = others.iter().filter(|dir| dir.exists()).collect();
        assert_eq!(left, [&place]);
        assert!(other.try_wait().unwrap().is_none());
    });
    assert!(kills > 20, "{kills}");
    other.kill().unwrap();
    other.wait().unwrap();
    std::fs::remove_dir(place).unwrap();
}

fn a_killed_deletion_is_done_again(bed: &Bed) {
    let oci = Scene::new(bed);
    let delete = || {
        oci.start("c1", "sleep 30");
        oci.command(&["delete", "--force", "c1"])
    };
    let kills = at_every_point(delete, || gone(&oci));
    assert!(kills > 3, "{kills}");
}

fn what_a_killed_start_leaves_is_deleted_by_force(bed: &Bed) {
    let oci = Scene::new(bed);
    let start = || {
        oci.create("c1", "sleep 30");
        oci.command(&["start", "c1"])
    };
    let kills = at_every_point(start, || gone(&oci));
    assert!(kills > 0, "{kills}");
}

fn what_a_killed_run_leaves_is_deleted_by_force(bed: &Bed) {
    let oci = Scene::new(bed);
    let bundle = oci.bundle("c1", oci.config("sleep 30"));
    let run = || oci.command(&["run", "--detach", "-b", bundle.to_str().unwrap(), "c1"]);
    let kills = at_every_point(run, || gone(&oci));
    assert!(kills > 20, "{kills}");
}

fn a_killed_entry_leaves_the_container_as_it_was(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.start("c1", "sleep 30");
    let exec = || oci.command(&["exec", "c1", "true"]);
    let kills = at_every_point(exec, || {
        assert_eq!(oci.status("c1"), "running");
        oci.call(&["exec", "c1", "true"]).ok();
    });
    assert!(kills > 3, "{kills}");
    gone(&oci);
}
