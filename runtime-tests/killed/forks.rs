//! Embedders that fork: their children have copies of everything, and own nothing.

use std::time::{Duration, Instant};

use hotcell::launch::Stdio;
use hotcell::native::{Created, Error, Instance as Driver, Options, Running};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::embedder::{Embedder, lasting};
use super::host::sweep;
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_fork_that_lives_on_keeps_nothing_alive, Cells, Busybox),
        test!(a_fork_can_neither_make_cells_nor_end_any, Cells, Busybox),
    ]
}

/// The embedder's side: one thread, so a fork may do what it likes.
pub fn play(part: &str, options: Options) {
    let driver = Driver::open(options.clone()).unwrap();
    let name = Some("the-name".parse().unwrap());
    let mut running = driver.create(name, &lasting(), None).unwrap().run(Stdio::default()).unwrap();
    let created = driver.create(None, &lasting(), None).unwrap();
    let Some(child) = fork() else {
        if part == "fork-drops" {
            drop_all(driver, created, running, options);
            std::process::exit(0);
        }
        return std::thread::sleep(Duration::from_secs(60));
    };
    if part == "fork-drops" {
        let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(0));
        assert!(running.wait(Some(Instant::now())).unwrap().is_none());
        created.run(Stdio::default()).unwrap().close().unwrap();
    }
    println!("{}", child.as_raw_nonzero());
    std::thread::sleep(Duration::from_secs(60));
}

/// `None` in the child.
#[allow(unsafe_code, reason = "forking needs libc")]
fn fork() -> Option<Pid> {
    // SAFETY: this process has one thread, so the child may use all it has.
    Pid::from_raw(unsafe { libc::fork() })
}

/// What a fork may try with its parent's handles.
fn drop_all(driver: Driver, created: Created, running: Running, options: Options) {
    let refused = |outcome: Result<(), Error>| {
        assert!(matches!(outcome, Err(Error::Forked { .. })), "{outcome:?}");
    };
    refused(driver.create(None, &lasting(), None).map(drop));
    refused(driver.create_from_spec(None, created.spec(), None).map(drop));
    refused(created.close());
    refused(driver.clone().close());
    drop((running, driver));
    // One of its own is another matter; its sweep finds its parent alive.
    let own = Driver::open(options).unwrap();
    crate::bed::finish(&own, &crate::bed::script("true"));
    own.close().unwrap();
}

fn a_fork_that_lives_on_keeps_nothing_alive(bed: &Bed) {
    let mut embedder = Embedder::start(bed, "fork", 0);
    let child = child(&mut embedder);
    embedder.kill();
    sweep(bed);
    let driver = bed.driver();
    let again = driver.create(Some("the-name".parse().unwrap()), &lasting(), None).unwrap();
    again.close().unwrap();
    driver.close().unwrap();
    kill_process(child, Signal::KILL).unwrap();
}

fn a_fork_can_neither_make_cells_nor_end_any(bed: &Bed) {
    let mut embedder = Embedder::start(bed, "fork-drops", 0);
    child(&mut embedder);
    // Its locks are still there, though the fork has closed its copies of them.
    let driver = bed.driver();
    let cells = crate::contract::tools::cells();
    assert!(cells.iter().any(|cell| cell.to_string_lossy().ends_with("-the-name")), "{cells:?}");
    drop(driver);
    embedder.kill();
    sweep(bed);
}

/// The fork, once the embedder says that it is there.
fn child(embedder: &mut Embedder) -> Pid {
    Pid::from_raw(embedder.line().parse().unwrap()).unwrap()
}
