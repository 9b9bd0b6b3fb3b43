//! Waits: with a deadline, cancelled, late, several, and with nobody who could know the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotcell::contract::{ErrorKind, State, Status, WaitResult};

use super::outcome::assert_code;
use super::tools::{
    PATIENCE, background, command, created, dead, driver, on_runtime, reaches, shell, started,
};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_16_a_deadline_ends_the_wait_and_not_the_task, Cells, Busybox),
        test!(row_17_a_cancel_ends_the_wait_and_not_the_task, Cells, Busybox),
        test!(row_18_and_19_the_tasks_end_beats_the_contexts, Cells, Busybox),
        test!(row_18_and_19_even_if_nobody_has_noticed_it, Cells, Busybox),
        test!(row_20_a_task_nobody_attends_is_no_success, Cells, Busybox),
        test!(row_20_an_end_nobody_attends_is_no_success, Cells, Busybox),
        test!(a_wait_needs_only_its_own_runtime, Cells, Busybox),
        test!(row_22_every_wait_gives_the_same_result, Cells, Busybox),
    ]
}

/// The row says 200 to 250 ms; the bound is ten times that, for hosts with other things to do.
const ENDS_SOON: Duration = Duration::from_millis(2500);
const WAIT: Duration = Duration::from_millis(200);

fn row_16_a_deadline_ends_the_wait_and_not_the_task(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, shell("sleep 1; exit 4")).await;
        let start = Instant::now();
        let result = wait.wait(&background().with_timeout(WAIT)).await;
        assert!(start.elapsed() >= WAIT && start.elapsed() < ENDS_SOON, "{:?}", start.elapsed());
        let error = result.error().unwrap();
        assert_eq!((result.status(), error.kind()), (Status::Timeout, ErrorKind::DeadlineExceeded));
        assert_eq!((error.http_status(), cookie.state()), (504, State::Running));
        assert!(cookie.exit_info().is_none());
        // A later wait gets the real result.
        assert_code(&wait.wait(&background()).await, 4);
        cookie.close(&background()).await.unwrap();
    });
}

fn row_17_a_cancel_ends_the_wait_and_not_the_task(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, shell("sleep 1; exit 4")).await;
        let (context, canceller) = background().with_cancel();
        let start = Instant::now();
        tokio::spawn(async move {
            tokio::time::sleep(WAIT).await;
            canceller.cancel();
        });
        let result = wait.wait(&context).await;
        assert!(start.elapsed() >= WAIT && start.elapsed() < ENDS_SOON, "{:?}", start.elapsed());
        let error = result.error().unwrap();
        assert_eq!((result.status(), error.kind()), (Status::Cancelled, ErrorKind::Cancelled));
        assert_eq!(cookie.state(), State::Running);
        assert_eq!(wait.wait(&dead()).await.status(), Status::Cancelled, "at once");
        assert_code(&wait.wait(&background().with_timeout(PATIENCE)).await, 4);
        cookie.close(&background()).await.unwrap();
    });
}

fn row_18_and_19_the_tasks_end_beats_the_contexts(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let over = background().with_timeout(Duration::ZERO);
        for context in [dead(), over] {
            let (cookie, wait) = started(&driver, shell("exit 3")).await;
            reaches(&*cookie, State::Exited).await;
            assert_code(&wait.wait(&context).await, 3);
            cookie.close(&background()).await.unwrap();
            // Upstream reports the cancel; the exit is knowable, so it is reported.
            let (cookie, wait) = started(&driver, command("true")).await;
            reaches(&*cookie, State::Exited).await;
            assert_eq!(wait.wait(&context).await.status(), Status::Success);
            cookie.close(&background()).await.unwrap();
        }
    });
}

/// On a runtime of one thread that the test keeps busy, only the kernel knows of the end.
fn row_18_and_19_even_if_nobody_has_noticed_it(bed: &Bed) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let driver = driver(bed);
        for (task, code) in [("true", 0), ("false", 1)] {
            let (cookie, wait) = started(&driver, command(task)).await;
            std::thread::sleep(Duration::from_millis(500));
            let result = wait.wait(&dead()).await;
            match code {
                0 => assert_eq!(result.status(), Status::Success),
                code => assert_code(&result, code),
            }
            cookie.close(&background()).await.unwrap();
        }
    });
}

/// A container that was started on a runtime which has shut down since.
fn unattended(bed: &Bed, task: &str, wait: bool) -> Status {
    let (driver, cookie, waits) = on_runtime(async {
        let driver = driver(bed);
        let cookie = created(&driver, command(task)).await;
        let waits = cookie.run(&background()).await.unwrap();
        if wait {
            reaches(&*cookie, State::Exited).await;
        }
        (driver, cookie, waits)
    });
    on_runtime(async {
        let result = waits.wait(&background()).await;
        let again = waits.wait(&background()).await;
        assert_eq!(format!("{again:?}"), format!("{result:?}"));
        if cookie.exit_info().is_none() {
            let error = result.error().unwrap();
            assert_eq!((error.kind(), error.http_status()), (ErrorKind::Host, 500));
            assert!(!error.is_function_error(), "{error}");
        }
        if task.starts_with("sleep") {
            // What nobody watches goes on all the same, and no call says otherwise.
            assert_eq!(cookie.state(), State::Running);
            let frozen = cookie.freeze(&background()).await;
            assert_eq!((frozen.is_ok(), cookie.state()), (true, State::Frozen));
            cookie.unfreeze(&background()).await.unwrap();
            cookie.stop(&background(), 15, PATIENCE).await.unwrap();
            assert_eq!(cookie.state(), State::Exited);
            assert_eq!(cookie.exit_info().unwrap().signal, Some(15));
        }
        cookie.close(&background()).await.unwrap();
        drop(driver);
        result.status()
    })
}

fn row_20_a_task_nobody_attends_is_no_success(bed: &Bed) {
    assert_eq!(unattended(bed, "sleep 60", false), Status::Error);
    // It has ended well, but who could know?
    for _ in 0..5 {
        let status = unattended(bed, "true", false);
        assert!([Status::Error, Status::Success].contains(&status), "{status}");
    }
}

fn row_20_an_end_nobody_attends_is_no_success(bed: &Bed) {
    for _ in 0..5 {
        // Seen to end is known to have ended.
        assert_eq!(unattended(bed, "true", true), Status::Success);
        assert_eq!(unattended(bed, "false", true), Status::Error);
    }
}

/// The runtime that started a task stands still; whoever waits finds out for itself.
fn a_wait_needs_only_its_own_runtime(bed: &Bed) {
    let idle = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let driver = driver(bed);
    for (task, status) in [("sleep 0.2", Status::Success), ("false", Status::Error)] {
        let (cookie, wait) = idle.block_on(started(&driver, command(task)));
        on_runtime(async {
            assert_eq!(wait.wait(&background().with_timeout(PATIENCE)).await.status(), status);
            assert_eq!(cookie.state(), State::Exited);
            cookie.close(&background()).await.unwrap();
        });
    }
    let (cookie, _wait) = idle.block_on(started(&driver, command("sleep 60")));
    on_runtime(async {
        cookie.stop(&background(), 15, PATIENCE).await.unwrap();
        assert_eq!(cookie.exit_info().unwrap().code, 143);
        cookie.close(&background()).await.unwrap();
    });
}

fn row_22_every_wait_gives_the_same_result(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, shell("sleep 0.3; exit 5")).await;
        let wait: Arc<dyn WaitResult> = wait.into();
        let both = [0, 1].map(|_| {
            let wait = Arc::clone(&wait);
            tokio::spawn(async move { wait.wait(&background()).await })
        });
        for waiting in both {
            assert_code(&waiting.await.unwrap(), 5);
        }
        assert_code(&wait.wait(&background()).await, 5);
        assert_code(&wait.wait(&dead()).await, 5);
        cookie.close(&background()).await.unwrap();
        assert_code(&wait.wait(&background()).await, 5);
        assert_code(&wait.wait(&dead()).await, 5);
    });
}
