//! Signals and stops.

use std::time::Duration;

use tokio::time::Instant;

use super::scene::{During, Running, Scene, ensure, refused, stands, told};
use super::streams::Capture;
use super::{Harness, Reason, Verdict, Work};
use crate::contract::{Error, ErrorKind, State, Status};

const TERM: i32 = 15;

/// Longer than any check.
const LONG: Duration = Duration::from_secs(600);

async fn ended_by_term(running: &Running) -> Verdict {
    let result = running.result().await;
    told(&result, Status::Error, Some(ErrorKind::ContainerExit))?;
    let seen = result.error().map(Error::to_string).unwrap_or_default();
    ensure!(seen == "container exit code 143", "the error of SIGTERM is {seen:?}");
    Ok(())
}

/// A task that is deaf to SIGTERM already.
async fn deaf(scene: &Scene<'_>) -> Result<Running, Reason> {
    let output = Capture::default();
    let running = scene.running(scene.task(Work::SleepDeaf).stdout(output.clone())).await?;
    output.until(1).await?;
    Ok(running)
}

/// A signal reaches the task, and its result is 128 and the number.
pub async fn sigterm_ends_with_143(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    running.cookie.signal(&scene.context, TERM).await.during("signal")?;
    ended_by_term(&running).await?;
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// A number that is no signal's is refused, and changes nothing.
pub async fn a_signal_that_does_not_exist_is_refused(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    for signal in [-1, 65, 1000, i32::MIN, i32::MAX] {
        let what = format!("signal {signal}");
        let invalid = &[ErrorKind::InvalidTask];
        refused(running.cookie.signal(&scene.context, signal).await, invalid, &what)?;
        let stop = running.cookie.stop(&scene.context, signal, LONG).await;
        refused(stop, invalid, &format!("a stop with {what}"))?;
        stands(&*running.cookie, State::Running)?;
    }
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// A task that obeys ends as its signal says, long before its grace is over, and has ended when
/// stop returns.
pub async fn a_stop_ends_as_the_signal_does(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    running.cookie.stop(&scene.context, TERM, LONG).await.during("stop")?;
    stands(&*running.cookie, State::Exited)?;
    ended_by_term(&running).await?;
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// A task that takes no notice is killed when its grace is over, and not before.
pub async fn a_stop_kills_what_is_deaf(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = deaf(&scene).await?;
    running.cookie.signal(&scene.context, TERM).await.during("signal")?;
    let (begun, grace) = (Instant::now(), Duration::from_millis(300));
    running.cookie.stop(&scene.context, TERM, grace).await.during("stop")?;
    let took = begun.elapsed();
    ensure!(took >= grace, "it was killed after {took:?}, before its grace of {grace:?} was over");
    stands(&*running.cookie, State::Exited)?;
    told(&running.result().await, Status::Killed, Some(ErrorKind::ContainerKilled))?;
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// After the context's end a stop does nothing more: it kills nothing.
pub async fn a_stop_that_is_cut_short_kills_nothing(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = deaf(&scene).await?;
    let short = scene.context.with_timeout(Duration::from_millis(100));
    let stop = running.cookie.stop(&short, TERM, Duration::from_millis(300)).await;
    refused(stop, &[ErrorKind::DeadlineExceeded], "a stop that is cut short")?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stands(&*running.cookie, State::Running)?;
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// A frozen task can be stopped: it has ended when stop returns.
pub async fn a_frozen_task_can_be_stopped(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    running.cookie.freeze(&scene.context).await.during("freeze")?;
    let grace = Duration::from_millis(100);
    running.cookie.stop(&scene.context, TERM, grace).await.during("stop of a frozen task")?;
    stands(&*running.cookie, State::Exited)?;
    let code = running.ended().await?.code;
    ensure!(code == 143 || code == 137, "a frozen task was stopped, and exits with {code}");
    scene.close(&*running.cookie).await?;
    scene.finish().await
}
