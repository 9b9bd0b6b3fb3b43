//! Whole lives through the contract against the synchronous core's, and the CPU time of measuring
//! idle cells.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotcell::bundle::{CellConfig, Tmpfs, Upper, User};
use hotcell::contract::{Config, Context, Cookie, Driver, Task, WaitResult};
use hotcell::native::{Instance, NativeDriver};
use serde_json::json;
use tokio::runtime::Runtime;

use super::args::Args;
use super::bed::Bed;
use super::measure::Turn;
use super::report::{Report, Row};
use super::start::both_spacings;
use super::worker::{allow_descriptors, life};

const IDLE_CELLS: usize = 200;

pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    let runtime = runtime();
    lives(bed, &runtime, args, report);
    idle_cells(bed, &runtime, report);
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

pub(crate) async fn driver(bed: &Bed) -> NativeDriver {
    NativeDriver::open(Config::default(), bed.options()).unwrap()
}

/// A cell whose command gets this input.
pub(crate) async fn cell(
    bed: &Bed,
    driver: &NativeDriver,
    command: &str,
    input: &'static str,
) -> (Box<dyn Cookie>, Box<dyn WaitResult>) {
    let context = Context::background();
    let task = Task::builder(format!("rootfs:{}", bed.rootfs.display())).command(command);
    let task = if input.is_empty() { task } else { task.input(input.as_bytes()) };
    let cookie = driver.create_cookie(&context, Arc::new(task.build())).await.unwrap();
    cookie.validate_image(&context).await.unwrap();
    cookie.create_container(&context).await.unwrap();
    let wait = cookie.run(&context).await.unwrap();
    (cookie, wait)
}

/// Create, run, wait and close of `true`, as fn's defaults have it, both ways.
fn lives(bed: &Bed, runtime: &Runtime, args: &Args, report: &mut Report) {
    let core = Instance::open(bed.options()).unwrap();
    let mut config = CellConfig::new(&bed.rootfs, ["true"]);
    config.upper = Upper::ReadOnly;
    config.tmpfs.push(Tmpfs::new("/tmp"));
    config.user = User { uid: 1000, gid: 1000 };
    config.capabilities.clear();
    let driver = runtime.block_on(driver(bed));
    let context = Context::background();
    let through_the_contract = async || {
        let start = Instant::now();
        let (cookie, wait) = cell(bed, &driver, "true", "").await;
        assert!(wait.wait(&context).await.error().is_none());
        cookie.close(&context).await.unwrap();
        start.elapsed().as_secs_f64() * 1e6
    };
    let mut turns = [
        Turn::new("core", &[], || Ok(life(|| core.create(None, &config, None).unwrap()))),
        Turn::new("contract", &["core"], || Ok(runtime.block_on(through_the_contract()))),
    ];
    both_spacings("contract", "a life", &mut turns, args, report);
    drop(turns);
    runtime.block_on(driver.close()).unwrap();
}

/// The share of a CPU that this process uses while idle cells are measured once a second.
fn idle_cells(bed: &Bed, runtime: &Runtime, report: &mut Report) {
    allow_descriptors();
    let (cpu, time) = runtime.block_on(async {
        let driver = driver(bed).await;
        let mut cells = Vec::new();
        for _ in 0..IDLE_CELLS {
            cells.push(cell(bed, &driver, "sleep 3600", "").await);
        }
        // What starting them left to do is over by then.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (cpu, start) = (cpu_time(), Instant::now());
        tokio::time::sleep(Duration::from_secs(10)).await;
        let used = (cpu_time() - cpu, start.elapsed());
        for (cookie, _) in &cells {
            cookie.close(&Context::background()).await.unwrap();
        }
        driver.close().await.unwrap();
        used
    });
    let share = cpu.as_secs_f64() / time.as_secs_f64() * 100.0;
    let name = format!("{IDLE_CELLS} idle cells, measured once a second");
    let row = Row { group: "contract", name: &name, spacing: Duration::ZERO };
    let fields = json!({ "cells": IDLE_CELLS, "cpu_percent": (share * 100.0).round() / 100.0 });
    report.figure(row, "contract", &fields, &format!("{share:.2} % of one CPU"));
}

/// Of all threads, those that have ended included.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
