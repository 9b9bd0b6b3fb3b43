//! Stages, their order, and closing at any time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotcell::contract::{Driver, ErrorKind, State, Status};

use super::tools::{background, command, created, driver, finished, on_runtime, started};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_task_goes_from_cookie_to_close, Cells, Busybox),
        test!(run_returns_while_the_task_runs, Cells, Busybox),
        test!(a_frozen_container_closes_without_a_thaw, Cells, Busybox),
    ]
}

fn a_task_goes_from_cookie_to_close(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let task = command("true").id("first").build();
        let cookie = driver.create_cookie(&background(), Arc::new(task)).await.unwrap();
        assert_eq!(cookie.state(), State::Configured);
        let early = cookie.create_container(&background()).await.unwrap_err();
        assert_eq!(early.kind(), ErrorKind::WrongStage, "{early}");
        assert!(!cookie.validate_image(&background()).await.unwrap());
        assert!(!cookie.validate_image(&background()).await.unwrap());
        cookie.create_container(&background()).await.unwrap();
        cookie.create_container(&background()).await.unwrap();
        assert_eq!(cookie.state(), State::Created);
        let wait = cookie.run(&background()).await.unwrap();
        let result = wait.wait(&background()).await;
        assert_eq!(result.status(), Status::Success, "{result:?}");
        assert_eq!(cookie.state(), State::Exited);
        assert_eq!(cookie.exit_info().unwrap().code, 0);
        cookie.close(&background()).await.unwrap();
        cookie.close(&background()).await.unwrap();
        assert_eq!(cookie.state(), State::Closed);
        let late = cookie.run(&background()).await.err().unwrap();
        assert_eq!(late.kind(), ErrorKind::Closed);
        driver.close().await.unwrap();
    });
}

fn run_returns_while_the_task_runs(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let cookie = created(&driver, command("sleep 60")).await;
        let start = Instant::now();
        let wait = cookie.run(&background()).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "it waited for the task");
        assert_eq!(cookie.state(), State::Running);
        let soon = background().with_timeout(Duration::from_millis(200));
        assert_eq!(wait.wait(&soon).await.status(), Status::Timeout);
        cookie.close(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Killed);
        assert_eq!(finished(&driver, command("false")).await.status(), Status::Error);
    });
}

fn a_frozen_container_closes_without_a_thaw(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, command("sleep 60")).await;
        cookie.freeze(&background()).await.unwrap();
        assert_eq!(cookie.state(), State::Frozen);
        let again = cookie.freeze(&background()).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::WrongStage);
        cookie.close(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Killed);
    });
}
