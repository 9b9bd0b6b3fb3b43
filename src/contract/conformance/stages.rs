//! The order of the stages, and what is answered out of order.

use std::time::Duration;

use super::scene::{During, Scene, ensure, refused, stands, told};
use super::{Harness, Verdict, Work};
use crate::contract::{
    BackOffConfig, Context, Cookie, ErrorKind, Result, State, Status, never_retry,
};

const TERM: i32 = 15;

/// An operation that may be out of order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Validate,
    Pull,
    Create,
    Run,
    Freeze,
    Unfreeze,
    Signal,
    Stop,
    Options,
}

impl Step {
    async fn take(self, cookie: &dyn Cookie, context: &Context) -> Result<()> {
        match self {
            Step::Validate => cookie.validate_image(context).await.map(drop),
            Step::Pull => cookie.pull_image(context).await,
            Step::Create => cookie.create_container(context).await,
            Step::Run => cookie.run(context).await.map(drop),
            Step::Freeze => cookie.freeze(context).await,
            Step::Unfreeze => cookie.unfreeze(context).await,
            Step::Signal => cookie.signal(context, TERM).await,
            Step::Stop => cookie.stop(context, TERM, Duration::from_secs(10)).await,
            Step::Options => cookie.container_options().map(drop),
        }
    }
}

/// Each of `steps` is refused with `kind`, and changes nothing.
pub(super) async fn all_refused(cookie: &dyn Cookie, steps: &[Step], kind: ErrorKind) -> Verdict {
    let state = cookie.state();
    for step in steps {
        let answer = step.take(cookie, &Context::background()).await;
        refused(answer, &[kind], &format!("{step:?} of a container that is {state}"))?;
        stands(cookie, state)?;
    }
    Ok(())
}

/// From configured to closed, each operation leads to its state.
pub async fn the_states_follow_the_stages(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let cookie = scene.cookie(scene.task(Work::Sleep)).await?;
    stands(&*cookie, State::Configured)?;
    ensure!(cookie.exit_info().is_none(), "there is an exit before there is a task");
    scene.close(&*cookie).await?;

    let cookie = scene.ready(scene.task(Work::Sleep)).await?;
    stands(&*cookie, State::ImageReady)?;
    cookie.create_container(&scene.context).await.during("create_container")?;
    stands(&*cookie, State::Created)?;
    let wait = cookie.run(&scene.context).await.during("run")?;
    stands(&*cookie, State::Running)?;
    cookie.signal(&scene.context, TERM).await.during("signal")?;
    wait.wait(&scene.context).await;
    stands(&*cookie, State::Exited)?;
    scene.close(&*cookie).await?;
    scene.finish().await
}

/// Nothing but validation comes after the cookie.
pub async fn a_configured_container_has_no_task(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let cookie = scene.cookie(scene.task(Work::Succeed)).await?;
    let early = [
        Step::Pull,
        Step::Create,
        Step::Run,
        Step::Freeze,
        Step::Unfreeze,
        Step::Signal,
        Step::Stop,
    ];
    all_refused(&*cookie, &early, ErrorKind::WrongStage).await?;
    scene.close(&*cookie).await?;
    scene.finish().await
}

/// An image that is there is no container yet.
pub async fn a_ready_image_is_no_container(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let cookie = scene.ready(scene.task(Work::Succeed)).await?;
    let early = [Step::Run, Step::Freeze, Step::Unfreeze, Step::Signal, Step::Stop];
    all_refused(&*cookie, &early, ErrorKind::WrongStage).await?;
    cookie.pull_image(&scene.context).await.during("pulling an image that is there")?;
    stands(&*cookie, State::ImageReady)?;
    scene.close(&*cookie).await?;
    scene.finish().await
}

/// A container without a task has nothing to freeze or to signal; it can still be started.
pub async fn a_container_without_a_task_has_nothing_to_freeze(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let cookie = scene.created(scene.task(Work::Succeed)).await?;
    let early = [Step::Freeze, Step::Unfreeze, Step::Signal, Step::Stop];
    all_refused(&*cookie, &early, ErrorKind::WrongStage).await?;
    let wait = cookie.run(&scene.context).await.during("run after refused operations")?;
    told(&wait.wait(&scene.context).await, Status::Success, None)?;
    scene.close(&*cookie).await?;
    scene.finish().await
}

/// A second start is refused, and the first task goes on.
pub async fn a_task_is_not_started_twice(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    all_refused(&*running.cookie, &[Step::Run, Step::Unfreeze], ErrorKind::WrongStage).await?;
    running.cookie.create_container(&scene.context).await.during("creating it again")?;
    let missing = running.cookie.validate_image(&scene.context).await.during("validating again")?;
    ensure!(!missing, "the image of a running task is missing");
    stands(&*running.cookie, State::Running)?;
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// A task that has ended can't be started, signalled or frozen; to stop it is no error.
pub async fn a_task_that_ended_is_left_alone(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Exit(3))).await?;
    running.result().await;
    let late = [Step::Run, Step::Freeze, Step::Unfreeze, Step::Signal];
    all_refused(&*running.cookie, &late, ErrorKind::WrongStage).await?;
    let stop = running.cookie.stop(&scene.context, TERM, Duration::from_secs(10));
    stop.await.during("stopping a task that has ended")?;
    told(&running.result().await, Status::Error, Some(ErrorKind::ContainerExit))?;
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// After close every operation but close is refused as closed.
pub async fn a_closed_container_refuses_everything(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let all = [
        Step::Validate,
        Step::Pull,
        Step::Create,
        Step::Run,
        Step::Freeze,
        Step::Unfreeze,
        Step::Signal,
        Step::Stop,
        Step::Options,
    ];
    let cookie = scene.cookie(scene.task(Work::Succeed)).await?;
    scene.close(&*cookie).await?;
    all_refused(&*cookie, &all, ErrorKind::Closed).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    scene.close(&*running.cookie).await?;
    all_refused(&*running.cookie, &all, ErrorKind::Closed).await?;
    scene.finish().await
}

/// An image that is there is still there when asked again.
pub async fn validation_may_be_repeated(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let cookie = scene.ready(scene.task(Work::Succeed)).await?;
    for _ in 0..2 {
        let missing = cookie.validate_image(&scene.context).await.during("validating again")?;
        ensure!(!missing, "an image that was there is missing");
    }
    stands(&*cookie, State::ImageReady)?;
    scene.close(&*cookie).await?;
    scene.finish().await
}

/// Creating a container again, even at the same time, makes no second one.
pub async fn creation_may_be_repeated(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let cookie = scene.ready(scene.task(Work::Succeed)).await?;
    let (one, other) = tokio::join!(
        cookie.create_container(&scene.context),
        cookie.create_container(&scene.context),
    );
    one.during("one of two create_container")?;
    other.during("the other of two create_container")?;
    cookie.create_container(&scene.context).await.during("a third create_container")?;
    stands(&*cookie, State::Created)?;
    let wait = cookie.run(&scene.context).await.during("run")?;
    told(&wait.wait(&scene.context).await, Status::Success, None)?;
    scene.close(&*cookie).await?;
    scene.finish().await
}

/// A start doesn't wait for the end.
pub async fn a_start_returns_before_the_end(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(Work::Sleep)).await?;
    stands(&*running.cookie, State::Running)?;
    ensure!(running.cookie.exit_info().is_none(), "a task that runs has an exit");
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// A back-off whose longest wait is below its shortest is refused.
pub async fn a_retry_policy_without_sense_is_refused(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let set = |policy| scene.driver.set_pull_image_retry_policy(policy, never_retry());
    let sound = BackOffConfig { max_retries: 1, interval_ms: 1, max_delay_ms: 2, min_delay_ms: 1 };
    set(sound).during("setting a retry policy")?;
    let upside_down = BackOffConfig { min_delay_ms: 3, ..sound };
    refused(set(upside_down), &[ErrorKind::InvalidConfig], "a retry policy without sense")?;
    scene.finish().await
}
