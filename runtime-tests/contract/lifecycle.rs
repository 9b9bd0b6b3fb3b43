//! The registry, stages and their order, what can go wrong before a task runs, the driver's close.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotcell::contract::{
    Config, Cookie, Driver, ErrorKind, Result, State, Status, Task, TaskBuilder,
};
use hotcell::registry;

use super::closing::Stage;
use super::tools::{
    PATIENCE, background, cells, command, created, dead, driver, finished, on_runtime,
};
use crate::bed::{Bed, cgroup_dirs};
use crate::snapshot::Snapshot;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_1_drivers_have_names_and_the_last_of_a_name_counts, Cells, Busybox),
        test!(row_3_a_cookie_alone_is_nothing_on_the_host, Cells, Busybox),
        test!(row_4_a_task_goes_from_cookie_to_close, Cells, Busybox),
        test!(row_4_every_call_at_every_stage, Cells, Busybox),
        test!(row_5_an_image_is_missing_until_it_is_there, Cells, Busybox),
        test!(row_6_a_container_is_made_once_under_its_own_id, Cells, Busybox),
        test!(row_7_an_image_that_vanishes_is_no_fault_of_the_task, Cells),
        test!(row_8_run_returns_while_the_task_runs, Cells, Busybox),
        test!(row_9_what_cannot_be_executed_fails_the_run, Cells, Busybox),
        test!(row_9_a_root_that_is_gone_or_empty_fails_the_run, Cells),
        test!(row_9_a_cgroup_the_kernel_refuses_fails_the_creation, Cells, Busybox),
        test!(row_72_a_closed_driver_leaves_its_containers_alone, Cells, Busybox),
    ]
}

/// One that closes nothing but itself.
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
    let config = Config { docker_load_file: "/x.tar".into(), ..Config::default() };
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
        Stage::Configured => &["validate_image", "pull_image", "container_options"],
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

fn on_dir(bed: &Bed, name: &str) -> TaskBuilder {
    Task::builder(format!("rootfs:{}", bed.path(name).display())).command("true")
}

fn row_5_an_image_is_missing_until_it_is_there(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let task = Arc::new(on_dir(bed, "root").build());
        let cookie = driver.create_cookie(&background(), task).await.unwrap();
        assert!(cookie.validate_image(&background()).await.unwrap());
        assert!(cookie.validate_image(&background()).await.unwrap());
        assert_eq!(cookie.state(), State::Configured);
        let error = cookie.pull_image(&background()).await.unwrap_err();
        assert_eq!((error.kind(), error.http_status()), (ErrorKind::PullFailed, 502));
        assert!(error.to_string().starts_with("Failed to pull image 'rootfs:/"), "{error}");
        std::fs::create_dir(bed.path("root")).unwrap();
        cookie.pull_image(&background()).await.unwrap();
        assert!(!cookie.validate_image(&background()).await.unwrap());
        assert!(!cookie.validate_image(&background()).await.unwrap());
        assert_eq!(cookie.state(), State::ImageReady);
        // An ended context starts nothing.
        let error = cookie.validate_image(&dead()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        cookie.close(&background()).await.unwrap();
    });
}

/// What there is of containers in the state directory.
fn entries(bed: &Bed) -> Vec<String> {
    let mut found = Vec::new();
    for instance in std::fs::read_dir(bed.path("state")).unwrap().flatten() {
        let inside = std::fs::read_dir(instance.path()).into_iter().flatten().flatten();
        let dirs = inside.filter(|entry| entry.path().is_dir());
        found.extend(dirs.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    }
    found
}

fn row_6_a_container_is_made_once_under_its_own_id(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let task = || command("true").id("the-one");
        let cookie = created(&driver, task()).await;
        let made = cells();
        assert!(made.iter().all(|cell| cell.display().to_string().contains("the-one")), "{made:?}");
        assert!(made.len() <= cgroup_dirs().len() && !made.is_empty(), "{made:?}");
        assert_eq!(entries(bed), ["the-one"]);
        for _ in 0..3 {
            cookie.create_container(&background()).await.unwrap();
        }
        assert_eq!((cells(), entries(bed)), (made, vec!["the-one".to_owned()]));
        // Nobody else has this id, as long as it is used.
        let other = driver.create_cookie(&background(), Arc::new(task().build())).await.unwrap();
        other.validate_image(&background()).await.unwrap();
        let error = other.create_container(&background()).await.unwrap_err();
        assert_eq!((error.kind(), error.http_status()), (ErrorKind::Conflict, 409));
        assert!(error.chain().contains("the-one"), "{}", error.chain());
        cookie.close(&background()).await.unwrap();
        other.create_container(&background()).await.unwrap();
        other.close(&background()).await.unwrap();
    });
}

fn row_7_an_image_that_vanishes_is_no_fault_of_the_task(bed: &Bed) {
    let root = bed.path("root");
    std::fs::create_dir(&root).unwrap();
    on_runtime(async {
        let driver = driver(bed);
        let task = Arc::new(on_dir(bed, "root").build());
        let cookie = driver.create_cookie(&background(), task).await.unwrap();
        assert!(!cookie.validate_image(&background()).await.unwrap());
        std::fs::remove_dir(&root).unwrap();
        let error = cookie.create_container(&background()).await.unwrap_err();
        assert_eq!((error.kind(), error.http_status()), (ErrorKind::ServerBusy, 503));
        assert!(error.is_retryable() && !error.is_function_error());
        assert!(cells().is_empty() && entries(bed).is_empty());
        assert!(cookie.validate_image(&background()).await.unwrap(), "and so it is missing");
        cookie.close(&background()).await.unwrap();
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

/// The run fails, and nothing of the container is left even before it is closed.
async fn run_fails(driver: &dyn Driver, task: TaskBuilder, says: &[&str]) {
    let cookie = created(driver, task).await;
    let error = cookie.run(&background()).await.err().unwrap();
    assert_eq!((error.kind(), error.http_status()), (ErrorKind::Launch, 500), "{error:?}");
    for text in says {
        assert!(error.chain().contains(text), "{}", error.chain());
    }
    assert_eq!(cookie.state(), State::Exited);
    assert!(cookie.exit_info().is_none() && cells().is_empty());
    cookie.close(&background()).await.unwrap();
}

/// The driver's own execve fails the run; no code 126 or 127 is made up for it.
fn row_9_what_cannot_be_executed_fails_the_run(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let missing = ["run: cannot execute \"no-such-program\"", "No such file"];
        run_fails(&driver, command("no-such-program"), &missing).await;
        run_fails(&driver, command("/no/such/program"), &["No such file"]).await;
        run_fails(&driver, command("/bin/not-executable"), &["Permission denied"]).await;
        run_fails(&driver, command("/bin/bad-format"), &["Exec format error"]).await;
        run_fails(&driver, command("/bin/no-interpreter"), &["No such file"]).await;
        run_fails(&driver, command("/etc"), &["Permission denied"]).await;
    });
}

fn row_9_a_root_that_is_gone_or_empty_fails_the_run(bed: &Bed) {
    std::fs::create_dir(bed.path("empty")).unwrap();
    on_runtime(async {
        let driver = driver(bed);
        run_fails(&driver, on_dir(bed, "empty"), &["No such file"]).await;
        let made = std::fs::read_dir(bed.path("empty")).unwrap().count();
        assert_eq!(made, 0, "the image was changed");
        std::fs::create_dir(bed.path("gone")).unwrap();
        let cookie = created(&driver, on_dir(bed, "gone")).await;
        std::fs::remove_dir(bed.path("gone")).unwrap();
        let error = cookie.run(&background()).await.err().unwrap();
        assert!(error.chain().contains("gone"), "{}", error.chain());
        assert!(cells().is_empty());
        cookie.close(&background()).await.unwrap();
    });
}

fn row_9_a_cgroup_the_kernel_refuses_fails_the_creation(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let parents = cgroup_dirs().into_iter().map(|dir| dir.join("cgroup.max.descendants"));
        let file = parents.into_iter().find(|file| file.exists()).unwrap();
        let task = Arc::new(command("true").id("refused").memory(64 << 20).build());
        let cookie = driver.create_cookie(&background(), task).await.unwrap();
        cookie.validate_image(&background()).await.unwrap();
        std::fs::write(&file, "0").unwrap();
        let refused = cookie.create_container(&background()).await;
        std::fs::write(&file, "max").unwrap();
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.http_status()), (ErrorKind::Host, 500), "{error:?}");
        assert!(error.chain().contains("refused"), "{}", error.chain());
        assert!(cells().is_empty() && entries(bed).is_empty());
        // It was the host; with it well, the same cookie goes on, its name and options kept.
        assert_eq!(cookie.state(), State::ImageReady);
        cookie.create_container(&background()).await.unwrap();
        let wait = cookie.run(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Success);
        cookie.close(&background()).await.unwrap();
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
