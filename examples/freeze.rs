//! Freezes a busy cell, shows that it stands still, and lets it go on:
//! `cargo run --example freeze -- /srv/rootfs`.
//!
//! Needs root, and a root file system with `sh`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hotcell::contract::{Config, Context, Driver, Error, ErrorKind, Task, metric};
use hotcell::native::{NativeDriver, Options};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let Some(rootfs) = std::env::args().nth(1) else {
        return Err(Error::new(ErrorKind::InvalidTask, "usage: freeze ROOTFS"));
    };
    // The share of a CPU in the last second, as the driver measures it.
    let cpu = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&cpu);

    let driver = NativeDriver::open(Config::default(), Options::default())?;
    let task = Task::builder(format!("rootfs:{rootfs}"))
        .command("sh")
        .input(&b"while :; do :; done"[..])
        .on_stat(move |stat| {
            seen.store(stat.get(metric::CPU_TOTAL).unwrap_or(0), Ordering::Relaxed);
        })
        .build();
    let context = Context::background();
    let cookie = driver.create_cookie(&context, Arc::new(task)).await?;
    cookie.validate_image(&context).await?;
    cookie.create_container(&context).await?;
    let wait = cookie.run(&context).await?;

    let measure = Duration::from_millis(2500);
    tokio::time::sleep(measure).await;
    println!("running: {} % of a CPU", cpu.load(Ordering::Relaxed));

    let start = Instant::now();
    cookie.freeze(&context).await?;
    println!("frozen in {:?}: {}", start.elapsed(), cookie.state());
    tokio::time::sleep(measure).await;
    let frozen = cpu.load(Ordering::Relaxed);
    println!("frozen: {frozen} % of a CPU");

    cookie.unfreeze(&context).await?;
    tokio::time::sleep(measure).await;
    let thawed = cpu.load(Ordering::Relaxed);
    println!("thawed: {thawed} % of a CPU");

    // SIGTERM, two seconds, SIGKILL: the shell obeys the first.
    cookie.stop(&context, 15, Duration::from_secs(2)).await?;
    let result = wait.wait(&context).await;
    println!("stopped: {}, {:?}", result.status(), cookie.exit_info().map(|exit| exit.code));
    cookie.close(&context).await?;
    driver.close().await?;
    match (frozen, thawed) {
        (0, 1..) => Ok(()),
        _ => Err(Error::new(ErrorKind::Host, "it did not stand still, or did not go on")),
    }
}
