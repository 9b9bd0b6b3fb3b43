//! Freezing and thawing.

use std::time::Duration;

use tokio::io::{AsyncWriteExt, duplex};

use super::scene::{During, Scene, ensure, refused, stands, told};
use super::streams::Capture;
use super::{Harness, Reason, Verdict, Work};
use crate::contract::{ErrorKind, State, Status};

/// A frozen task does nothing, several times over, and loses nothing.
pub async fn a_frozen_task_does_nothing_until_it_is_thawed(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let output = Capture::default();
    let (input, mut keys) = duplex(64);
    let task = scene.task(Work::Echo).input(input).stdout(output.clone());
    let running = scene.running(task).await?;
    for round in 1..=3 {
        running.cookie.freeze(&scene.context).await.during("freeze")?;
        stands(&*running.cookie, State::Frozen)?;
        let typed = keys.write_all(b"x").await;
        typed.map_err(|error| Reason::new(format!("the input isn't read: {error}")))?;
        tokio::time::sleep(Duration::from_millis(150)).await;
        let seen = output.len();
        ensure!(seen == round - 1, "{seen} bytes were echoed at freeze {round}");
        running.cookie.unfreeze(&scene.context).await.during("unfreeze")?;
        stands(&*running.cookie, State::Running)?;
        output.until(round).await?;
    }
    drop(keys);
    told(&running.result().await, Status::Success, None)?;
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// Frozen twice, thawed twice: the second time is refused and changes nothing.
pub async fn freezing_what_is_frozen_is_refused(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    let wrong = &[ErrorKind::WrongStage];
    refused(running.cookie.unfreeze(&scene.context).await, wrong, "unfreeze of a running task")?;
    running.cookie.freeze(&scene.context).await.during("freeze")?;
    refused(running.cookie.freeze(&scene.context).await, wrong, "freeze of a frozen task")?;
    stands(&*running.cookie, State::Frozen)?;
    refused(running.cookie.run(&scene.context).await, wrong, "run of a frozen task")?;
    running.cookie.unfreeze(&scene.context).await.during("unfreeze")?;
    refused(running.cookie.unfreeze(&scene.context).await, wrong, "a second unfreeze")?;
    stands(&*running.cookie, State::Running)?;
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// What has ended can't be frozen, even if it ends just then; nothing hangs.
pub async fn freezing_what_has_ended_is_refused(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for _ in 0..20 {
        let running = scene.running(scene.task(Work::Succeed)).await?;
        match running.cookie.freeze(&scene.context).await {
            // Then it was before the end.
            Ok(()) => {
                // A task may end while it is being frozen, so there may be nothing to thaw.
                if let Err(error) = running.cookie.unfreeze(&scene.context).await {
                    refused(Err::<(), _>(error), &[ErrorKind::WrongStage], "unfreeze")?;
                }
            }
            late => refused(late, &[ErrorKind::WrongStage], "a freeze that meets the end")?,
        }
        told(&running.result().await, Status::Success, None)?;
        let late = running.cookie.freeze(&scene.context).await;
        refused(late, &[ErrorKind::WrongStage], "freeze after the end")?;
        scene.close(&*running.cookie).await?;
    }
    scene.finish().await
}

/// A wait for a frozen task obeys its context.
pub async fn a_wait_for_a_frozen_task_ends_with_its_context(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    running.cookie.freeze(&scene.context).await.during("freeze")?;
    let short = scene.context.with_timeout(Duration::from_millis(50));
    let result = running.wait.wait(&short).await;
    told(&result, Status::Timeout, Some(ErrorKind::DeadlineExceeded))?;
    stands(&*running.cookie, State::Frozen)?;
    scene.close(&*running.cookie).await?;
    scene.finish().await
}
