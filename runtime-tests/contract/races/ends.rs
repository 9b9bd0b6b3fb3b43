//! Freezes, deadlines and cancels against a task that is just ending.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotcell::contract::{
    Cookie, Driver, ErrorKind, RunResult, State, Status, TaskBuilder, WaitResult,
};

use super::chance::{Chance, HANGS, ends, pause, rounds, say};
use crate::bed::Bed;
use crate::contract::tools::{background, command, driver, on_runtime, shell, started};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_29_a_freeze_and_an_exit_race, Cells, Busybox),
        test!(row_29_a_freeze_and_a_close_race, Cells, Busybox),
        test!(row_16_a_deadline_and_an_exit_race, Cells, Busybox),
    ]
}

/// A task that ends by itself, about two to five milliseconds from its start, and its code.
fn brief(chance: &mut Chance) -> (TaskBuilder, u8) {
    let code = u8::try_from(chance.below(120)).unwrap();
    let script = match chance.below(3) {
        0 => format!("exit {code}"),
        _ => format!("usleep {}; exit {code}", chance.below(3000)),
    };
    (shell(&script), code)
}

/// That `result` tells of an end with `code`.
#[track_caller]
fn assert_code(result: &RunResult, code: u8) {
    match (result.error(), code) {
        (None, 0) => assert_eq!(result.status(), Status::Success),
        (Some(error), 1..) => {
            assert_eq!(result.status(), Status::Error, "{result:?}");
            assert_eq!(error.to_string(), format!("container exit code {code}"));
        }
        _ => panic!("{result:?} for an exit with {code}"),
    }
}

fn row_29_a_freeze_and_an_exit_race(bed: &Bed) {
    on_runtime(async {
        let driver: Arc<dyn Driver> = Arc::new(driver(bed));
        let play = |number, chance| freeze_round(Arc::clone(&driver), number, chance);
        let (mut won, mut lost, mut both) = (0, 0, 0);
        rounds("freeze against exit", 10_000, play, |(ok, late)| {
            won += ok;
            lost += late;
            both += u64::from(ok > 0 && late > 0);
        })
        .await;
        say(format_args!("{won} freezes and thaws came first, {lost} came too late"));
        say(format_args!("in {both} rounds the end came between two of them"));
        assert!(won > 0 && lost > 0, "no race: {won} {lost}");
        driver.close().await.unwrap();
    });
}

/// How many freezes and thaws came before the end, and how many after it.
async fn freeze_round(driver: Arc<dyn Driver>, number: u64, mut chance: Chance) -> (u64, u64) {
    let (task, code) = brief(&mut chance);
    let (cookie, wait) = ends("starting", started(&*driver, task)).await;
    let wait: Arc<dyn WaitResult> = wait.into();
    let early = chance.coin().then(|| {
        let wait = Arc::clone(&wait);
        tokio::spawn(async move { wait.wait(&background()).await })
    });
    pause(chance.micros(3000)).await;
    let (mut won, mut lost, mut frozen) = (0, 0, false);
    for _ in 0..=chance.below(3) * 2 + 1 {
        let context = background();
        let done = match frozen {
            false => ends("freeze", cookie.freeze(&context)).await,
            true => ends("unfreeze", cookie.unfreeze(&context)).await,
        };
        match done {
            Ok(()) => {
                won += 1;
                frozen = !frozen;
            }
            Err(error) if error.kind() == ErrorKind::WrongStage => lost += 1,
            Err(error) => panic!("round {number}: {}", error.chain()),
        }
        pause(chance.micros(1000)).await;
    }
    if frozen {
        let thawed = ends("the last unfreeze", cookie.unfreeze(&background())).await;
        assert!(thawed.is_ok() || thawed.as_ref().unwrap_err().kind() == ErrorKind::WrongStage);
    }
    let result = ends("wait", wait.wait(&background())).await;
    assert_code(&result, code);
    if let Some(early) = early {
        assert_code(&ends("the wait before", early).await.unwrap(), code);
    }
    assert_eq!(cookie.exit_info().unwrap().code, code);
    assert_eq!(cookie.state(), State::Exited);
    ends("close", cookie.close(&background())).await.unwrap();
    (won, lost)
}

fn row_29_a_freeze_and_a_close_race(bed: &Bed) {
    on_runtime(async {
        let driver: Arc<dyn Driver> = Arc::new(driver(bed));
        let play = |_, chance| close_round(Arc::clone(&driver), chance);
        let (mut won, mut ended, mut closed) = (0, 0, 0);
        rounds("freeze against close", 2000, play, |counts: [u64; 3]| {
            won += counts[0];
            ended += counts[1];
            closed += counts[2];
        })
        .await;
        say(format_args!("{won} came first, {ended} found an end, {closed} found it closed"));
        driver.close().await.unwrap();
    });
}

/// How many freezes and thaws were done, how many found that it had ended, how many a closed one.
async fn close_round(driver: Arc<dyn Driver>, mut chance: Chance) -> [u64; 3] {
    let (cookie, wait) = ends("starting", started(&*driver, command("sleep 60"))).await;
    let cookie: Arc<dyn Cookie> = cookie.into();
    let (closing, after) = (Arc::clone(&cookie), chance.micros(600));
    let closing = tokio::spawn(async move {
        pause(after).await;
        closing.close(&background()).await
    });
    let (mut counts, start) = ([0; 3], Instant::now());
    while counts[2] == 0 {
        assert!(start.elapsed() < HANGS, "it never closes");
        for freeze in [true, false] {
            let done = match freeze {
                true => ends("freeze", cookie.freeze(&background())).await,
                false => ends("unfreeze", cookie.unfreeze(&background())).await,
            };
            match done.map_err(|error| (error.kind(), error)) {
                Ok(()) => counts[0] += 1,
                Err((ErrorKind::WrongStage, _)) => counts[1] += 1,
                Err((ErrorKind::Closed, _)) => counts[2] += 1,
                Err((_, error)) => panic!("{}", error.chain()),
            }
        }
    }
    ends("close", closing).await.unwrap().unwrap();
    assert_eq!(ends("wait", wait.wait(&background())).await.status(), Status::Killed);
    counts
}

fn row_16_a_deadline_and_an_exit_race(bed: &Bed) {
    on_runtime(async {
        let driver: Arc<dyn Driver> = Arc::new(driver(bed));
        let play = |_, chance| deadline_round(Arc::clone(&driver), chance);
        let (mut cut, mut true_end) = (0, 0);
        rounds("deadline against exit", 1000, play, |was_cut| match was_cut {
            true => cut += 1,
            false => true_end += 1,
        })
        .await;
        say(format_args!("{cut} contexts came first, {true_end} ends did"));
        assert!(cut > 0 && true_end > 0, "no race: {cut} {true_end}");
        driver.close().await.unwrap();
    });
}

/// Whether the context's end came first.
async fn deadline_round(driver: Arc<dyn Driver>, mut chance: Chance) -> bool {
    let (task, code) = brief(&mut chance);
    let (cookie, wait) = ends("starting", started(&*driver, task)).await;
    // On a slow host a task outlives the shorter times, on an emulated one all but the longest.
    let most = match chance.below(8) {
        0 => 700_000,
        1 => 70_000,
        _ => 7000,
    };
    let (after, by_cancel) = (chance.micros(most), chance.below(3) == 0);
    let result = if by_cancel {
        let (context, canceller) = background().with_cancel();
        let cancel = tokio::spawn(async move {
            pause(after).await;
            canceller.cancel();
        });
        let result = ends("wait", wait.wait(&context)).await;
        cancel.await.unwrap();
        result
    } else {
        let context = background().with_timeout(after);
        ends("wait", wait.wait(&context)).await
    };
    let was_cut = matches!(result.status(), Status::Timeout | Status::Cancelled);
    if was_cut {
        assert_eq!(result.status() == Status::Cancelled, by_cancel, "{result:?}");
    } else {
        assert_code(&result, code);
    }
    assert_code(&ends("the wait after", wait.wait(&background())).await, code);
    // Now that it has ended, its end beats any context's.
    assert_code(&wait.wait(&background().with_timeout(Duration::ZERO)).await, code);
    ends("close", cookie.close(&background())).await.unwrap();
    was_cut
}
