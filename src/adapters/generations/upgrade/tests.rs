//! Old drivers under the new contract: a plain one, and the facade there and back.

use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;

use super::super::default_config;
use super::super::fake::{Fake, FakeDriver, Program, plain_task};
use super::plain::Plain;
use super::*;
use crate::contract::{Cookie, Driver, ErrorKind::*, RunResult, State, Status};

fn facade(fake: Fake) -> (b::Facade, Arc<Fake>) {
    let fake = Arc::new(fake);
    let driver = Arc::new(FakeDriver(Arc::clone(&fake)));
    (b::Facade::new(driver, &default_config()).unwrap(), fake)
}

/// There and back.
async fn rich(fake: Fake) -> (Box<dyn Cookie>, Arc<Fake>) {
    let (facade, fake) = facade(fake);
    let driver = Upgraded::new(Arc::new(facade));
    (driver.create_cookie(&Context::background(), plain_task()).await.unwrap(), fake)
}

async fn plain(fake: Fake) -> (Box<dyn Cookie>, Arc<Fake>) {
    let (facade, fake) = facade(fake);
    let driver = Upgraded::new(Arc::new(Plain(facade)));
    (driver.create_cookie(&Context::background(), plain_task()).await.unwrap(), fake)
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    result.err().unwrap().kind()
}

#[tokio::test]
async fn a_plain_driver_gets_strict_stages() {
    let (cookie, fake) = plain(Fake::default()).await;
    let context = &Context::background();
    assert_eq!(fake.calls(), "", "only the task is kept");
    assert_eq!(kind(cookie.pull_image(context).await), WrongStage);
    assert_eq!(kind(cookie.create_container(context).await), WrongStage);
    assert_eq!(kind(cookie.run(context).await), WrongStage);
    assert_eq!(kind(cookie.container_options()), Unsupported);
    assert!(!cookie.validate_image(context).await.unwrap());
    cookie.pull_image(context).await.unwrap();
    cookie.create_container(context).await.unwrap();
    cookie.create_container(context).await.unwrap();
    assert_eq!(fake.calls().matches("create_container").count(), 1);
    assert_eq!(kind(cookie.container_options()), WrongStage);
    assert_eq!(kind(cookie.freeze(context).await), WrongStage);
    assert_eq!(kind(cookie.signal(context, 15).await), WrongStage);
    let waiter = cookie.run(context).await.unwrap();
    assert_eq!(kind(cookie.run(context).await), WrongStage);
    assert_eq!(kind(cookie.unfreeze(context).await), WrongStage);
    cookie.freeze(context).await.unwrap();
    assert_eq!(kind(cookie.freeze(context).await), WrongStage);
    assert_eq!(cookie.state(), State::Frozen);
    cookie.unfreeze(context).await.unwrap();
    assert_eq!(kind(cookie.signal(context, 15).await), Unsupported);
    assert_eq!(kind(cookie.stop(context, 15, Duration::ZERO).await), Unsupported);
    cookie.close(context).await.unwrap();
    assert_eq!(waiter.wait(context).await.status(), Status::Killed);
    assert_eq!((cookie.state(), cookie.exit_info()), (State::Closed, None));
    for closed in [
        cookie.create_container(context).await,
        cookie.freeze(context).await,
        cookie.stop(context, 15, Duration::ZERO).await,
        cookie.validate_image(context).await.map(drop),
        cookie.container_options().map(drop),
    ] {
        assert_eq!(kind(closed), Closed);
    }
}

#[tokio::test]
async fn an_end_is_remembered_and_changes_the_stage() {
    let (cookie, _) = plain(Fake { program: Program::Exit(3), ..Fake::default() }).await;
    let context = &Context::background();
    cookie.validate_image(context).await.unwrap();
    cookie.create_container(context).await.unwrap();
    let waiter = cookie.run(context).await.unwrap();
    let seen = |result: RunResult| (result.status(), result.error().unwrap().kind());
    assert_eq!(seen(waiter.wait(context).await), (Status::Error, ContainerExit));
    assert_eq!(cookie.state(), State::Exited);
    cookie.stop(context, 15, Duration::ZERO).await.unwrap();
    assert_eq!(kind(cookie.freeze(context).await), WrongStage);
    let (dead, canceller) = context.with_cancel();
    canceller.cancel();
    cookie.close(context).await.unwrap();
    assert_eq!(seen(waiter.wait(&dead).await), (Status::Error, ContainerExit));
}

#[tokio::test]
async fn a_driver_that_lost_its_task_is_a_result_with_its_error() {
    let (cookie, _) = rich(Fake { program: Program::Lost, ..Fake::default() }).await;
    let context = &Context::background();
    cookie.validate_image(context).await.unwrap();
    cookie.create_container(context).await.unwrap();
    let result = cookie.run(context).await.unwrap().wait(context).await;
    assert_eq!((result.status(), result.error().unwrap().kind()), (Status::Error, Host));
}

#[tokio::test]
async fn a_failed_prepare_is_not_tried_again_with_spent_streams() {
    let fail = &["create_container"];
    let (cookie, fake) = plain(Fake { fail, ..Fake::default() }).await;
    let context = &Context::background();
    cookie.validate_image(context).await.unwrap();
    assert_eq!(kind(cookie.create_container(context).await), Host);
    assert_eq!(kind(cookie.create_container(context).await), Host);
    assert_eq!(fake.calls().matches("create_cookie").count(), 1);
    cookie.close(context).await.unwrap();
}

#[tokio::test]
async fn there_and_back_nothing_is_lost() {
    let (cookie, fake) = rich(Fake { missing: 1.into(), ..Fake::default() }).await;
    let context = &Context::background();
    assert!(cookie.validate_image(context).await.unwrap());
    assert_eq!(kind(cookie.create_container(context).await), WrongStage);
    cookie.pull_image(context).await.unwrap();
    assert!(!cookie.validate_image(context).await.unwrap());
    cookie.container_options().unwrap().set_hostname(Some("changed".into()));
    cookie.create_container(context).await.unwrap();
    let spec = fake.seen.lock().unwrap().2.clone().unwrap();
    assert_eq!(spec.hostname().as_deref(), Some("changed"));
    let waiter = cookie.run(context).await.unwrap();
    cookie.freeze(context).await.unwrap();
    cookie.unfreeze(context).await.unwrap();
    cookie.stop(context, 15, Duration::from_secs(5)).await.unwrap();
    assert_eq!((cookie.state(), cookie.exit_info().unwrap().code), (State::Exited, 143));
    assert_eq!(waiter.wait(context).await.status(), Status::Error);
    cookie.close(context).await.unwrap();
    let calls = "create_cookie validate_image pull_image validate_image create_container run \
                 freeze unfreeze stop signal(15) close";
    assert_eq!(fake.calls(), calls);
}

#[tokio::test]
async fn closers_all_get_the_one_answer_whatever_the_stage() {
    let context = &Context::background();
    let (cookie, fake) = rich(Fake { fail: &["close"], ..Fake::default() }).await;
    let both = tokio::join!(cookie.close(context), cookie.close(context));
    assert_eq!([kind(both.0), kind(both.1), kind(cookie.close(context).await)], [Host; 3]);
    assert_eq!(fake.calls().matches("close").count(), 1);
    let (cookie, fake) = plain(Fake::default()).await;
    cookie.close(context).await.unwrap();
    assert_eq!((cookie.state(), fake.calls().as_str()), (State::Closed, ""));
}

/// Begins to create a container and walks away.
async fn begin_create(cookie: &dyn Cookie) {
    let context = &Context::background();
    cookie.validate_image(context).await.unwrap();
    let mut create = cookie.create_container(context);
    let begun = std::future::poll_fn(|cx| Poll::Ready(create.as_mut().poll(cx).is_pending()));
    assert!(begun.await);
}

#[tokio::test]
async fn a_create_that_nobody_waits_for_goes_on() {
    let (cookie, fake) = plain(Fake::default()).await;
    begin_create(&*cookie).await;
    while cookie.state() != State::Created {
        tokio::task::yield_now().await;
    }
    cookie.close(&Context::background()).await.unwrap();
    assert_eq!(fake.live.load(SeqCst), 0);
}

#[tokio::test]
async fn a_close_does_not_wait_for_what_a_context_can_end() {
    let (cookie, fake) = plain(Fake { hang: "create_container", ..Fake::default() }).await;
    begin_create(&*cookie).await;
    while !fake.calls().ends_with("create_container") {
        tokio::task::yield_now().await;
    }
    cookie.close(&Context::background()).await.unwrap();
    assert_eq!((cookie.state(), fake.live.load(SeqCst)), (State::Closed, 0));
}

#[tokio::test]
async fn a_close_whose_caller_gives_up_goes_on() {
    let (cookie, fake) = rich(Fake::default()).await;
    let (dead, canceller) = Context::background().with_cancel();
    canceller.cancel();
    assert_eq!(kind(cookie.close(&dead).await), Cancelled);
    fake.empty().await;
    cookie.close(&Context::background()).await.unwrap();
    cookie.close(&dead).await.unwrap();
}

#[test]
fn a_close_outlives_the_runtime_that_began_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = runtime();
    let (cookie, fake) = first.block_on(async {
        let (cookie, fake) = rich(Fake::default()).await;
        // Begun, and never polled before the runtime is gone.
        let context = Context::background();
        let mut close = cookie.close(&context);
        let begun = std::future::poll_fn(|cx| Poll::Ready(close.as_mut().poll(cx).is_pending()));
        assert!(begun.await);
        drop(close);
        (cookie, fake)
    });
    drop(first);
    assert_eq!(fake.live.load(SeqCst), 1);
    runtime().block_on(cookie.close(&Context::background())).unwrap();
    assert_eq!(fake.live.load(SeqCst), 0);
}

#[tokio::test]
async fn a_dropped_cookie_is_closed_in_the_background() {
    for plainly in [true, false] {
        let context = &Context::background();
        let (cookie, fake) = match plainly {
            true => plain(Fake::default()).await,
            false => rich(Fake::default()).await,
        };
        cookie.validate_image(context).await.unwrap();
        cookie.create_container(context).await.unwrap();
        let waiter = cookie.run(context).await.unwrap();
        drop(cookie);
        assert_eq!(waiter.wait(context).await.status(), Status::Killed);
        fake.empty().await;
    }
}

#[tokio::test]
async fn a_closed_driver_makes_no_more_cookies() {
    let (facade, fake) = facade(Fake::default());
    let driver = Upgraded::new(Arc::new(Plain(facade)));
    driver.close().await.unwrap();
    driver.close().await.unwrap();
    let refused = driver.create_cookie(&Context::background(), plain_task()).await;
    assert_eq!(kind(refused), Closed);
    let policy = BackOffConfig::default();
    let checker = crate::contract::never_retry();
    assert_eq!(kind(driver.set_pull_image_retry_policy(policy, checker)), Unsupported);
    assert_eq!(fake.calls(), "");
}
