//! The registry, cookies, stages and their order, the driver's close.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotcell::contract::{Config, Cookie, Driver, ErrorKind, Result, State, Status};
use hotcell::registry;

use super::closing::Stage;
use super::tools::{PATIENCE, background, command, created, driver, finished, on_runtime};
use crate::bed::Bed;
use crate::snapshot::Snapshot;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_1_drivers_have_names_and_the_last_of_a_name_counts, Cells, Busybox),
        test!(row_3_a_cookie_alone_is_nothing_on_the_host, Cells, Busybox),
        test!(row_4_a_task_goes_from_cookie_to_close, Cells, Busybox),
        test!(row_4_every_call_at_every_stage, Cells, Busybox),
        test!(row_8_run_returns_while_the_task_runs, Cells, Busybox),
        test!(row_72_a_closed_driver_leaves_its_containers_alone, Cells, Busybox),
    ]
}

/// One that makes no driver but says this.
fn named(message: &'static str) -> registry::DriverFunc {
    Arc::new(move |_| Err(hotcell::contract::Error::new(ErrorKind::InvalidConfig, message)))
}

fn row_1_drivers_have_names_and_the_last_of_a_name_counts(bed: &Bed) {
    let error = |name: &str, config| registry::open(name, config).err().unwrap();
    let unknown = error("x", Config::default());
    assert_eq!(unknown.kind(), ErrorKind::UnknownDriver);
    assert_eq!(unknown.to_string(), "agent driver \"x\" is not registered");
    registry::register("row-1", named("first"));
    registry::register("row-1", named("second"));
    assert_eq!(error("row-1", Config::default()).to_string(), "second");
    // The real one is there, and refuses this before it touches its default directories.
    let config = Config { pre_fork_pool_size: 1, ..Config::default() };
    assert_eq!(error("native", config).kind(), ErrorKind::Unsupported);
    // One that works, on directories of the test's own.
    let options = bed.options();
    let open: registry::DriverFunc = Arc::new(move |config| {
        let driver = hotcell::native::NativeDriver::open(config, options.clone())?;
        Ok(Arc::new(driver) as Arc<dyn Driver>)
    });
    registry::register("row-1", open);
    on_runtime(async {
        let driver = registry::open("row-1", Config::default()).unwrap();
        assert_eq!(finished(&*driver, command("true")).await.status(), Status::Success);
    });
    registry::register("row-1", named("gone"));
}

fn row_3_a_cookie_alone_is_nothing_on_the_host(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let task = || Arc::new(command("true").id("row-3").memory(64 << 20).build());
        let first = driver.create_cookie(&background(), task()).await.unwrap();
        let before = Snapshot::take(bed);
        // All at once, with one name: it is not taken before there is a container.
        let mut cookies = Vec::new();
        for _ in 0..10_000 {
            cookies.push(driver.create_cookie(&background(), task()).await.unwrap());
        }
        before.compare(bed).unwrap();
        for (at, cookie) in cookies.into_iter().enumerate() {
            // Every other one is only dropped.
            if at % 2 == 0 {
                cookie.close(&background()).await.unwrap();
            }
        }
        before.compare(bed).unwrap();
        first.close(&background()).await.unwrap();
    });
}

fn row_4_a_task_goes_from_cookie_to_close(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let task = command("true").id("first").build();
        let cookie = driver.create_cookie(&background(), Arc::new(task)).await.unwrap();
        assert_eq!(cookie.state(), State::Configured);
        assert!(!cookie.validate_image(&background()).await.unwrap());
        assert_eq!(cookie.state(), State::ImageReady);
        cookie.create_container(&background()).await.unwrap();
        assert_eq!(cookie.state(), State::Created);
        let wait = cookie.run(&background()).await.unwrap();
        let result = wait.wait(&background()).await;
        assert_eq!(result.status(), Status::Success, "{result:?}");
        assert_eq!(cookie.state(), State::Exited);
        assert_eq!(cookie.exit_info().unwrap().code, 0);
        cookie.close(&background()).await.unwrap();
        assert_eq!(cookie.state(), State::Closed);
        driver.close().await.unwrap();
    });
}

/// The calls, each of which is made at every stage.
const CALLS: [&str; 9] = [
    "validate_image",
    "pull_image",
    "create_container",
    "container_options",
    "run",
    "freeze",
    "unfreeze",
    "signal",
    "stop",
];

async fn call(cookie: &dyn Cookie, name: &str) -> Result<()> {
    let context = background();
    match name {
        "validate_image" => cookie.validate_image(&context).await.map(|pull| assert!(!pull)),
        "pull_image" => cookie.pull_image(&context).await,
        "create_container" => cookie.create_container(&context).await,
        "container_options" => cookie.container_options().map(drop),
        "run" => cookie.run(&context).await.map(drop),
        "freeze" => cookie.freeze(&context).await,
        "unfreeze" => cookie.unfreeze(&context).await,
        "signal" => cookie.signal(&context, 18).await,
        _ => cookie.stop(&context, 15, PATIENCE).await,
    }
}

/// Which calls a stage allows.
fn allowed(stage: Stage) -> &'static [&'static str] {
    match stage {
        Stage::Configured => &["validate_image", "container_options"],
        Stage::ImageReady => {
            &["validate_image", "pull_image", "container_options", "create_container"]
        }
        Stage::Created => &["validate_image", "pull_image", "create_container", "run"],
        Stage::Running => {
            &["validate_image", "pull_image", "create_container", "freeze", "signal", "stop"]
        }
        Stage::Frozen => {
            &["validate_image", "pull_image", "create_container", "unfreeze", "signal", "stop"]
        }
        Stage::Exited => &["validate_image", "pull_image", "create_container", "stop"],
        Stage::Failed => &["validate_image", "pull_image"],
    }
}

fn row_4_every_call_at_every_stage(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for stage in Stage::ALL {
            for name in CALLS {
                let (cookie, _wait) = stage.reached(&driver).await;
                let done = call(&*cookie, name).await;
                if allowed(stage).contains(&name) {
                    assert!(done.is_ok(), "{name} when {stage:?}: {done:?}");
                } else {
                    let error = done.expect_err(&format!("{name} when {stage:?}"));
                    assert_eq!(error.kind(), ErrorKind::WrongStage, "{name} when {stage:?}");
                    assert_eq!(error.http_status(), 500);
                    assert!(error.to_string().starts_with(name), "{stage:?}: {error}");
                    assert_eq!(cookie.state(), stage.state(), "{name} changed something");
                }
                cookie.close(&background()).await.unwrap();
                let closed = call(&*cookie, name).await.expect_err(name);
                assert_eq!((closed.kind(), closed.http_status()), (ErrorKind::Closed, 503));
                assert_eq!(cookie.state(), State::Closed);
            }
        }
    });
}

fn row_8_run_returns_while_the_task_runs(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let cookie = created(&driver, command("sleep 5")).await;
        let start = Instant::now();
        let wait = cookie.run(&background()).await.unwrap();
        // The row says 100 ms; ten times that on a host with other things to do.
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert_eq!(cookie.state(), State::Running);
        cookie.close(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Killed);
    });
}

fn row_72_a_closed_driver_leaves_its_containers_alone(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let mut containers = Vec::new();
        for stage in Stage::ALL {
            containers.push((stage, stage.reached(&driver).await));
        }
        driver.close().await.unwrap();
        driver.close().await.unwrap();
        let task = Arc::new(command("true").build());
        let error = driver.create_cookie(&background(), task).await.err().unwrap();
        assert_eq!((error.kind(), error.http_status()), (ErrorKind::Closed, 503));
        drop(driver);
        for (stage, (cookie, wait)) in containers {
            assert_eq!(cookie.state(), stage.state());
            match stage {
                Stage::Configured | Stage::ImageReady | Stage::Created => {
                    cookie.validate_image(&background()).await.unwrap();
                    cookie.create_container(&background()).await.unwrap();
                    let wait = cookie.run(&background()).await.unwrap();
                    cookie.stop(&background(), 15, PATIENCE).await.unwrap();
                    let result = wait.wait(&background()).await;
                    assert_eq!(result.error().unwrap().to_string(), "container exit code 143");
                }
                Stage::Running => cookie.freeze(&background()).await.unwrap(),
                Stage::Frozen => cookie.unfreeze(&background()).await.unwrap(),
                Stage::Exited => {
                    let result = wait.unwrap().wait(&background()).await;
                    assert_eq!(result.status(), Status::Success);
                }
                Stage::Failed => {}
            }
            cookie.close(&background()).await.unwrap();
        }
        // With the last of them the driver's own directory has gone; names and the lock stay.
        let left = std::fs::read_dir(bed.path("state")).unwrap().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| name == "names" || name == ".lock"), "{left:?}");
    });
}
