//! Inits that somebody has stopped: they are killed like any other.

use std::time::{Duration, Instant};

use hotcell::cgroup::Hierarchies;
use hotcell::contract::Driver;
use rustix::process::{Pid, Signal, kill_process};

use crate::bed::{Bed, cgroup_parent, script, start};
use crate::contract::tools::{background, command, driver, on_runtime, started};
use crate::{Test, test};

/// Far more than a kill takes, and less than any patience of the driver's.
const HANGS: Duration = Duration::from_secs(8);

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_stopped_init_is_killed_at_once, Cells, Busybox),
        test!(a_container_with_a_stopped_init_is_closed_at_once, Cells, Busybox),
        #[cfg(feature = "fault-injection")]
        test!(a_start_whose_init_is_stopped_ends_with_its_container, Cells, Busybox),
        #[cfg(feature = "fault-injection")]
        test!(an_init_that_hangs_is_given_up, Cells, Busybox),
    ]
}

fn stop(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
    let stat = format!("/proc/{pid}/stat");
    let is_stopped = || std::fs::read_to_string(&stat).unwrap().contains(") T ");
    let since = Instant::now();
    while !is_stopped() {
        assert!(since.elapsed() < HANGS, "it does not stop");
        std::thread::yield_now();
    }
}

fn a_stopped_init_is_killed_at_once(bed: &Bed) {
    let driver = bed.driver();
    for init in [true, false] {
        let mut config = script("sleep 600");
        config.init = init;
        let mut running = start(&driver, &config);
        stop(running.cell().pid());
        running.kill().unwrap();
        assert!(running.wait(Some(Instant::now() + HANGS)).unwrap().is_some(), "init: {init}");
        running.close().unwrap();
        // The same without a word before.
        let running = start(&driver, &config);
        stop(running.cell().pid());
        let since = Instant::now();
        running.close().unwrap();
        assert!(since.elapsed() < HANGS, "init: {init}");
    }
}

/// The host's number of the first process of this run's only cell.
fn first_process() -> i32 {
    let unified = Hierarchies::detect().unwrap().unified;
    let mut cells = std::fs::read_dir(unified.join(cgroup_parent())).unwrap().flatten();
    let cell = cells.find(|entry| entry.path().is_dir()).unwrap();
    let processes = std::fs::read_to_string(cell.path().join("cgroup.procs")).unwrap();
    processes.lines().next().unwrap().parse().unwrap()
}

fn a_container_with_a_stopped_init_is_closed_at_once(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, command("sleep 600")).await;
        stop(first_process());
        let closed = tokio::time::timeout(HANGS, cookie.close(&background())).await;
        closed.expect("it hangs").unwrap();
        drop(wait);
        driver.close().await.unwrap();
    });
}

#[cfg(feature = "fault-injection")]
fn a_start_whose_init_is_stopped_ends_with_its_container(bed: &Bed) {
    use crate::contract::tools::created;
    use hotcell::fault::{Action, Fault, Point};
    for step in [1, 20, 40] {
        on_runtime(async {
            let driver = driver(bed);
            let cookie = created(&driver, command("true")).await;
            let armed = Fault::new(Point::InitStep, Action::Stop).nth(step).arm();
            let context = background();
            let mut run = std::pin::pin!(cookie.run(&context));
            let hung = tokio::time::timeout(Duration::from_millis(200), &mut run).await;
            assert!(hung.is_err() && armed.struck(), "step {step} was not reached");
            stop(first_process());
            let closed = tokio::time::timeout(HANGS, cookie.close(&context)).await;
            closed.expect("it hangs").unwrap();
            let error = run.await.err().expect("nothing ran");
            assert_eq!(error.kind(), hotcell::contract::ErrorKind::Closed, "{error}");
            driver.close().await.unwrap();
        });
    }
}

/// Thirty seconds: whole runs only.
#[cfg(feature = "fault-injection")]
fn an_init_that_hangs_is_given_up(bed: &Bed) {
    use hotcell::fault::{Action, Fault, Point};
    use hotcell::launch::Stdio;
    if !crate::host::soak() {
        return;
    }
    let driver = bed.driver();
    let created = driver.create(None, &script("true"), None).unwrap();
    let armed = Fault::new(Point::InitStep, Action::Stop).nth(30).arm();
    let error = created.run(Stdio::default()).unwrap_err().to_string();
    assert_eq!(error, "the cell's set-up did not finish within 30s");
    assert!(armed.struck());
}
