//! Runs one command in a cell: `cargo run --example run_task -- /srv/rootfs echo hello`.
//!
//! Needs root, and a directory with a root file system; `rootfs-fixtures/build` makes some.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks")]

use std::sync::Arc;
use std::time::Duration;

use hotcell::contract::{Config, Context, Driver, Error, ErrorKind, Task};
use hotcell::native::{NativeDriver, Options};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let Some(rootfs) = arguments.next() else {
        return Err(Error::new(ErrorKind::InvalidTask, "usage: run_task ROOTFS COMMAND..."));
    };
    let command = arguments.collect::<Vec<_>>().join(" ");

    let driver = NativeDriver::open(Config::default(), Options::default())?;
    let task = Task::builder(format!("rootfs:{rootfs}"))
        .command(command)
        .memory(128 << 20)
        .cpus(500)
        .pids(32)
        .stdout(tokio::io::stdout())
        .stderr(tokio::io::stderr())
        .build();

    // A call that is bounded; what has been started when it ends is closed below all the same.
    let context = Context::background().with_timeout(Duration::from_secs(30));
    let cookie = driver.create_cookie(&context, Arc::new(task)).await?;
    if cookie.validate_image(&context).await? {
        cookie.pull_image(&context).await?;
        cookie.validate_image(&context).await?;
    }
    cookie.create_container(&context).await?;
    let result = cookie.run(&context).await?.wait(&context).await;
    cookie.close(&Context::background()).await?;
    driver.close().await?;

    eprintln!("{}", result.status());
    match result.error() {
        Some(error) => Err(error.clone()),
        None => Ok(()),
    }
}
