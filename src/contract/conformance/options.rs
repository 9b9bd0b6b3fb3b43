//! What a wrapping driver changes about a container before it is made.

use super::scene::{During, Scene, ensure, refused, told};
use super::streams::Capture;
use super::{Harness, Reason, Verdict, Work};
use crate::contract::{Cookie, ErrorKind, Status};

const NAME: &str = "HOTCELL_CONFORMANCE";
const VALUE: &str = "told-through-the-options";

fn add_variable(cookie: &dyn Cookie) -> Verdict {
    let mut options = cookie.container_options().during("container_options")?;
    let Some(process) = options.process_mut() else {
        return Err(Reason::new("the specification has no process"));
    };
    process.env_mut().get_or_insert_default().push(format!("{NAME}={VALUE}"));
    Ok(())
}

/// A change is there when one looks again, whatever the stage.
pub async fn what_a_wrapper_changes_stays(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let cookie = scene.cookie(scene.task(Work::Succeed)).await?;
    add_variable(&*cookie)?;
    cookie.validate_image(&scene.context).await.during("validate_image")?;
    {
        let options = cookie.container_options().during("container_options after validation")?;
        let environment = options.process().as_ref().and_then(|process| process.env().as_ref());
        let wanted = format!("{NAME}={VALUE}");
        let found = environment.is_some_and(|all| all.contains(&wanted));
        ensure!(found, "a variable that was added is not there any more");
    }
    scene.close(&*cookie).await?;
    scene.finish().await
}

/// A variable that a wrapper added is in the task's environment.
pub async fn what_a_wrapper_changes_reaches_the_task(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let output = Capture::default();
    let task = scene.task(Work::PrintEnv(NAME)).stdout(output.clone());
    let cookie = scene.ready(task).await?;
    add_variable(&*cookie)?;
    cookie.create_container(&scene.context).await.during("create_container")?;
    let wait = cookie.run(&scene.context).await.during("run")?;
    told(&wait.wait(&scene.context).await, Status::Success, None)?;
    let seen = String::from_utf8_lossy(&output.flushed()).into_owned();
    ensure!(seen.trim_end() == VALUE, "the task sees {seen:?}, not {VALUE:?}");
    scene.close(&*cookie).await?;
    scene.finish().await
}

/// Once the container is made there is nothing to change.
pub async fn a_made_container_has_no_options(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let cookie = scene.created(scene.task(Work::Succeed)).await?;
    let wrong = &[ErrorKind::WrongStage];
    refused(cookie.container_options(), wrong, "container_options of a made container")?;
    let wait = cookie.run(&scene.context).await.during("run")?;
    wait.wait(&scene.context).await;
    refused(cookie.container_options(), wrong, "container_options after the end")?;
    scene.close(&*cookie).await?;
    scene.finish().await
}
