//! Freezing, thawing, killing and measuring a cell that runs.

use std::time::{Duration, Instant};

use hotcell::cgroup::Cgroup;
use hotcell::launch::Exit;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::bed::{Bed, script, start};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_frozen_cell_stands_still_and_goes_on, Cells, Busybox),
        test!(a_frozen_cell_can_be_killed_and_closed, Cells, Busybox),
        test!(freezing_races_with_the_end, Cells, Busybox),
        test!(a_crowded_cell_is_tried_first_and_then_waited_for, Cells, Busybox),
        test!(freezing_without_descriptors_leaves_nothing_frozen, Cells, Busybox),
        test!(kill_takes_every_process, Cells, Busybox),
        test!(a_deadline_comes_first_or_the_end_does, Cells, Busybox),
        test!(a_sample_of_a_running_cell, Cells, Busybox, Memory, Pids),
    ]
}

const BUSY: &str = "while :; do :; done";

/// A cell counts as frozen a little before its last task has left its CPU, and what that used is
/// counted when it has: then nothing is, however long one looks.
#[track_caller]
fn assert_still(cgroup: &Cgroup, time: Duration) {
    let cpu = || cgroup.sample().unwrap().cpu_total;
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let frozen = cpu();
        std::thread::sleep(time);
        let ran = cpu() - frozen;
        if ran.is_zero() {
            return;
        }
        assert!(Instant::now() < deadline, "it ran for {ran:?} while frozen");
    }
}

fn a_frozen_cell_stands_still_and_goes_on(bed: &Bed) {
    let driver = bed.driver();
    let mut running = start(&driver, &script(BUSY));
    let cpu = || running.cgroup().sample().unwrap().cpu_total;
    running.cgroup().freeze().unwrap();
    assert_still(running.cgroup(), Duration::from_millis(100));
    assert!(running.cgroup().is_populated().unwrap());
    running.cgroup().freeze().unwrap();
    let frozen = cpu();
    running.cgroup().thaw().unwrap();
    running.cgroup().thaw().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while cpu() == frozen {
        assert!(Instant::now() < deadline, "it does not run after the thaw");
        std::thread::yield_now();
    }
    running.signal(Signal::TERM).unwrap();
    assert_eq!(running.wait(None).unwrap().unwrap().exit, Exit::Signal(15));
    running.close().unwrap();
}

fn a_frozen_cell_can_be_killed_and_closed(bed: &Bed) {
    let driver = bed.driver();
    let mut running = start(&driver, &script(BUSY));
    running.cgroup().freeze().unwrap();
    running.kill().unwrap();
    assert_eq!(running.wait(None).unwrap().unwrap().exit, Exit::Signal(9));
    running.close().unwrap();
    // Closed without a word before.
    let running = start(&driver, &script(BUSY));
    running.cgroup().freeze().unwrap();
    running.close().unwrap();
}

fn freezing_races_with_the_end(bed: &Bed) {
    let driver = bed.driver();
    for _ in 0..30 {
        let mut running = start(&driver, &script("exit 4"));
        running.cgroup().freeze().unwrap();
        running.cgroup().thaw().unwrap();
        assert_eq!(running.wait(None).unwrap().unwrap().exit, Exit::Code(4));
        // Nothing is left to freeze, and that is no error.
        running.cgroup().freeze().unwrap();
        running.close().unwrap();
    }
}

fn a_crowded_cell_is_tried_first_and_then_waited_for(bed: &Bed) {
    let driver = bed.driver();
    let running =
        start(&driver, &script(&format!("for i in 1 2 3 4 5 6 7 8; do {BUSY} & done; wait")));
    let cgroup = running.cgroup();
    for _ in 0..30 {
        if !cgroup.try_freeze().unwrap() {
            cgroup.freeze().unwrap();
        }
        assert_still(cgroup, Duration::from_millis(10));
        if !cgroup.try_thaw().unwrap() {
            cgroup.thaw().unwrap();
        }
    }
    running.close().unwrap();
}

/// No file can be opened while this lives.
struct NoDescriptors(Rlimit);

impl NoDescriptors {
    fn new() -> NoDescriptors {
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).unwrap();
        NoDescriptors(before)
    }
}

impl Drop for NoDescriptors {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.0).unwrap();
    }
}

fn freezing_without_descriptors_leaves_nothing_frozen(bed: &Bed) {
    let driver = bed.driver();
    let running = start(&driver, &script(BUSY));
    let cgroup = running.cgroup();
    let cpu = || cgroup.sample().unwrap().cpu_total;
    let before = cpu();
    {
        let _none = NoDescriptors::new();
        cgroup.try_freeze().unwrap_err();
        cgroup.freeze().unwrap_err();
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while cpu() == before {
        assert!(Instant::now() < deadline, "a failed freeze stopped it");
        std::thread::yield_now();
    }
    // Once frozen, it can be thawed and frozen again with what is open.
    cgroup.freeze().unwrap();
    {
        let _none = NoDescriptors::new();
        cgroup.thaw().unwrap();
        cgroup.freeze().unwrap();
        cgroup.thaw().unwrap();
    }
    running.close().unwrap();
}

fn kill_takes_every_process(bed: &Bed) {
    let driver = bed.driver();
    let mut running = start(&driver, &script("for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; wait"));
    running.kill().unwrap();
    assert_eq!(running.wait(None).unwrap().unwrap().exit, Exit::Signal(9));
    assert!(!running.cgroup().is_populated().unwrap());
    running.close().unwrap();
}

fn a_deadline_comes_first_or_the_end_does(bed: &Bed) {
    let driver = bed.driver();
    let mut running = start(&driver, &script("sleep 60"));
    let soon = Some(Instant::now() + Duration::from_millis(50));
    assert!(running.wait(soon).unwrap().is_none());
    running.kill().unwrap();
    let first = running.wait(None).unwrap().unwrap().clone();
    // Asked again, it answers the same.
    assert_eq!(running.wait(soon).unwrap(), Some(&first));
    running.close().unwrap();
}

fn a_sample_of_a_running_cell(bed: &Bed) {
    let driver = bed.driver();
    let running = start(&driver, &script("sleep 60 & sleep 60; true"));
    let deadline = Instant::now() + Duration::from_secs(5);
    let sample = loop {
        let sample = running.cgroup().sample().unwrap();
        if sample.pids >= Some(4) || Instant::now() > deadline {
            break sample;
        }
    };
    assert_eq!(sample.pids, Some(4), "init, shell and two sleeps: {sample:?}");
    assert!(sample.memory_bytes > Some(0) && sample.memory_peak_bytes >= sample.memory_bytes);
    running.close().unwrap();
}
