//! The first two generations of the contract on real cells, and back under the third.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotcell::adapters::generations::{a, b, default_config, upgrade};
use hotcell::contract::{Driver, ErrorKind, State, Status, TaskBuilder};

use super::tools::{Sink, background, command, driver, on_runtime, shell, started};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(both_old_generations_say_hello, Cells, Busybox),
        test!(a_timed_out_job_has_its_last_words, Cells, Busybox),
        test!(a_deaf_job_is_killed_after_the_grace, Cells, Busybox),
        test!(an_old_driver_serves_a_new_agent, Cells, Busybox),
    ]
}

/// Answers `{"name":"test"}` with `Hello test!`.
fn hello(out: &Sink) -> TaskBuilder {
    let input = &br#"{"name":"test"}"#[..];
    command(r#"awk -F" {print"Hello",$4"!"}"#).input(input).stdout(out.clone())
}

fn jobs(bed: &Bed) -> a::Facade {
    a::Facade::new(Arc::new(driver(bed)), &a::EnvConfig::default()).unwrap()
}

async fn prepared(driver: &dyn a::Driver, task: TaskBuilder) -> Box<dyn a::Cookie> {
    driver.prepare(&background(), Arc::new(task.build())).await.unwrap()
}

fn both_old_generations_say_hello(bed: &Bed) {
    on_runtime(async {
        let out = Sink::default();
        let job = prepared(&jobs(bed), hello(&out)).await;
        let result = job.run(&background()).await.unwrap();
        assert_eq!(result.status(), Status::Success, "{result:?}");
        assert_eq!(out.text(), "Hello test!\n");
        job.close().await.unwrap();

        let out = Sink::default();
        let old = b::Facade::new(Arc::new(driver(bed)), &default_config()).unwrap();
        let task = Arc::new(hello(&out).build());
        let cookie = b::Driver::prepare(&old, &background(), task).await.unwrap();
        let wait = cookie.run(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.unwrap().status(), Status::Success);
        assert_eq!(out.text(), "Hello test!\n");
        cookie.close(&background()).await.unwrap();
    });
}

fn a_timed_out_job_has_its_last_words(bed: &Bed) {
    on_runtime(async {
        let out = Sink::default();
        let script = "trap 'echo bye; exit 7' TERM\nwhile :; do sleep 0.05; done\n";
        let task = shell(script).timeout(Duration::from_secs(1)).stdout(out.clone());
        let job = prepared(&jobs(bed), task).await;
        let result = job.run(&background()).await.unwrap();
        assert_eq!((result.status(), result.error().is_none()), (Status::Timeout, true));
        assert_eq!(out.text(), "bye\n", "it was asked to end, and had ended when run returned");
        job.close().await.unwrap();
    });
}

fn a_deaf_job_is_killed_after_the_grace(bed: &Bed) {
    on_runtime(async {
        let jobs = jobs(bed).with_grace(Duration::from_millis(300));
        let script = "trap '' TERM\nwhile :; do sleep 0.05; done\n";
        let job = prepared(&jobs, shell(script)).await;
        let (context, canceller) = background().with_cancel();
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            canceller.cancel();
        };
        let start = Instant::now();
        let (result, ()) = tokio::join!(job.run(&context), cancel);
        assert_eq!(result.unwrap().status(), Status::Cancelled);
        assert!(start.elapsed() >= Duration::from_millis(600), "it had no grace");
        job.close().await.unwrap();
    });
}

fn an_old_driver_serves_a_new_agent(bed: &Bed) {
    on_runtime(async {
        let config = hotcell::adapters::generations::Config { cpu_shares: 512, ..default_config() };
        let old = b::Facade::new(Arc::new(driver(bed)), &config).unwrap();
        let driver = upgrade::Upgraded::new(Arc::new(old));
        let (cookie, wait) = started(&driver, command("sleep 60").id("one")).await;
        let other = Arc::new(command("true").id("one").build());
        let other = driver.create_cookie(&background(), other).await.unwrap();
        assert!(!other.validate_image(&background()).await.unwrap());
        let taken = other.create_container(&background()).await.unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::Conflict, "{taken}");
        cookie.freeze(&background()).await.unwrap();
        assert_eq!(cookie.state(), State::Frozen);
        cookie.unfreeze(&background()).await.unwrap();
        cookie.stop(&background(), 15, Duration::from_secs(30)).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Error);
        assert_eq!(cookie.exit_info().unwrap().code, 143);
        cookie.close(&background()).await.unwrap();
        other.create_container(&background()).await.unwrap();
        other.close(&background()).await.unwrap();
        driver.close().await.unwrap();
    });
}
