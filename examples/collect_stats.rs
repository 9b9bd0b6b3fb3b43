//! Collects a cell's measurements, thins them out and prints them as fn stores them:
//! `cargo run --example collect_stats -- /srv/rootfs`.
//!
//! Needs root, and a root file system with `sh`.
#![allow(clippy::print_stdout, reason = "an example talks")]

use std::sync::{Arc, Mutex, PoisonError};

use hotcell::contract::{Config, Context, Driver, Error, ErrorKind, Task};
use hotcell::native::{NativeDriver, Options};
use hotcell::stats::{Stats, decimate};

/// What fn keeps of one call.
const KEEP: i64 = 240;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let Some(rootfs) = std::env::args().nth(1) else {
        return Err(Error::new(ErrorKind::InvalidTask, "usage: collect_stats ROOTFS"));
    };
    let collected = Arc::new(Mutex::new(Vec::new()));
    let collector = Arc::clone(&collected);

    let driver = NativeDriver::open(Config::default(), Options::default())?;
    let task = Task::builder(format!("rootfs:{rootfs}"))
        .command("sh")
        .input(&b"i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 2"[..])
        .memory(64 << 20)
        .on_stat(move |stat| {
            collector.lock().unwrap_or_else(PoisonError::into_inner).push(stat);
        })
        .build();
    let context = Context::background();
    let cookie = driver.create_cookie(&context, Arc::new(task)).await?;
    cookie.validate_image(&context).await?;
    cookie.create_container(&context).await?;
    let result = cookie.run(&context).await?.wait(&context).await;
    cookie.close(&context).await?;
    driver.close().await?;

    let stats = std::mem::take(&mut *collected.lock().unwrap_or_else(PoisonError::into_inner));
    let stats = Stats(decimate(KEEP, stats).unwrap_or_default());
    print!("{stats}");
    match (result.error(), stats.0.is_empty()) {
        (Some(error), _) => Err(error.clone()),
        (None, true) => Err(Error::new(ErrorKind::Host, "nothing was measured")),
        (None, false) => Ok(()),
    }
}
