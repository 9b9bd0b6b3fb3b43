//! Images that have to be pulled or are refused.

use super::scene::{During, Scene, ensure, refused, stands};
use super::{Harness, Verdict, Work};
use crate::contract::{ErrorKind, State};

/// A missing image is no error: it wants to be pulled, and validated again afterwards.
pub async fn a_missing_image_wants_a_pull(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let cookie = scene.cookie(scene.task(Work::MissingImage)).await?;
    for _ in 0..2 {
        let missing = cookie.validate_image(&scene.context).await.during("validate_image")?;
        ensure!(missing, "an image that is missing needs no pull");
        stands(&*cookie, State::Configured)?;
    }
    let early = cookie.create_container(&scene.context).await;
    refused(early, &[ErrorKind::WrongStage], "create_container without an image")?;
    match cookie.pull_image(&scene.context).await {
        Ok(()) => {
            stands(&*cookie, State::Configured)?;
            let early = cookie.create_container(&scene.context).await;
            let what = "create_container before the second validation";
            refused(early, &[ErrorKind::WrongStage], what)?;
            let missing = cookie.validate_image(&scene.context).await.during("validate_image")?;
            ensure!(!missing, "the image is still missing after the pull");
            stands(&*cookie, State::ImageReady)?;
        }
        failed @ Err(_) => {
            refused(failed, &[ErrorKind::PullFailed, ErrorKind::PullTimeout], "the pull")?;
            let missing = cookie.validate_image(&scene.context).await.during("validate_image")?;
            ensure!(missing, "the image is there after a pull that failed");
        }
    }
    scene.close(&*cookie).await?;
    scene.finish().await
}

/// An image that declares a volume is refused, each time it is looked at.
pub async fn an_image_with_volumes_is_refused_each_time(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let cookie = scene.cookie(scene.task(Work::ImageWithVolume)).await?;
    for _ in 0..2 {
        let answer = cookie.validate_image(&scene.context).await;
        refused(answer, &[ErrorKind::ImageWithVolume], "an image with a volume")?;
        stands(&*cookie, State::Configured)?;
    }
    let early = cookie.create_container(&scene.context).await;
    refused(early, &[ErrorKind::WrongStage], "create_container with a refused image")?;
    scene.close(&*cookie).await?;
    scene.finish().await
}
