//! fn's mock, as fn has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::MockDriver;
use crate::contract::{
    CallExtensions, Context, Cookie, Driver, ErrorKind, Result, State, Status, Task, WaitResult,
};

/// Takes a task all the way to its start.
async fn start(driver: &MockDriver) -> (Box<dyn Cookie>, Result<Box<dyn WaitResult>>) {
    let context = Context::background();
    let task = Arc::new(Task::builder("any").build());
    let cookie = driver.create_cookie(&context, task).await.unwrap();
    assert!(!cookie.validate_image(&context).await.unwrap());
    cookie.pull_image(&context).await.unwrap();
    cookie.create_container(&context).await.unwrap();
    let wait = cookie.run(&context).await;
    (cookie, wait)
}

#[tokio::test]
async fn every_hundredth_start_fails_and_all_others_end_well() {
    let driver = MockDriver::new();
    let context = Context::background();
    let mut failed = Vec::new();
    for number in 1..=1000 {
        let (cookie, wait) = start(&driver).await;
        match wait {
            Ok(wait) => assert_eq!(wait.wait(&context).await.status(), Status::Success),
            Err(error) => {
                failed.push(number);
                assert_eq!(error.kind(), ErrorKind::Launch);
                assert!(error.to_string().starts_with("mock driver error"), "{error}");
                assert_eq!((cookie.state(), cookie.exit_info()), (State::Exited, None));
            }
        }
        cookie.close(&context).await.unwrap();
    }
    assert_eq!(failed, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
}

#[test]
fn eight_threads_share_one_count() {
    let driver = MockDriver::new();
    let failed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                runtime.enable_all().build().unwrap().block_on(async {
                    for _ in 0..125 {
                        let (cookie, wait) = start(&driver).await;
                        failed.fetch_add(u64::from(wait.is_err()), Ordering::Relaxed);
                        cookie.close(&Context::background()).await.unwrap();
                    }
                });
            });
        }
    });
    assert_eq!((driver.runs(), failed.into_inner()), (1000, 10));
}

#[tokio::test]
async fn the_count_is_the_drivers_own() {
    let (one, other) = (MockDriver::new(), MockDriver::new());
    for _ in 0..99 {
        assert!(start(&one).await.1.is_ok());
    }
    assert!(start(&other).await.1.is_ok());
    assert!(start(&one.clone()).await.1.is_err(), "a clone is the same driver");
}

#[tokio::test]
async fn calls_never_need_a_container_of_their_own() {
    let extensions = CallExtensions::from([("gpu".into(), "1".into())]);
    assert_eq!(MockDriver::new().get_slot_key_extensions(&extensions), "");
}

#[test]
fn a_cookie_may_outlive_its_runtime() {
    let driver = MockDriver::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (cookie, wait) = first.block_on(start(&driver));
    let wait = wait.unwrap();
    // The task has not been polled yet, and never will be.
    drop(first);
    let result = runtime().block_on(wait.wait(&Context::background()));
    assert_eq!((result.status(), cookie.state()), (Status::Error, State::Exited));
    assert_eq!(result.error().unwrap().kind(), ErrorKind::Host);
    drop(cookie);
}
