//! What a script can make a task do.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite, DuplexStream};

use super::pump::{GRACE, PATIENCE};
use super::script_tests::{MS, cookie_of, created, host_error, task};
use super::{MockDriver, Play};
use crate::contract::{Context, Cookie, Driver, ErrorKind, RunResult, State, Status, WaitResult};

#[tokio::test(start_paused = true)]
async fn a_task_lasts_as_long_as_it_is_told() {
    let cookie = created(Play::exits(4).lasting(Duration::from_secs(3600))).await;
    let context = Context::background();
    let begun = tokio::time::Instant::now();
    let wait = cookie.run(&context).await.unwrap();
    let short = context.with_timeout(Duration::from_secs(3599));
    assert_eq!(wait.wait(&short).await.status(), Status::Timeout);
    assert_eq!(wait.wait(&context).await.status(), Status::Error);
    assert!(begun.elapsed() < Duration::from_secs(3601));
    assert_eq!(cookie.exit_info().unwrap().code, 4);
}

#[tokio::test]
async fn a_task_may_have_its_own_mind_about_signals_but_not_about_sigkill() {
    let context = Context::background();
    let play = Play::never_ends().ignoring(1).exiting_on(15, 0).ignoring(9);
    for (signal, status) in [(15, Status::Success), (9, Status::Killed), (2, Status::Error)] {
        let cookie = created(play.clone()).await;
        let wait = cookie.run(&context).await.unwrap();
        for harmless in [1, 17, 28] {
            cookie.signal(&context, harmless).await.unwrap();
        }
        cookie.signal(&context, signal).await.unwrap();
        assert_eq!(wait.wait(&context).await.status(), status, "signal {signal}");
    }
}

#[tokio::test]
async fn a_lost_task_is_never_a_success() {
    let cookie = created(Play::gets_lost(host_error("the record is gone"))).await;
    let context = Context::background();
    let wait = cookie.run(&context).await.unwrap();
    for _ in 0..2 {
        let result = wait.wait(&context).await;
        assert_eq!(result.status(), Status::Error);
        assert_eq!(result.error().unwrap().to_string(), "the record is gone");
    }
    assert_eq!((cookie.state(), cookie.exit_info()), (State::Exited, None));
}

#[tokio::test(start_paused = true)]
async fn measurements_come_in_time_and_end_with_the_wait() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let collect = Arc::clone(&seen);
    let one = |value| [("mem", value)];
    let play = Play::never_ends().stat(20 * MS, one(2)).stat(Duration::ZERO, one(1));
    let play = play.stat(60 * MS, one(3)).stat(100 * MS, one(4));
    let driver = MockDriver::scripted(move |_| play.clone());
    let task = task().on_stat(move |stat| {
        collect.lock().unwrap().extend(stat.metrics.unwrap().into_values());
    });
    let (cookie, context) = (cookie_of(&driver, task).await, Context::background());
    cookie.validate_image(&context).await.unwrap();
    cookie.create_container(&context).await.unwrap();
    let wait = cookie.run(&context).await.unwrap();
    tokio::time::sleep(40 * MS).await;
    assert_eq!(*seen.lock().unwrap(), [1, 2]);
    wait.wait(&context.with_timeout(40 * MS)).await;
    tokio::time::sleep(100 * MS).await;
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3], "the wait's end is the end of measuring");
}

#[tokio::test]
async fn a_task_that_ends_at_once_is_measured_at_once() {
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    let driver = MockDriver::scripted(|_| Play::default().stat(Duration::ZERO, [("a", 1)]));
    let task = task().on_stat(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let (cookie, context) = (cookie_of(&driver, task).await, Context::background());
    cookie.validate_image(&context).await.unwrap();
    cookie.create_container(&context).await.unwrap();
    cookie.run(&context).await.unwrap().wait(&context).await;
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}

/// A started task that writes more than its writer takes; and the writer's other end.
async fn held_up() -> (Box<dyn Cookie>, Box<dyn WaitResult>, DuplexStream) {
    let (output, held) = tokio::io::duplex(1);
    let driver = MockDriver::scripted(|_| Play::exits(3).stdout("more than one byte"));
    let (cookie, context) = (cookie_of(&driver, task().stdout(output)).await, Context::default());
    cookie.validate_image(&context).await.unwrap();
    cookie.create_container(&context).await.unwrap();
    let wait = cookie.run(&context).await.unwrap();
    (cookie, wait, held)
}

#[tokio::test(start_paused = true)]
async fn output_that_is_not_taken_in_time_is_delivered_after_the_result() {
    let (cookie, wait, mut held) = held_up().await;
    let (begun, context) = (tokio::time::Instant::now(), Context::background());
    // Even a wait whose context ends meanwhile says what all others will say.
    let short = context.with_timeout(50 * MS);
    let (one, other) = tokio::join!(wait.wait(&context), wait.wait(&short));
    assert!(begun.elapsed() >= GRACE && begun.elapsed() < 2 * GRACE);
    for result in [one, other] {
        assert_eq!(result.error().unwrap().to_string(), "container exit code 3");
    }
    cookie.close(&context).await.unwrap();
    let mut taken = String::new();
    held.read_to_string(&mut taken).await.unwrap();
    assert_eq!(taken, "more than one byte", "and then the end: the writer was shut down");
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_stands_still_after_the_end_is_given_up() {
    let (_cookie, wait, mut held) = held_up().await;
    wait.wait(&Context::background()).await;
    tokio::time::sleep(PATIENCE + MS).await;
    let mut taken = String::new();
    held.read_to_string(&mut taken).await.unwrap();
    assert_eq!(taken, "m");
}

/// Takes everything, and is shut down as it is told.
struct Ending(fn() -> Poll<io::Result<()>>);

impl AsyncWrite for Ending {
    fn poll_write(self: Pin<&mut Self>, _: &mut Poller, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Poller) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Poller) -> Poll<io::Result<()>> {
        (self.0)()
    }
}

/// What comes of a task that ends well.
async fn shut_down(output: Ending) -> RunResult {
    let driver = MockDriver::scripted(|_| Play::default());
    let (cookie, context) = (cookie_of(&driver, task().stdout(output)).await, Context::default());
    cookie.validate_image(&context).await.unwrap();
    cookie.create_container(&context).await.unwrap();
    cookie.run(&context).await.unwrap().wait(&context).await
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_fails_is_the_result_and_a_slow_one_is_not() {
    let broken = shut_down(Ending(|| Poll::Ready(Err(io::Error::other("cut off"))))).await;
    assert_eq!(broken.error().unwrap().chain(), "standard output can't be written: cut off");
    assert_eq!(shut_down(Ending(|| Poll::Pending)).await.status(), Status::Success);
}

#[tokio::test]
async fn a_task_whose_streams_were_given_away_is_no_success() {
    let driver = MockDriver::scripted(|_| Play::default());
    let context = Context::background();
    for given in [task().input(tokio::io::empty()), task().stderr(tokio::io::sink())] {
        let given = Arc::new(given.build());
        for expected in [None, Some(ErrorKind::Stream)] {
            let cookie = driver.create_cookie(&context, given.clone()).await.unwrap();
            cookie.validate_image(&context).await.unwrap();
            cookie.create_container(&context).await.unwrap();
            let result = cookie.run(&context).await.unwrap().wait(&context).await;
            assert_eq!(result.error().map(|error| error.kind()), expected);
        }
    }
}
