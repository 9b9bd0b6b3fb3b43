//! Runtimes that end while containers they made exist, run, are frozen, or are being removed.

use std::sync::Arc;
use std::time::Duration;

use hotcell::contract::{Driver, State, Status};
use tokio::time::sleep;

use super::chance::{Chance, ends, share};
use super::drops::lives_again;
use crate::bed::Bed;
use crate::contract::tools::{Sink, background, driver, on_runtime, shell};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test!(a_runtime_ends_under_its_containers, Cells, Busybox)]
}

fn a_runtime_ends_under_its_containers(bed: &Bed) {
    let (driver, mut chance) = (driver(bed), Chance::of(7));
    for round in 0..share(200) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (mut cookies, mut waits) = (Vec::new(), Vec::new());
        runtime.block_on(async {
            for stage in 0..4 {
                let task = shell("sleep 60").id(format!("{round}-{stage}")).stdout(Sink::default());
                let task = Arc::new(task.build());
                let cookie = driver.create_cookie(&background(), task).await.unwrap();
                cookie.validate_image(&background()).await.unwrap();
                if stage > 0 {
                    cookie.create_container(&background()).await.unwrap();
                }
                if stage > 1 {
                    waits.push(cookie.run(&background()).await.unwrap());
                }
                if stage > 2 {
                    cookie.freeze(&background()).await.unwrap();
                }
                match chance.below(3) {
                    // Its removal is under way when the runtime ends.
                    0 => drop(cookie),
                    _ => cookies.push(cookie),
                }
            }
            sleep(chance.micros(4000)).await;
        });
        match chance.coin() {
            true => drop(runtime),
            false => runtime.shutdown_background(),
        }
        on_runtime(async {
            for cookie in cookies {
                if chance.coin() {
                    ends("close", cookie.close(&background())).await.unwrap();
                    assert_eq!(cookie.state(), State::Closed);
                }
            }
            for wait in waits {
                let soon = background().with_timeout(Duration::from_secs(5));
                let result = ends("wait", wait.wait(&soon)).await;
                assert!(result.status() == Status::Error || result.status() == Status::Killed);
            }
            for stage in 0..4 {
                lives_again(&driver, &format!("{round}-{stage}")).await;
            }
        });
    }
    on_runtime(driver.close()).unwrap();
}
