//! Futures that are dropped in the middle, as a timeout or a select around them does.
//!
//! Each operation is begun, polled some times and dropped. Then the container has to be in one
//! piece: close works, and another one can have its id.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::scene::{During, Running, Scene, ensure, eventually, refused, told};
use super::{Harness, Verdict, Work};
use crate::contract::{Context, Cookie, ErrorKind, State, Status};

/// How many polls an operation gets before it is dropped.
const POLLS: [usize; 4] = [0, 1, 2, 5];

const TERM: i32 = 15;

/// Polls a future at most so many times, then drops it; also if it doesn't move for a while.
async fn poke<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    let limited = poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(context).map(Some);
        // The last poll needs no wakening: what comes next is the drop.
        if polled.is_pending() && left == 0 { Poll::Ready(None) } else { polled }
    });
    tokio::time::timeout(Duration::from_millis(100), limited).await.ok().flatten()
}

/// Close works, and the id is free.
async fn in_one_piece(scene: &Scene<'_>, cookie: &dyn Cookie) -> Verdict {
    scene.close(cookie).await?;
    let next = scene.created(scene.same_id(Work::Succeed)).await?;
    scene.close(&*next).await
}

/// Making the cookie, validating, creating.
pub async fn preparing_can_be_dropped(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for polls in POLLS {
        let wish = Arc::new(scene.same_id(Work::Succeed).build());
        let made = poke(polls, scene.driver.create_cookie(&scene.context, wish)).await;
        drop(made);

        let cookie = scene.cookie(scene.same_id(Work::Succeed)).await?;
        poke(polls, cookie.validate_image(&scene.context)).await;
        cookie.validate_image(&scene.context).await.during("validating after a drop")?;
        in_one_piece(&scene, &*cookie).await?;

        let cookie = scene.ready(scene.same_id(Work::Succeed)).await?;
        poke(polls, cookie.create_container(&scene.context)).await;
        in_one_piece(&scene, &*cookie).await?;

        let cookie = scene.ready(scene.same_id(Work::Succeed)).await?;
        poke(polls, cookie.create_container(&scene.context)).await;
        cookie.create_container(&scene.context).await.during("creating after a drop")?;
        let wait = cookie.run(&scene.context).await.during("run")?;
        told(&wait.wait(&scene.context).await, Status::Success, None)?;
        in_one_piece(&scene, &*cookie).await?;
    }
    scene.finish().await
}

/// A pull that is dropped can be tried again.
pub async fn a_pull_can_be_dropped(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for polls in POLLS {
        let cookie = scene.cookie(scene.same_id(Work::MissingImage)).await?;
        cookie.validate_image(&scene.context).await.during("validate_image")?;
        poke(polls, cookie.pull_image(&scene.context)).await;
        if let Err(error) = cookie.pull_image(&scene.context).await {
            let kinds = [ErrorKind::PullFailed, ErrorKind::PullTimeout];
            refused(Err::<(), _>(error), &kinds, "a pull after a drop")?;
        }
        in_one_piece(&scene, &*cookie).await?;
    }
    scene.finish().await
}

/// A start has happened or not; either way the container can be closed.
pub async fn a_start_can_be_dropped(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for polls in POLLS {
        let cookie = scene.created(scene.same_id(Work::Sleep)).await?;
        poke(polls, cookie.run(&scene.context)).await;
        let state = cookie.state();
        let sound = (State::Created..=State::Exited).contains(&state);
        ensure!(sound, "after a dropped start the container is {state}");
        in_one_piece(&scene, &*cookie).await?;
    }
    scene.finish().await
}

async fn running(scene: &Scene<'_>) -> Result<Running, super::Reason> {
    scene.running(scene.same_id(Work::Sleep)).await
}

/// A wait that is dropped leaves the task and the next wait alone.
pub async fn a_wait_can_be_dropped(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for polls in POLLS {
        let running = running(&scene).await?;
        poke(polls, running.wait.wait(&scene.context)).await;
        running.cookie.signal(&scene.context, TERM).await.during("signal after a dropped wait")?;
        told(&running.result().await, Status::Error, Some(ErrorKind::ContainerExit))?;
        in_one_piece(&scene, &*running.cookie).await?;
    }
    scene.finish().await
}

/// Freezing and thawing have happened or not.
pub async fn freezing_can_be_dropped(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let (frozen, thawed) = (State::Frozen, State::Running);
    for polls in POLLS {
        let running = running(&scene).await?;
        let cookie = &*running.cookie;
        poke(polls, cookie.freeze(&scene.context)).await;
        // What it began may go on: whichever comes first.
        if cookie.freeze(&scene.context).await.is_err() {
            eventually("frozen", || (cookie.state() == frozen).then_some(())).await?;
        }
        poke(polls, cookie.unfreeze(&scene.context)).await;
        if cookie.unfreeze(&scene.context).await.is_err() {
            eventually("thawed", || (cookie.state() == thawed).then_some(())).await?;
        }
        cookie.signal(&scene.context, TERM).await.during("signal")?;
        told(&running.result().await, Status::Error, Some(ErrorKind::ContainerExit))?;
        in_one_piece(&scene, cookie).await?;
    }
    scene.finish().await
}

/// A signal has been sent or not; a stop has done its first part, all, or nothing.
pub async fn signalling_can_be_dropped(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for polls in POLLS {
        let running = running(&scene).await?;
        poke(polls, running.cookie.signal(&scene.context, TERM)).await;
        let grace = Duration::from_secs(20);
        poke(polls, running.cookie.stop(&scene.context, TERM, grace)).await;
        running.cookie.stop(&scene.context, TERM, grace).await.during("stop after a drop")?;
        told(&running.result().await, Status::Error, Some(ErrorKind::ContainerExit))?;
        in_one_piece(&scene, &*running.cookie).await?;
    }
    scene.finish().await
}

/// A close that is dropped goes on or can be finished, with the same answer.
pub async fn closing_can_be_dropped(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for polls in POLLS {
        let cookie = scene.created(scene.same_id(Work::Succeed)).await?;
        poke(polls, cookie.close(&scene.context)).await;
        in_one_piece(&scene, &*cookie).await?;

        let running = running(&scene).await?;
        poke(polls, running.cookie.close(&scene.context)).await;
        in_one_piece(&scene, &*running.cookie).await?;
        told(&running.result().await, Status::Killed, Some(ErrorKind::ContainerKilled))?;
    }
    scene.finish().await
}

/// Dropping the cookie closes it in the background: a wait returns, and the id becomes free.
pub async fn a_dropped_cookie_closes_itself(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let created = scene.created(scene.same_id(Work::Succeed)).await?;
    drop(created);
    let created = becomes_free(&scene).await?;
    scene.close(&*created).await?;

    let Running { cookie, wait } = running(&scene).await?;
    drop(cookie);
    let result = wait.wait(&Context::background()).await;
    told(&result, Status::Killed, Some(ErrorKind::ContainerKilled))?;
    let created = becomes_free(&scene).await?;
    scene.close(&*created).await?;
    scene.finish().await
}

/// A container with the id, as soon as that is free.
async fn becomes_free(scene: &Scene<'_>) -> Result<Arc<dyn Cookie>, super::Reason> {
    let cookie = scene.ready(scene.same_id(Work::Succeed)).await?;
    for _ in 0..1000 {
        match cookie.create_container(&scene.context).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            answer => {
                answer.during("create_container after a dropped cookie")?;
                return Ok(cookie);
            }
        }
    }
    Err(super::Reason::new("10 s after its cookie was dropped, the id is still taken"))
}
