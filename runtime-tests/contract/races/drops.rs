//! Every operation of a container's life given up halfway: nothing may leak, hang or stay taken.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use hotcell::contract::{Cookie, Driver, Error, ErrorKind, Result, State, Status, WaitResult};
use tokio::time::sleep;

use super::chance::{Chance, HANGS, ends, rounds, say, share};
use crate::bed::Bed;
use crate::contract::tools::{Sink, background, command, driver, on_runtime, shell, started};
use crate::host::soak;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test!(futures_are_dropped_at_every_await, Cells, Busybox)]
}

/// How often each operation was given up before it was done.
type Tally = Arc<Mutex<BTreeMap<&'static str, u64>>>;

/// Who gives up: asks an operation a few times, with some time in between, and drops it.
struct Fickle {
    chance: Chance,
    tally: Tally,
    /// An operation was given up, or the task has ended: others may come too late.
    lenient: bool,
}

impl Fickle {
    /// `None` if it was given up.
    async fn ask<T>(&mut self, name: &'static str, work: impl Future<Output = T>) -> Option<T> {
        // Half of the operations are done as they should be.
        if self.chance.coin() {
            return Some(ends(name, work).await);
        }
        let mut work = pin!(work);
        for _ in 0..self.chance.below(5) {
            let polled = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
            if let Poll::Ready(done) = polled {
                return Some(done);
            }
            match self.chance.below(3) {
                0 => tokio::task::yield_now().await,
                1 => sleep(self.chance.micros(3000)).await,
                _ => {}
            }
        }
        self.lenient = true;
        *self.tally.lock().unwrap().entry(name).or_default() += 1;
        None
    }

    /// An operation that may find that another one was given up, or that the task has ended.
    async fn op<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Option<T> {
        match self.ask(name, work).await? {
            Ok(done) => Some(done),
            Err(error) if self.lenient && is_late(&error) => None,
            Err(error) => panic!("{name}: {}", error.chain()),
        }
    }
}

fn is_late(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WrongStage | ErrorKind::Closed)
}

fn futures_are_dropped_at_every_await(bed: &Bed) {
    let tally = Tally::default();
    on_runtime(async {
        let driver: Arc<dyn Driver> = Arc::new(driver(bed));
        let play = |number, chance: Chance| {
            let fickle = Fickle { chance, tally: Arc::clone(&tally), lenient: false };
            life(Arc::clone(&driver), number, fickle)
        };
        rounds("lives with dropped futures", 800, play, |()| {}).await;
        ends("close", driver.close()).await.unwrap();
        let chance = Chance::of(1);
        let mut fickle = Fickle { chance, tally: Arc::clone(&tally), lenient: false };
        for _ in 0..share(200) {
            a_close_of_the_driver(bed, &mut fickle).await;
        }
    });
    let tally = tally.lock().unwrap();
    let all: u64 = tally.values().sum();
    say(format_args!("{all} futures dropped: {tally:?}"));
    assert!(all >= share(1000), "only {all}: {tally:?}");
    assert!(tally.len() == 12 || !soak(), "an operation was never given up: {tally:?}");
}

/// A container's life in which about every fourth operation is given up, and after it another life
/// under the same name.
async fn life(driver: Arc<dyn Driver>, number: u64, mut fickle: Fickle) {
    let (id, here) = (format!("life-{number}"), background());
    let (delay, code) = (fickle.chance.below(4000), fickle.chance.below(100));
    let script = format!("usleep {delay}; exit {code}");
    let cookie = loop {
        let task = Arc::new(shell(&script).id(&*id).stdout(Sink::default()).build());
        if let Some(cookie) = fickle.op("create_cookie", driver.create_cookie(&here, task)).await {
            break cookie;
        }
    };
    fickle.op("validate_image", cookie.validate_image(&here)).await;
    fickle.op("pull_image", cookie.pull_image(&here)).await;
    fickle.op("create_container", cookie.create_container(&here)).await;
    if fickle.chance.below(4) > 0 {
        // What was given up is asked for once more, and done.
        ends("validate_image", cookie.validate_image(&here)).await.unwrap();
        ends("create_container", cookie.create_container(&here)).await.unwrap();
    }
    let mut wait = fickle.op("run", cookie.run(&here)).await;
    if wait.is_none() && fickle.chance.coin() {
        match ends("run", cookie.run(&here)).await {
            Ok(started) => wait = Some(started),
            Err(error) => assert!(is_late(&error), "{}", error.chain()),
        }
    }
    fickle.lenient = true;
    for _ in 0..fickle.chance.below(6) {
        at_random(&*cookie, wait.as_deref(), &mut fickle).await;
    }
    fickle.op("close", cookie.close(&here)).await;
    if fickle.chance.coin() {
        ends("close", cookie.close(&here)).await.unwrap();
        assert_eq!(cookie.state(), State::Closed);
    }
    drop(cookie);
    if let Some(wait) = wait {
        let result = ends("the wait after", wait.wait(&here)).await;
        assert_ne!(result.status(), Status::Running);
    }
    lives_again(&*driver, &id).await;
}

/// One operation of those that make sense while a task runs.
async fn at_random(cookie: &dyn Cookie, wait: Option<&dyn WaitResult>, fickle: &mut Fickle) {
    let here = background();
    match fickle.chance.below(5) {
        0 => drop(fickle.op("freeze", cookie.freeze(&here)).await),
        1 => drop(fickle.op("unfreeze", cookie.unfreeze(&here)).await),
        2 => drop(fickle.op("signal", cookie.signal(&here, 10)).await),
        3 => {
            let grace = fickle.chance.micros(3000);
            fickle.op("stop", cookie.stop(&here, 15, grace)).await;
        }
        _ => {
            let Some(wait) = wait else { return };
            // A frozen task never ends.
            let soon = here.with_timeout(fickle.chance.micros(20_000));
            fickle.ask("wait", wait.wait(&soon)).await;
        }
    }
}

/// The name becomes free, sooner or later.
pub async fn lives_again(driver: &dyn Driver, id: &str) {
    let start = Instant::now();
    loop {
        let here = background();
        let task = Arc::new(command("true").id(id).build());
        let cookie = driver.create_cookie(&here, task).await.unwrap();
        assert!(!ends("validate_image", cookie.validate_image(&here)).await.unwrap());
        match ends("create_container", cookie.create_container(&here)).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                assert!(start.elapsed() < HANGS, "{id} stays taken");
                sleep(Duration::from_millis(1)).await;
            }
            created => {
                created.unwrap();
                let wait = ends("run", cookie.run(&here)).await.unwrap();
                let result = ends("wait", wait.wait(&here)).await;
                assert_eq!(result.status(), Status::Success, "{result:?}");
                return ends("close", cookie.close(&here)).await.unwrap();
            }
        }
    }
}

async fn a_close_of_the_driver(bed: &Bed, fickle: &mut Fickle) {
    let driver = driver(bed);
    let (cookie, wait) = started(&driver, command("sleep 60")).await;
    fickle.op("driver close", driver.close()).await;
    if fickle.chance.coin() {
        ends("driver close", driver.close()).await.unwrap();
        let task = Arc::new(command("true").build());
        let late = driver.create_cookie(&background(), task).await.err().unwrap();
        assert_eq!(late.kind(), ErrorKind::Closed);
    }
    drop(driver);
    assert_eq!(cookie.state(), State::Running);
    ends("close", cookie.close(&background())).await.unwrap();
    assert_eq!(ends("wait", wait.wait(&background())).await.status(), Status::Killed);
}
