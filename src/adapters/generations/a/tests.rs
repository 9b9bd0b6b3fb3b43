//! Generation A over a fake driver: timeouts and cancellations above all.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::super::fake::{Fake, FakeDriver, Program, greeting_task, plain_task};
use super::*;
use crate::contract::{ErrorKind, Task};

fn facade(fake: Fake) -> (Facade, Arc<Fake>) {
    let fake = Arc::new(fake);
    let driver = Arc::new(FakeDriver(Arc::clone(&fake)));
    let facade = Facade::new(driver, &EnvConfig::default()).unwrap();
    (facade.with_grace(Duration::from_millis(20)), fake)
}

/// Prepares and runs a task with a timeout of 10 ms, or none.
async fn run(fake: Fake, context: &Context, timeout: bool) -> (Result<RunResult>, String) {
    let (facade, fake) = facade(fake);
    let timeout = Duration::from_millis(if timeout { 10 } else { 0 });
    let task = Arc::new(Task::builder("rootfs:/").id("t").timeout(timeout).build());
    let cookie = facade.prepare(&Context::background(), task).await.unwrap();
    let result = cookie.run(context).await;
    let calls = fake.calls().split_off("create_cookie validate_image create_container ".len());
    cookie.close().await.unwrap();
    fake.empty().await;
    (result, calls)
}

fn is_silent(result: &RunResult, status: Status) -> bool {
    result.status() == status && result.error().is_none() && result.to_string().is_empty()
}

#[tokio::test]
async fn run_waits_for_the_end_and_tells_it() {
    let background = Context::background();
    for (code, status) in [(0, Status::Success), (3, Status::Error), (137, Status::Killed)] {
        let fake = Fake { program: Program::Exit(code), ..Fake::default() };
        let (result, calls) = run(fake, &background, true).await;
        let result = result.unwrap();
        assert_eq!((result.status(), result.error().is_none()), (status, code == 0));
        assert_eq!((result.to_string().is_empty(), calls.as_str()), (code == 0, "run"));
    }
}

#[tokio::test]
async fn a_timed_out_task_is_told_to_end_before_run_returns() {
    let (result, calls) = run(Fake::default(), &Context::background(), true).await;
    assert!(is_silent(&result.unwrap(), Status::Timeout));
    assert_eq!(calls, "run stop signal(15)");
}

#[tokio::test]
async fn a_timed_out_task_that_is_deaf_is_killed_after_the_grace() {
    let fake = Fake { program: Program::Deaf, ..Fake::default() };
    let (result, calls) = run(fake, &Context::background(), true).await;
    assert!(is_silent(&result.unwrap(), Status::Timeout));
    assert_eq!(calls, "run stop signal(15) signal(9)");
}

#[tokio::test]
async fn a_timed_out_task_that_cannot_be_stopped_is_closed() {
    let fake = Fake { fail: &["stop"], ..Fake::default() };
    let (result, calls) = run(fake, &Context::background(), true).await;
    assert!(is_silent(&result.unwrap(), Status::Timeout));
    assert_eq!(calls, "run stop close");
}

#[tokio::test]
async fn a_cancelled_run_stops_its_task_as_well() {
    let (context, canceller) = Context::background().with_cancel();
    let later = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        canceller.cancel();
    };
    let ((result, calls), ()) = tokio::join!(run(Fake::default(), &context, false), later);
    assert!(is_silent(&result.unwrap(), Status::Cancelled));
    assert_eq!(calls, "run stop signal(15)");
}

#[tokio::test]
async fn a_context_that_has_ended_before_the_start_is_an_outcome() {
    let (context, canceller) = Context::background().with_cancel();
    canceller.cancel();
    let (result, calls) = run(Fake::default(), &context, true).await;
    assert!(is_silent(&result.unwrap(), Status::Cancelled));
    // A start that went on by itself would be over.
    assert_eq!(calls, "run close");
}

#[tokio::test]
async fn failures_of_the_driver_are_errors() {
    let background = Context::background();
    let (result, _) = run(Fake { fail: &["run"], ..Fake::default() }, &background, true).await;
    assert_eq!(result.unwrap_err().to_string(), "run");
    let lost = Fake { program: Program::Lost, ..Fake::default() };
    let (result, _) = run(lost, &background, true).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Host);
}

#[tokio::test]
async fn memory_and_weight_are_the_drivers_and_names_never_collide() {
    let (facade, fake) = facade(Fake::default());
    let prepare = async |task| facade.prepare(&Context::background(), task).await.unwrap();
    let seen = || {
        let seen = fake.seen.lock().unwrap();
        (seen.0.clone(), seen.1)
    };
    prepare(Arc::new(Task::builder("rootfs:/").id("t").build())).await;
    let (first, memory) = seen();
    assert_eq!((memory, fake.shares()), (256 << 20, Some(2)));
    // A task with a limit of its own is held to the smaller.
    prepare(plain_task()).await;
    let (second, memory) = seen();
    assert_eq!(memory, 64 << 20);
    assert!(first.starts_with("task-") && first.ends_with("-t") && first != second, "{first}");
}

#[tokio::test]
async fn a_task_reads_its_input_and_answers() {
    let (facade, _) = facade(Fake { program: Program::Hello, ..Fake::default() });
    let (task, mut output) = greeting_task();
    let cookie = facade.prepare(&Context::background(), task).await.unwrap();
    assert_eq!(cookie.run(&Context::background()).await.unwrap().status(), Status::Success);
    drop(cookie);
    let mut text = String::new();
    output.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "Hello test!");
}

#[tokio::test]
async fn a_timeout_of_nothing_is_for_ever() {
    let (facade, fake) = facade(Fake::default());
    let task = Arc::new(Task::builder("rootfs:/").timeout(Duration::ZERO).build());
    let cookie = facade.prepare(&Context::background(), task).await.unwrap();
    let soon = Context::background().with_timeout(Duration::from_millis(5));
    assert!(is_silent(&cookie.run(&soon).await.unwrap(), Status::Timeout));
    assert!(fake.calls().contains("stop"), "it had been started");
    assert_eq!(fake.seen.lock().unwrap().0, "", "and its driver was to make up a name");
}

#[tokio::test]
async fn a_facade_is_alive_as_long_as_someone_asks() {
    let (facade, _) = facade(Fake::default());
    facade.is_alive(&Context::background()).await.unwrap();
    let (context, canceller) = Context::background().with_cancel();
    canceller.cancel();
    assert_eq!(facade.is_alive(&context).await.unwrap_err().kind(), ErrorKind::Cancelled);
}
