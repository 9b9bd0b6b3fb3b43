//! One life that goes through everything that a driver does, always in the same order.

use std::path::Path;

use hotcell::bundle::{CellConfig, Upper, UserNamespace, Volume};
use hotcell::contract::{Config, Driver};
use hotcell::launch::{Stdio, Stream};
use hotcell::native::{Instance, NativeDriver, Options};
use rustix::process::Signal;

use super::embedder::{
    CLOSE, CLOSE_DRIVER, CREATE, FREEZE, OPEN, RUN, SAMPLE, THAW, WAIT, lasting, say,
};
use crate::contract::tools::{Sink, background, command, created, on_runtime};

/// More than fits into the control socket before anybody reads it.
fn big() -> impl Iterator<Item = (String, String)> {
    (0..4).map(|number| (format!("BIG{number}"), "x".repeat(100_000)))
}

/// A cell with ids, a layer on disk, a volume and a filter of its own.
fn own() -> CellConfig {
    let mut config = lasting();
    config.env = big().map(|(name, value)| format!("{name}={value}")).collect();
    config.volumes.push(Volume::new(std::env::var_os("PLAY_SHARE").unwrap(), "/data"));
    config.device_rules = vec!["c 240:7 r".parse().unwrap()];
    config
}

/// A cell that shares all that it can.
fn shared() -> CellConfig {
    let mut config = own();
    (config.init, config.upper) = (true, Upper::Tmpfs);
    config.user_namespace = UserNamespace::Host;
    config
}

/// Two cells of the core, and two that are closed before they run.
pub fn core(options: &Options) {
    // A cgroup has to be opened to readers then.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // A number so low that it has to be moved out of the way.
    let mut low = std::fs::File::open("/dev/null").ok();
    say(0, OPEN);
    let driver = Instance::open(options.clone()).unwrap();
    // Bundles are the embedder's own to keep, and to remove.
    let share = std::env::var_os("PLAY_SHARE").unwrap();
    let mut bundles = rustix::process::getpid().as_raw_nonzero().get()..;
    for config in [own(), shared()] {
        let mut create = || {
            say(0, CREATE);
            let bundle = Path::new(&share).join(bundles.next().unwrap().to_string());
            driver.create(Some("twin".parse().unwrap()), &config, Some(&bundle)).unwrap()
        };
        let unused = create();
        say(0, CLOSE);
        unused.close().unwrap();
        let created = create();
        say(0, RUN);
        let stdin = low.take().map_or(Stream::Null, |low| Stream::Fd(low.into()));
        let stdio = Stdio { stdin, ..Stdio::default() };
        let mut running = created.run(stdio).unwrap();
        say(0, FREEZE);
        running.cgroup().freeze().unwrap();
        say(0, THAW);
        running.cgroup().thaw().unwrap();
        say(0, SAMPLE);
        running.cgroup().sample().unwrap();
        say(0, WAIT);
        // Without an init only this one ends it.
        running.signal(Signal::KILL).unwrap();
        running.wait(None).unwrap();
        say(0, CLOSE);
        running.close().unwrap();
    }
    say(0, CLOSE_DRIVER);
    driver.close().unwrap();
}

/// A cell of the contract.
pub fn contract(mut options: Options) {
    options.user_namespace = UserNamespace::Auto;
    on_runtime(async {
        let here = background();
        say(0, OPEN);
        let driver = NativeDriver::open(Config::default(), options).unwrap();
        say(0, CREATE);
        let task = command("sleep 60").id("twin").input(tokio::io::empty()).stdout(Sink::default());
        let task = big().fold(task, |task, (name, value)| task.env(name, value));
        let cookie = created(&driver, task).await;
        say(0, RUN);
        let wait = cookie.run(&here).await.unwrap();
        say(0, FREEZE);
        cookie.freeze(&here).await.unwrap();
        say(0, THAW);
        cookie.unfreeze(&here).await.unwrap();
        say(0, WAIT);
        cookie.signal(&here, Signal::KILL.as_raw()).await.unwrap();
        wait.wait(&here).await;
        say(0, CLOSE);
        cookie.close(&here).await.unwrap();
        say(0, CLOSE_DRIVER);
        driver.close().await.unwrap();
    });
}
