//! Drivers that are killed, and the sweep that comes after them.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::bed::{Bed, script, start};
use crate::host::soak;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_third_of_the_launchers_is_killed, Cells, Busybox),
        test!(a_living_drivers_cells_are_not_swept, Cells, Busybox),
        test!(the_last_driver_takes_the_parent_cgroup_away, Cells, Busybox),
        test!(odd_things_in_the_state_directory_are_left_alone, Cells, Busybox),
        test!(half_made_instances_are_swept, Cells, Busybox),
        test!(a_state_directory_open_to_others_is_refused, Cells, Busybox),
    ]
}

/// Numbers that differ from run to run; a failure prints what was drawn.
fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
    u64::from_ne_bytes(bytes) % below
}

/// Launchers in all flavours, every third killed at a random instant of its life. The one run that
/// follows sweeps; the look at the host around this test sees whether anything is left.
fn a_third_of_the_launchers_is_killed(bed: &Bed) {
    let rounds = if soak() { 300 } else { 45 };
    for round in 0..rounds {
        let flags: &[&str] = match round % 4 {
            0 => &["--init", "--upper", "tmpfs", "--memory", "64m"],
            1 => &["--upper", "disk", "--name", "same-name"],
            2 => &["--read-only", "--pids-limit", "20", "--network", "host"],
            _ => &["--init", "--upper", "disk", "--cpus", "0.9"],
        };
        let mut child = bed.spawn_sh(flags, "sleep 0.02 & sleep 0.01; exit 5");
        if round % 3 == 0 {
            std::thread::sleep(Duration::from_micros(random(60_000)));
            // It may have ended already: that instant counts too.
            let _ = kill_process(Pid::from_child(&child), Signal::KILL);
            child.wait().unwrap();
        } else {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(5), "{output:?}");
        }
    }
    assert_eq!(bed.sh(&[], "exit 9").code, Some(9));
}

fn a_living_drivers_cells_are_not_swept(bed: &Bed) {
    let first = bed.driver();
    let mut running = start(&first, &script("sleep 60"));
    let second = bed.driver();
    assert!(running.wait(Some(Instant::now())).unwrap().is_none());
    drop(start(&second, &script("sleep 60")));
    drop(second);
    assert!(running.wait(Some(Instant::now())).unwrap().is_none());
    running.close().unwrap();
}

fn the_last_driver_takes_the_parent_cgroup_away(bed: &Bed) {
    let there = || crate::bed::cgroup_dirs().iter().filter(|dir| dir.exists()).count();
    let first = bed.driver();
    let all = crate::bed::cgroup_dirs().len();
    assert_eq!(there(), all);
    drop(bed.driver());
    assert_eq!(there(), all, "the first is still there");
    let running = start(&first, &script("sleep 60"));
    drop(first);
    assert_eq!(there(), all, "a cell holds its driver");
    running.close().unwrap();
    assert_eq!(there(), 0);
    // One that an administrator made, with limits of theirs, stays.
    crate::bed::cgroup_dirs().iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
    drop(bed.driver());
    assert_eq!(there(), all);
    crate::bed::cgroup_dirs().iter().for_each(|dir| std::fs::remove_dir(dir).unwrap());
}

fn odd_things_in_the_state_directory_are_left_alone(bed: &Bed) {
    drop(bed.driver());
    let state = bed.options().state_dir;
    let outside = bed.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("precious"), "").unwrap();
    // Named like an instance, but a link; and a file; and a directory with another name.
    std::os::unix::fs::symlink(&outside, state.join("0123456789ab")).unwrap();
    std::fs::write(state.join("ba9876543210"), "").unwrap();
    std::fs::create_dir(state.join("precious")).unwrap();
    drop(bed.driver());
    assert!(outside.join("precious").exists() && state.join("precious").exists());
    assert!(crate::bed::cgroup_dirs().iter().all(|dir| !dir.exists()), "none of them is a driver");
    std::fs::remove_file(state.join("0123456789ab")).unwrap();
    std::fs::remove_file(state.join("ba9876543210")).unwrap();
    std::fs::remove_dir(state.join("precious")).unwrap();
}

fn half_made_instances_are_swept(bed: &Bed) {
    drop(bed.driver());
    let state = bed.options().state_dir;
    let outside = bed.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("precious"), "").unwrap();
    let records = [
        None,
        Some("{".to_owned()),
        Some(r#"{"cgroup_parent":"..","data_dir":"/"}"#.to_owned()),
        Some(format!(
            r#"{{"cgroup_parent":"{}","data_dir":"/no/such"}}"#,
            bed.options().cgroup_parent
        )),
    ];
    for (at, record) in records.iter().enumerate() {
        let dir = state.join(format!("00000000000{at}"));
        std::fs::create_dir_all(dir.join("cell/deep")).unwrap();
        std::os::unix::fs::symlink(&outside, dir.join("cell/link")).unwrap();
        if let Some(record) = record {
            std::fs::write(dir.join(".instance.json"), record).unwrap();
        }
    }
    drop(bed.driver());
    let left: Vec<_> = std::fs::read_dir(&state).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("0000")), "{left:?}");
    assert!(outside.join("precious").exists());
}

fn a_state_directory_open_to_others_is_refused(bed: &Bed) {
    let state = bed.options().state_dir;
    std::fs::create_dir_all(&state).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&state, mode).unwrap();
    let ran = bed.sh(&[], "true");
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(ran.err.contains("700") && ran.err.contains("state"), "{ran:?}");
}
