//! What a script can make the operations do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{MockDriver, Operation, Play};
use crate::contract::{
    BackOffConfig, Context, Cookie, Driver, Error, ErrorKind, State, Status, Task, TaskBuilder,
};

pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) fn task() -> TaskBuilder {
    Task::builder("any")
}

pub(super) fn host_error(text: &str) -> Error {
    Error::new(ErrorKind::Host, text)
}

pub(super) async fn cookie_of(driver: &MockDriver, task: TaskBuilder) -> Box<dyn Cookie> {
    driver.create_cookie(&Context::background(), Arc::new(task.build())).await.unwrap()
}

async fn cookie(play: Play) -> Box<dyn Cookie> {
    cookie_of(&MockDriver::scripted(move |_| play.clone()), task()).await
}

pub(super) async fn created(play: Play) -> Box<dyn Cookie> {
    let (cookie, context) = (cookie(play).await, Context::background());
    assert!(!cookie.validate_image(&context).await.unwrap());
    cookie.create_container(&context).await.unwrap();
    cookie
}

#[tokio::test]
async fn a_script_decides_task_by_task() {
    let driver = MockDriver::scripted(|task| match task.command().as_str() {
        "bad" => Play::exits(9),
        _ => Play::default(),
    });
    let context = Context::background();
    for (command, status) in [("bad", Status::Error), ("good", Status::Success)] {
        let cookie = cookie_of(&driver, task().command(command)).await;
        cookie.validate_image(&context).await.unwrap();
        cookie.create_container(&context).await.unwrap();
        let wait = cookie.run(&context).await.unwrap();
        assert_eq!(wait.wait(&context).await.status(), status);
    }
}

#[tokio::test(start_paused = true)]
async fn every_operation_can_be_slow_and_obeys_its_context() {
    let context = Context::background();
    let short = || context.with_timeout(5 * MS);
    let slow = |operation| Play::never_ends().delay(operation, 10 * MS);

    let driver = MockDriver::scripted(move |_| slow(Operation::CreateCookie));
    let wish = Arc::new(task().build());
    let late = driver.create_cookie(&short(), wish).await.map(drop);
    assert_eq!(late.unwrap_err().kind(), ErrorKind::DeadlineExceeded);

    let late = cookie(slow(Operation::ValidateImage)).await;
    let error = late.validate_image(&short()).await.unwrap_err();
    assert_eq!((error.kind(), late.state()), (ErrorKind::DeadlineExceeded, State::Configured));

    let late = cookie(slow(Operation::PullImage).needs_pull()).await;
    assert!(late.validate_image(&context).await.unwrap());
    let error = late.pull_image(&short()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PullTimeout, "fn's own word for a late pull");

    let late = created(slow(Operation::Run)).await;
    let error = late.run(&short()).await.map(drop).unwrap_err();
    assert_eq!((error.kind(), late.state()), (ErrorKind::DeadlineExceeded, State::Created));

    for operation in [Operation::Freeze, Operation::Signal, Operation::Stop] {
        let late = created(slow(operation)).await;
        late.run(&context).await.unwrap();
        let error = match operation {
            Operation::Freeze => late.freeze(&short()).await,
            Operation::Signal => late.signal(&short(), 15).await,
            _ => late.stop(&short(), 15, MS).await,
        };
        let kind = error.unwrap_err().kind();
        assert_eq!((kind, late.state()), (ErrorKind::DeadlineExceeded, State::Running));
    }

    let late = created(slow(Operation::Close)).await;
    let error = late.close(&short()).await.unwrap_err();
    assert_eq!((error.kind(), late.state()), (ErrorKind::DeadlineExceeded, State::Created));
    late.close(&context).await.unwrap();
    assert_eq!(late.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_close_interrupts_what_is_slow() {
    let slow = created(Play::default().delay(Operation::Run, Duration::from_secs(60))).await;
    let context = Context::background();
    let (run, close) = tokio::join!(slow.run(&context), slow.close(&context));
    assert_eq!(run.map(drop).unwrap_err().kind(), ErrorKind::Closed);
    close.unwrap();
}

#[tokio::test]
async fn a_fault_comes_so_often_and_changes_nothing() {
    let context = Context::background();
    let play = Play::never_ends()
        .fail_times(2, Operation::CreateContainer, host_error("disk"))
        .fail_times(1, Operation::Freeze, host_error("freezer"))
        .fail(Operation::Signal, host_error("signal"));
    let cookie = cookie(play).await;
    cookie.validate_image(&context).await.unwrap();
    for _ in 0..2 {
        assert_eq!(cookie.create_container(&context).await.unwrap_err().to_string(), "disk");
        assert_eq!(cookie.state(), State::ImageReady);
    }
    cookie.create_container(&context).await.unwrap();
    cookie.run(&context).await.unwrap();
    assert_eq!(cookie.freeze(&context).await.unwrap_err().to_string(), "freezer");
    assert_eq!(cookie.state(), State::Running);
    cookie.freeze(&context).await.unwrap();
    for _ in 0..3 {
        assert_eq!(cookie.signal(&context, 15).await.unwrap_err().to_string(), "signal");
    }
}

#[tokio::test]
async fn a_close_that_fails_gives_everyone_the_same_answer_and_frees_the_id() {
    let leftovers = Error::new(ErrorKind::Leftovers, "a directory is left");
    let driver = MockDriver::scripted(move |task| match task.command().as_str() {
        "bad" => Play::default().fail(Operation::Close, leftovers.clone()),
        _ => Play::default(),
    });
    let context = Context::background();
    let cookie = cookie_of(&driver, task().id("x").command("bad")).await;
    cookie.validate_image(&context).await.unwrap();
    cookie.create_container(&context).await.unwrap();
    for _ in 0..3 {
        let error = cookie.close(&context).await.unwrap_err();
        assert_eq!((error.kind(), cookie.state()), (ErrorKind::Leftovers, State::Closed));
    }
    let next = cookie_of(&driver, task().id("x")).await;
    next.validate_image(&context).await.unwrap();
    next.create_container(&context).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pull_is_tried_again_as_the_policy_says() {
    let failing = |times| {
        let error = Error::new(ErrorKind::PullFailed, "try later");
        let play = Play::default().needs_pull().fail_times(times, Operation::PullImage, error);
        MockDriver::scripted(move |_| play.clone())
    };
    let context = Context::background();
    for (retries, fails, goes_well) in [(0, 1, false), (2, 2, true), (2, 3, false)] {
        let driver = failing(fails);
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        let policy = BackOffConfig { max_retries: retries, interval_ms: 100, ..Default::default() };
        let checker = Arc::new(move |error: Option<&Error>| {
            counter.fetch_add(u32::from(error.is_some()), Ordering::Relaxed);
            (true, "later".to_owned())
        });
        driver.set_pull_image_retry_policy(policy, checker).unwrap();
        let cookie = cookie_of(&driver, task()).await;
        assert!(cookie.validate_image(&context).await.unwrap());
        let begun = tokio::time::Instant::now();
        let pulled = cookie.pull_image(&context).await;
        assert_eq!(pulled.is_ok(), goes_well, "{retries} retries, {fails} failures");
        // Of the last failure, too, as under fn.
        let failures = u64::from(asked.load(Ordering::Relaxed));
        assert_eq!(failures, u64::from(fails).min(retries + 1));
        let waited = [0, 100, 400][usize::try_from(retries).unwrap()];
        assert!(begun.elapsed() >= waited * MS);
        assert_eq!(cookie.validate_image(&context).await.unwrap(), !goes_well);
    }
}

#[tokio::test]
async fn an_image_can_stay_missing_after_a_pull_that_went_well() {
    let (cookie, context) = (cookie(Play::default().image_stays_away()).await, Context::default());
    assert!(cookie.validate_image(&context).await.unwrap());
    cookie.pull_image(&context).await.unwrap();
    assert!(cookie.validate_image(&context).await.unwrap());
}
