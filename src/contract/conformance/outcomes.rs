//! From the task's end to a status and an error.

use super::scene::{Scene, ensure, told};
use super::{Harness, Verdict, Work};
use crate::contract::{Error, ErrorKind, RunResult, Status};

const MEMORY_LIMIT_BYTES: u64 = 64 << 20;

fn text(result: &RunResult) -> String {
    result.error().map(Error::to_string).unwrap_or_default()
}

/// Code 0 is a success, without an error.
pub async fn code_zero_is_success(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let result = scene.outcome(scene.task(Work::Succeed)).await?;
    told(&result, Status::Success, None)?;
    let word = result.status().as_str();
    ensure!(word == "success", "fn's word is \"success\", not {word:?}");
    scene.finish().await
}

/// Any other code is an error that names the code.
pub async fn another_code_is_an_error_with_the_code(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for code in [1, 2, 126, 127, 255] {
        let result = scene.outcome(scene.task(Work::Exit(code))).await?;
        told(&result, Status::Error, Some(ErrorKind::ContainerExit))?;
        let (seen, wanted) = (text(&result), format!("container exit code {code}"));
        ensure!(seen == wanted, "the error of code {code} is {seen:?}, not {wanted:?}");
    }
    scene.finish().await
}

/// A signal is an exit code: 128 and its number.
pub async fn a_signal_counts_as_128_and_its_number(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for signal in [15, 11] {
        let running = scene.running(scene.task(Work::KillSelf(signal))).await?;
        let result = running.result().await;
        told(&result, Status::Error, Some(ErrorKind::ContainerExit))?;
        let (seen, wanted) = (text(&result), format!("container exit code {}", 128 + signal));
        ensure!(seen == wanted, "the error of signal {signal} is {seen:?}, not {wanted:?}");
        let exit = running.ended().await?;
        let facts = (i32::from(exit.code), exit.signal);
        ensure!(facts == (128 + signal, Some(signal)), "signal {signal} is told as {facts:?}");
        scene.close(&*running.cookie).await?;
    }
    scene.finish().await
}

/// SIGKILL is killed; memory isn't blamed without cause.
pub async fn sigkill_is_killed_and_not_out_of_memory(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::KillSelf(9))).await?;
    let result = running.result().await;
    told(&result, Status::Killed, Some(ErrorKind::ContainerKilled))?;
    let seen = text(&result);
    ensure!(seen.contains("SIGKILL"), "the error doesn't name SIGKILL: {seen:?}");
    ensure!(!seen.contains("out of memory"), "the error blames memory: {seen:?}");
    let exit = running.ended().await?;
    let facts = (exit.code, exit.signal, exit.oom_killed);
    ensure!(facts == (137, Some(9), false), "SIGKILL is told as {facts:?}");
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// The kernel's kill for want of memory is killed; the error says so, names the limit, and advises.
pub async fn want_of_memory_is_killed_and_says_so(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let task = scene.task(Work::ExhaustMemory).memory(MEMORY_LIMIT_BYTES);
    let running = scene.running(task).await?;
    let result = running.result().await;
    told(&result, Status::Killed, Some(ErrorKind::ContainerKilled))?;
    let seen = text(&result);
    for part in ["out of memory", "64MB", "raise the memory limit"] {
        ensure!(seen.contains(part), "the error doesn't say {part:?}: {seen:?}");
    }
    let exit = running.ended().await?;
    ensure!((exit.code, exit.oom_killed) == (137, true), "want of memory is told as {exit:?}");
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// The facts are there with the result, make sense, and outlive the container.
pub async fn the_facts_about_the_end_are_told(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Exit(7))).await?;
    running.result().await;
    let exit = running.cookie.exit_info();
    let Some(seen) = exit else {
        return Err(super::Reason::new("there is a result, but no exit"));
    };
    let facts = (seen.code, seen.signal, seen.oom_killed);
    ensure!(facts == (7, None, false), "exit code 7 is told as {facts:?}");
    ensure!(seen.started_at <= seen.finished_at, "it ended before it began: {seen:?}");
    scene.close(&*running.cookie).await?;
    let after = running.cookie.exit_info();
    ensure!(after == exit, "after close the exit is {after:?}, not {exit:?}");
    scene.finish().await
}
