//! From an image to a container and its first process: what is missing, taken, gone or refused.

use std::sync::Arc;

use hotcell::contract::{Driver, ErrorKind, State, Status, Task, TaskBuilder};

use super::tools::{background, cells, command, created, dead, driver, on_runtime, reaches};
use crate::bed::{Bed, cgroup_dirs};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_5_an_image_is_missing_until_it_is_there, Cells, Busybox),
        test!(row_6_a_container_is_made_once_under_its_own_id, Cells, Busybox),
        test!(row_7_an_image_that_vanishes_is_no_fault_of_the_task, Cells),
        test!(row_9_what_cannot_be_executed_fails_the_run, Cells, Busybox),
        test!(row_9_a_root_that_is_gone_or_empty_fails_the_run, Cells),
        test!(row_9_a_cgroup_the_kernel_refuses_fails_the_creation, Cells, Busybox),
        test!(row_9_a_limit_the_kernel_refuses_is_the_tasks_fault, Cells, Busybox, Hybrid),
        test!(a_start_that_was_given_up_is_there_for_the_next_run, Cells, Busybox),
    ]
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

/// The names of containers in the state directory.
fn entries(bed: &Bed) -> Vec<String> {
    let names = std::fs::read_dir(bed.path("state").join("names")).into_iter().flatten().flatten();
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
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

/// More of the CPU than all cells may have together, which v1 does not take.
fn row_9_a_limit_the_kernel_refuses_is_the_tasks_fault(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let quotas = cgroup_dirs().into_iter().map(|dir| dir.join("cpu.cfs_quota_us"));
        // A hybrid host may have it in the v2 tree.
        let Some(file) = quotas.into_iter().find(|file| file.exists()) else { return };
        let cookie = created(&driver, command("true").cpus(500)).await;
        std::fs::write(&file, "10000").unwrap();
        let refused = cookie.run(&background()).await;
        std::fs::write(&file, "-1").unwrap();
        let error = refused.err().unwrap();
        assert_eq!((error.kind(), error.http_status()), (ErrorKind::InvalidTask, 400), "{error:?}");
        assert!(error.chain().contains("cpu.cfs_quota_us"), "{}", error.chain());
        assert!(cells().is_empty() && entries(bed).is_empty());
        cookie.close(&background()).await.unwrap();
    });
}

fn a_start_that_was_given_up_is_there_for_the_next_run(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let cookie = created(&driver, command("sleep 0.5")).await;
        let context = background();
        let given_up = tokio::select! {
            biased;
            wait = cookie.run(&context) => wait.is_ok(),
            () = std::future::ready(()) => false,
        };
        assert!(!given_up);
        reaches(&*cookie, State::Running).await;
        let wait = cookie.run(&background()).await.unwrap();
        let again = cookie.run(&background()).await.err().unwrap();
        assert_eq!(again.kind(), ErrorKind::WrongStage, "there is one wait");
        assert_eq!(wait.wait(&background()).await.status(), Status::Success);
        cookie.close(&background()).await.unwrap();
    });
}
