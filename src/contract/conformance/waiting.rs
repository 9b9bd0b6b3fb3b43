//! Waits: repeated, at once, late, and under contexts that end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::duplex;
use tokio::time::Instant;

use super::scene::{During, Running, Scene, ensure, refused, stands, told};
use super::{Harness, Reason, Verdict, Work};
use crate::contract::{Context, Error, ErrorKind, RunResult, State, Status};

fn facts(result: &RunResult) -> (Status, Option<ErrorKind>, String) {
    let error = result.error();
    (result.status(), error.map(Error::kind), error.map(Error::to_string).unwrap_or_default())
}

async fn in_a_task(running: &Running) -> Result<RunResult, Reason> {
    let wait = Arc::clone(&running.wait);
    let task = tokio::spawn(async move { wait.wait(&Context::background()).await });
    task.await.map_err(|error| Reason::new(format!("a wait in a task of its own: {error}")))
}

/// Twice, from two tasks, after the end, after close: the same.
pub async fn every_wait_gives_the_same_result(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Exit(3))).await?;
    let (one, other) = tokio::join!(in_a_task(&running), in_a_task(&running));
    let one = facts(&one?);
    let expected = (Status::Error, Some(ErrorKind::ContainerExit));
    ensure!((one.0, one.1) == expected, "code 3 is told as {one:?}");
    let late = running.result().await;
    let (dead, _) = &Scene::dead_contexts()[0];
    let later = running.wait.wait(dead).await;
    scene.close(&*running.cookie).await?;
    let last = running.result().await;
    for (result, when) in [
        (facts(&other?), "from another task"),
        (facts(&late), "after the end"),
        (facts(&later), "under a dead context"),
        (facts(&last), "after close"),
    ] {
        ensure!(result == one, "a wait {when} gives {result:?}, the first gave {one:?}");
    }
    scene.finish().await
}

/// At the deadline a wait gives up, not before and not much later, and the task runs on.
pub async fn a_deadline_gives_timeout(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    let (begun, time) = (Instant::now(), Duration::from_millis(200));
    let result = running.wait.wait(&scene.context.with_timeout(time)).await;
    let took = begun.elapsed();
    told(&result, Status::Timeout, Some(ErrorKind::DeadlineExceeded))?;
    ensure!(took >= time, "the wait gave up after {took:?}, before its deadline");
    ensure!(took < Duration::from_secs(10), "the wait gave up after {took:?} only");
    stands(&*running.cookie, State::Running)?;
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// A wait that is cancelled says so, whether that happens before or meanwhile.
pub async fn a_cancellation_gives_cancelled(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    let (context, canceller) = scene.context.with_cancel();
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        canceller.cancel();
    };
    let (result, ()) = tokio::join!(running.wait.wait(&context), cancel);
    told(&result, Status::Cancelled, Some(ErrorKind::Cancelled))?;
    let again = running.wait.wait(&context).await;
    told(&again, Status::Cancelled, Some(ErrorKind::Cancelled))?;
    stands(&*running.cookie, State::Running)?;
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// An exit code proves the end, whatever the context says.
pub async fn a_code_beats_a_dead_context(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for (dead, _) in Scene::dead_contexts() {
        let running = scene.running(scene.task(Work::Exit(3))).await?;
        running.ended().await?;
        let result = running.wait.wait(&dead).await;
        told(&result, Status::Error, Some(ErrorKind::ContainerExit))?;
        scene.close(&*running.cookie).await?;
    }
    scene.finish().await
}

/// A task that ended well before its context died is a success.
pub async fn success_before_the_cancellation_stays_success(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for (dead, _) in Scene::dead_contexts() {
        let running = scene.running(scene.task(Work::Succeed)).await?;
        running.ended().await?;
        told(&running.wait.wait(&dead).await, Status::Success, None)?;
        scene.close(&*running.cookie).await?;
    }
    scene.finish().await
}

/// A context's end doesn't end the task; a later wait gets its real result.
pub async fn the_task_outlives_the_context(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let (input, hold) = duplex(64);
    let (starting, canceller) = scene.context.with_cancel();
    let cookie = scene.created(scene.task(Work::Echo).input(input)).await?;
    let wait = cookie.run(&starting).await.during("run")?;
    // Neither the context of the start nor that of a wait.
    canceller.cancel();
    let short = scene.context.with_timeout(Duration::from_millis(100));
    told(&wait.wait(&short).await, Status::Timeout, Some(ErrorKind::DeadlineExceeded))?;
    stands(&*cookie, State::Running)?;
    drop(hold);
    told(&wait.wait(&scene.context).await, Status::Success, None)?;
    scene.close(&*cookie).await?;
    scene.finish().await
}

/// A start under a context that has ended either fails with that or leaves it to the wait; either
/// way the container can be closed, and its id is free.
pub async fn a_start_under_a_dead_context_leaves_nothing(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for (dead, kind) in Scene::dead_contexts() {
        let cookie = scene.created(scene.same_id(Work::Sleep)).await?;
        match cookie.run(&dead).await {
            Ok(wait) => {
                let seen = wait.wait(&dead).await.error().map(Error::kind);
                ensure!(seen == Some(kind), "the wait's error is {seen:?}, not {kind:?}");
            }
            failed => refused(failed, &[kind], "a start under a dead context")?,
        }
        scene.close(&*cookie).await?;
    }
    scene.finish().await
}
