//! Generation B over a fake driver: every way through `prepare`, and what comes back of a wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::super::Config;
use super::super::default_config;
use super::super::fake::{Fake, FakeDriver, Program, greeting_task, plain_task};
use super::*;
use crate::contract::Status;

fn facade(fake: Fake) -> (Facade, Arc<Fake>) {
    weighted(fake, 0)
}

fn weighted(fake: Fake, cpu_shares: i64) -> (Facade, Arc<Fake>) {
    let fake = Arc::new(fake);
    let config = Config { cpu_shares, ..default_config() };
    (Facade::new(Arc::new(FakeDriver(Arc::clone(&fake))), &config).unwrap(), fake)
}

async fn prepare(facade: &Facade) -> Result<Box<dyn Cookie>> {
    facade.prepare(&Context::background(), plain_task()).await
}

const VALIDATED: &str = "create_cookie validate_image";

#[tokio::test]
async fn an_image_that_is_there_is_not_pulled() {
    let (facade, fake) = facade(Fake::default());
    let cookie = prepare(&facade).await.unwrap();
    assert_eq!(fake.calls(), format!("{VALIDATED} create_container"));
    assert_eq!(fake.shares(), None);
    assert_eq!(cookie.state(), Some(State::Created));
}

#[tokio::test]
async fn a_missing_image_is_pulled_and_validated_again() {
    let (facade, fake) = facade(Fake { missing: 1.into(), ..Fake::default() });
    prepare(&facade).await.unwrap();
    let calls = format!("{VALIDATED} pull_image validate_image create_container");
    assert_eq!(fake.calls(), calls);
}

#[tokio::test]
async fn an_image_still_missing_after_the_pull_is_a_busy_server_and_no_container() {
    let (facade, fake) = facade(Fake { missing: 2.into(), ..Fake::default() });
    let error = prepare(&facade).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::ServerBusy);
    assert_eq!(fake.calls(), format!("{VALIDATED} pull_image validate_image close"));
    fake.empty().await;
}

#[tokio::test]
async fn whatever_fails_the_half_made_container_is_closed_before_prepare_returns() {
    for fail in [["validate_image"], ["pull_image"], ["create_container"]] {
        let fail: &'static [&'static str] = Vec::leak(fail.to_vec());
        let (facade, fake) = facade(Fake { missing: 1.into(), fail, ..Fake::default() });
        let error = prepare(&facade).await.err().unwrap();
        assert_eq!(error.to_string(), fail[0]);
        assert!(fake.calls().ends_with(" close"), "{}", fake.calls());
        assert_eq!(fake.live.load(std::sync::atomic::Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_failing_close_does_not_hide_why_prepare_failed() {
    let fail = &["create_container", "close"];
    let (facade, _) = facade(Fake { fail, ..Fake::default() });
    assert_eq!(prepare(&facade).await.err().unwrap().to_string(), "create_container");
}

#[tokio::test]
async fn a_prepare_dropped_midway_leaves_nothing() {
    for hang in ["validate_image", "create_container"] {
        let (facade, fake) = facade(Fake { hang, ..Fake::default() });
        let short = Duration::from_millis(10);
        assert!(tokio::time::timeout(short, prepare(&facade)).await.is_err());
        assert!(fake.calls().ends_with(hang));
        fake.empty().await;
    }
}

#[tokio::test]
async fn the_drivers_weight_is_in_every_specification() {
    let (facade, fake) = weighted(Fake::default(), 512);
    prepare(&facade).await.unwrap();
    assert_eq!(fake.shares(), Some(512));
    // Memory and name are the task's own.
    let seen = fake.seen.lock().unwrap();
    assert_eq!((seen.0.as_str(), seen.1), ("t", 64 << 20));
}

#[test]
fn a_weight_below_zero_is_refused_at_once() {
    let config = Config { cpu_shares: -1, ..default_config() };
    let driver = Arc::new(FakeDriver(Arc::default()));
    assert_eq!(Facade::new(driver, &config).unwrap_err().kind(), ErrorKind::InvalidConfig);
}

#[tokio::test]
async fn a_task_reads_its_input_and_answers() {
    let (facade, _) = facade(Fake { program: Program::Hello, ..Fake::default() });
    let (task, mut output) = greeting_task();
    let context = Context::background();
    let cookie = facade.prepare(&context, task).await.unwrap();
    let result = cookie.run(&context).await.unwrap().wait(&context).await.unwrap();
    assert_eq!((result.status(), result.error().is_none()), (Status::Success, true));
    cookie.close(&context).await.unwrap();
    drop(cookie);
    let mut text = String::new();
    output.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "Hello test!");
}

#[tokio::test]
async fn run_returns_while_the_task_goes_on_and_the_rest_is_handed_on() {
    let (facade, fake) = facade(Fake::default());
    let context = Context::background();
    let cookie = prepare(&facade).await.unwrap();
    let waiter = cookie.run(&context).await.unwrap();
    let soon = context.with_timeout(Duration::from_millis(5));
    assert_eq!(waiter.wait(&soon).await.unwrap().status(), Status::Timeout);
    cookie.freeze(&context).await.unwrap();
    assert_eq!(cookie.state(), Some(State::Frozen));
    cookie.unfreeze(&context).await.unwrap();
    cookie.signal(&context, 15).await.unwrap();
    assert_eq!(cookie.exit_info().unwrap().code, 143);
    cookie.close(&context).await.unwrap();
    assert!(fake.calls().ends_with("run freeze unfreeze signal(15) close"));
}

#[tokio::test]
async fn a_task_that_failed_is_a_result_and_a_driver_that_failed_is_an_error() {
    let context = Context::background();
    for (program, status) in [
        (Program::Exit(3), Some(Status::Error)),
        (Program::Exit(137), Some(Status::Killed)),
        (Program::Lost, None),
    ] {
        let (facade, _) = facade(Fake { program, ..Fake::default() });
        let cookie = prepare(&facade).await.unwrap();
        let result = cookie.run(&context).await.unwrap().wait(&context).await;
        match status {
            Some(status) => assert_eq!(result.unwrap().status(), status),
            None => assert_eq!(result.unwrap_err().kind(), ErrorKind::Host),
        }
    }
}
