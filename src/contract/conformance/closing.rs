//! Closing: at any stage, again, at once, and what is free afterwards.

use std::sync::Arc;
use std::time::Duration;

use super::scene::{During, Running, Scene, ensure, refused, stands, told};
use super::{Harness, Reason, Verdict, Work};
use crate::contract::{Context, Cookie, Error, ErrorKind, Result as DriverResult, State, Status};

/// Closes twice; what ran is killed for every wait.
async fn close_twice(scene: &Scene<'_>, cookie: &dyn Cookie, state: State) -> Verdict {
    stands(cookie, state)?;
    scene.close(cookie).await.map_err(|reason| Reason::new(format!("when {state}: {reason}")))?;
    scene.close(cookie).await.map_err(|reason| Reason::new(format!("again: {reason}")))
}

async fn killed(running: &Running) -> Verdict {
    let result = running.result().await;
    told(&result, Status::Killed, Some(ErrorKind::ContainerKilled))?;
    let text = result.error().map(Error::to_string).unwrap_or_default();
    ensure!(!text.contains("out of memory"), "a close blames memory: {text:?}");
    let code = running.cookie.exit_info().map(|exit| exit.code);
    ensure!(matches!(code, None | Some(137)), "a close is told as exit code {code:?}");
    Ok(())
}

/// Configured, ready, created, running, exited; twice each.
pub async fn a_container_can_be_closed_at_every_stage(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let cookie = scene.cookie(scene.task(Work::Sleep)).await?;
    close_twice(&scene, &*cookie, State::Configured).await?;
    let cookie = scene.ready(scene.task(Work::Sleep)).await?;
    close_twice(&scene, &*cookie, State::ImageReady).await?;
    let cookie = scene.created(scene.task(Work::Sleep)).await?;
    close_twice(&scene, &*cookie, State::Created).await?;

    let running = scene.running(scene.task(Work::Sleep)).await?;
    close_twice(&scene, &*running.cookie, State::Running).await?;
    killed(&running).await?;
    let running = scene.running(scene.task(Work::Succeed)).await?;
    running.result().await;
    close_twice(&scene, &*running.cookie, State::Exited).await?;
    told(&running.result().await, Status::Success, None)?;
    scene.finish().await
}

/// A frozen container is closed without being thawed.
pub async fn a_frozen_container_can_be_closed(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    running.cookie.freeze(&scene.context).await.during("freeze")?;
    close_twice(&scene, &*running.cookie, State::Frozen).await?;
    killed(&running).await?;
    scene.finish().await
}

async fn close_in_a_task(cookie: &Arc<dyn Cookie>) -> Result<DriverResult<()>, Reason> {
    let cookie = Arc::clone(cookie);
    let task = tokio::spawn(async move { cookie.close(&Context::background()).await });
    task.await.map_err(|error| Reason::new(format!("a close in a task of its own: {error}")))
}

/// Two that close at once get the same answer, and both find it closed.
pub async fn two_tasks_may_close_at_once(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    let cookie = &running.cookie;
    let (one, other) = tokio::join!(close_in_a_task(cookie), close_in_a_task(cookie));
    one?.during("one of two closes")?;
    other?.during("the other of two closes")?;
    stands(&**cookie, State::Closed)?;
    killed(&running).await?;
    scene.finish().await
}

/// A wait that is pending returns when someone closes.
pub async fn a_pending_wait_returns_when_the_container_is_closed(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    let close = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        scene.close(&*running.cookie).await
    };
    let (verdict, closed) = tokio::join!(killed(&running), close);
    closed.and(verdict)?;
    scene.finish().await
}

/// A close whose context ends says so or is done; either way the removal goes on.
pub async fn a_close_that_is_cut_short_goes_on(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for (dead, kind) in Scene::dead_contexts() {
        let running = scene.running(scene.task(Work::Sleep)).await?;
        if let Err(error) = running.cookie.close(&dead).await {
            refused(Err::<(), _>(error), &[kind], "a close that is cut short")?;
        }
        killed(&running).await?;
        scene.close(&*running.cookie).await?;
    }
    scene.finish().await
}

/// What was closed is gone: another container can have its id.
pub async fn an_id_is_free_again_after_close(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for _ in 0..3 {
        let task = scene.same_id(Work::Succeed);
        told(&scene.outcome(task).await?, Status::Success, None)?;
    }
    scene.finish().await
}

/// The second of two containers with one id is refused, until the first is closed.
pub async fn two_containers_cannot_share_an_id(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let task = || scene.same_id(Work::Succeed);
    let first = scene.created(task()).await?;
    let second = scene.ready(task()).await?;
    let conflict = second.create_container(&scene.context).await;
    refused(conflict, &[ErrorKind::Conflict], "a second container with the same id")?;
    // To close who didn't get the id must not take it from who did.
    scene.close(&*second).await?;
    let third = scene.ready(task()).await?;
    let conflict = third.create_container(&scene.context).await;
    refused(conflict, &[ErrorKind::Conflict], "a third container with the same id")?;
    let wait = first.run(&scene.context).await.during("run of the first")?;
    told(&wait.wait(&scene.context).await, Status::Success, None)?;
    scene.close(&*first).await?;
    third.create_container(&scene.context).await.during("create_container, now that it is free")?;
    scene.close(&*third).await?;
    scene.finish().await
}

/// Containers without an id get names of their own.
pub async fn containers_without_an_id_do_not_collide(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let one = scene.running(scene.nameless(Work::Succeed)).await?;
    let other = scene.running(scene.nameless(Work::Exit(3))).await?;
    told(&one.result().await, Status::Success, None)?;
    told(&other.result().await, Status::Error, Some(ErrorKind::ContainerExit))?;
    scene.close(&*one.cookie).await?;
    scene.close(&*other.cookie).await?;
    scene.finish().await
}

/// A closed driver makes no cookies; those it made work to their end. Closing it again is nothing.
pub async fn a_closed_driver_refuses_new_cookies_only(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let waiting = scene.ready(scene.task(Work::Succeed)).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    scene.driver.close().await.during("closing the driver")?;
    let task = Arc::new(scene.task(Work::Succeed).build());
    let late = scene.driver.create_cookie(&scene.context, task).await;
    refused(late, &[ErrorKind::Closed], "a cookie of a closed driver")?;

    waiting.create_container(&scene.context).await.during("create_container")?;
    let wait = waiting.run(&scene.context).await.during("run")?;
    told(&wait.wait(&scene.context).await, Status::Success, None)?;
    scene.close(&*waiting).await?;
    stands(&*running.cookie, State::Running)?;
    scene.close(&*running.cookie).await?;
    scene.driver.close().await.during("closing the driver again")?;
    scene.finish().await
}
