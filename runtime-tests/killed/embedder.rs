//! The embedder that is killed: cells in every flavour and at every stage, through the core and
//! through the contract, several drivers and cells at once. It says what it begins to do.

use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Command};
use std::time::{Duration, Instant};

use hotcell::bundle::{CellConfig, Upper, UserNamespace, Volume};
use hotcell::contract::{Config, Driver};
use hotcell::launch::Stdio;
use hotcell::native::{Error, Instance, NativeDriver, Options};
use rustix::process::Signal;

use super::story;
use crate::bed::{Bed, script};
use crate::contract::races::chance::Chance;
use crate::contract::tools::{background, on_runtime, shell, started};
use crate::embedder::player;

/// What each stage is called, in the order of their numbers.
pub const STAGES: [&str; 9] =
    ["open", "create", "run", "freeze", "thaw", "sample", "wait", "close", "close the driver"];
pub const OPEN: u8 = 0;
pub const CREATE: u8 = 1;
pub const RUN: u8 = 2;
pub const FREEZE: u8 = 3;
pub const THAW: u8 = 4;
pub const SAMPLE: u8 = 5;
pub const WAIT: u8 = 6;
pub const CLOSE: u8 = 7;
pub const CLOSE_DRIVER: u8 = 8;

/// How many of its workers tell where they are.
pub const WORKERS: usize = 4;
/// Nobody is left to kill one that is this old.
const OLD: Duration = Duration::from_secs(60);

/// An embedder, and the stages it tells of.
pub struct Embedder {
    child: Child,
    told: ChildStdout,
}

impl Embedder {
    /// Starts one that plays `part`.
    pub fn start(bed: &Bed, part: &str, seed: u64) -> Embedder {
        Embedder::start_with(bed, part, seed, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with(bed: &Bed, part: &str, seed: u64, with: &[(&str, &str)]) -> Embedder {
        let share = bed.path("share");
        std::fs::create_dir_all(&share).unwrap();
        let mut command: Command = player(bed, &format!("killed-{part}"));
        let seed = seed.to_string();
        command.env("PLAY_SEED", seed).env("PLAY_SHARE", share).envs(with.iter().copied());
        let mut child = command.spawn().unwrap();
        let told = child.stdout.take().unwrap();
        Embedder { child, told }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        assert!(self.was_killed(), "it ended before it was killed");
    }

    /// Waits for its end: whether it was killed, or did all it wanted to.
    pub fn was_killed(&mut self) -> bool {
        let status = self.child.wait().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert!(status.success() || signal == Some(Signal::KILL.as_raw()), "{status}");
        signal.is_some()
    }

    /// The stage that each worker of a killed one was in, as far as it had told.
    pub fn stages(mut self) -> [Option<u8>; WORKERS] {
        let mut told = Vec::new();
        self.told.read_to_end(&mut told).unwrap();
        let mut last = [None; WORKERS];
        for pair in told.chunks_exact(2) {
            last[usize::from(pair[0])] = Some(pair[1]);
        }
        last
    }

    /// What it tells next: one line.
    pub fn line(&mut self) -> String {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while self.told.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }
}

/// The embedder's side.
pub fn play(part: &str, options: Options) {
    let seed = std::env::var("PLAY_SEED").unwrap().parse().unwrap();
    // What a thread finds wrong must not be taken for a kill.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    match part {
        "busy" => busy(&options, seed),
        "storm" => storm(&options),
        "lasting" => last(&options, seed),
        "sweep" => Instance::open(options).unwrap().close().unwrap(),
        "story-core" => story::core(&options),
        "story-contract" => story::contract(options),
        other => super::forks::play(other, options),
    }
}

pub fn say(worker: u8, stage: u8) {
    std::io::stdout().write_all(&[worker, stage]).unwrap();
    std::io::stdout().flush().unwrap();
}

/// Two workers on the core, two on the contract.
fn busy(options: &Options, seed: u64) {
    let start = Instant::now();
    let mut chance = Chance::of(seed);
    std::thread::scope(|scope| {
        for worker in 0..WORKERS as u8 {
            let (options, mut chance) = (options.clone(), Chance::of(chance.next()));
            scope.spawn(move || {
                while start.elapsed() < OLD {
                    match worker % 2 {
                        0 => core(worker, &options, &mut chance),
                        _ => contract(worker, &options, &mut chance),
                    }
                }
            });
        }
    });
}

/// A driver of the core from open to close, a few cells on it.
fn core(worker: u8, options: &Options, chance: &mut Chance) {
    say(worker, OPEN);
    let driver = Instance::open(options.clone()).unwrap();
    for _ in 0..=chance.below(3) {
        life(worker, &driver, chance);
    }
    say(worker, CLOSE_DRIVER);
    driver.close().unwrap();
}

fn flavour(chance: &mut Chance) -> CellConfig {
    let text = format!("sleep 0.01 & usleep {}; exit 3", chance.below(5000));
    let mut config = script(&text);
    config.init = chance.coin();
    config.upper = [Upper::Tmpfs, Upper::Disk, Upper::ReadOnly][chance.below(3) as usize];
    if chance.below(3) == 0 {
        config.user_namespace = UserNamespace::Auto;
    }
    if chance.coin() {
        config.volumes.push(Volume::new(std::env::var_os("PLAY_SHARE").unwrap(), "/data"));
    }
    config
}

fn life(worker: u8, driver: &Instance, chance: &mut Chance) {
    // Both workers want it now and then.
    let name = (chance.below(3) == 0).then(|| "twin".parse().unwrap());
    say(worker, CREATE);
    let created = match driver.create(name, &flavour(chance), None) {
        Err(Error::NameInUse { .. }) => return,
        created => created.unwrap(),
    };
    if chance.below(6) == 0 {
        say(worker, CLOSE);
        return created.close().unwrap();
    }
    say(worker, RUN);
    let mut running = created.run(Stdio::default()).unwrap();
    for _ in 0..chance.below(4) {
        match chance.below(3) {
            0 => {
                say(worker, SAMPLE);
                running.cgroup().sample().unwrap();
            }
            _ => {
                say(worker, FREEZE);
                running.cgroup().freeze().unwrap();
                say(worker, THAW);
                running.cgroup().thaw().unwrap();
            }
        }
    }
    if chance.coin() {
        say(worker, WAIT);
        running.wait(None).unwrap();
    }
    say(worker, CLOSE);
    running.close().unwrap();
}

/// A driver of the contract from open to close, three cells at once on it.
fn contract(worker: u8, options: &Options, chance: &mut Chance) {
    let mut options = options.clone();
    if chance.coin() {
        options.user_namespace = UserNamespace::Auto;
    }
    on_runtime(async {
        say(worker, OPEN);
        let driver = NativeDriver::open(Config::default(), options).unwrap();
        let mut own = || Chance::of(chance.next());
        let lives = [own(), own(), own()].map(|chance| cookie(worker, &driver, chance));
        let [one, two, three] = lives;
        tokio::join!(one, two, three);
        say(worker, CLOSE_DRIVER);
        driver.close().await.unwrap();
    });
}

async fn cookie(worker: u8, driver: &NativeDriver, mut chance: Chance) {
    let here = background();
    let task = shell(&format!("usleep {}; exit 4", chance.below(20_000)));
    say(worker, CREATE);
    let (cookie, wait) = started(driver, task).await;
    for _ in 0..chance.below(3) {
        // The task may have ended.
        say(worker, FREEZE);
        let _ = cookie.freeze(&here).await;
        say(worker, THAW);
        let _ = cookie.unfreeze(&here).await;
    }
    if chance.coin() {
        say(worker, WAIT);
        wait.wait(&here).await;
    }
    say(worker, CLOSE);
    cookie.close(&here).await.unwrap();
}

/// Nothing but starts: of all instants, most are between the birth of a child and its execution.
fn storm(options: &Options) {
    let start = Instant::now();
    let driver = Instance::open(options.clone()).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..WORKERS as u8 {
            let driver = &driver;
            scope.spawn(move || {
                let mut config = script("sleep 60");
                config.init = false;
                config.upper = Upper::ReadOnly;
                while start.elapsed() < OLD {
                    say(worker, CREATE);
                    let created = driver.create(None, &config, None).unwrap();
                    say(worker, RUN);
                    drop(created.run(Stdio::default()).unwrap());
                }
            });
        }
    });
}

/// A task that outlives its embedder.
pub fn lasting() -> CellConfig {
    let mut config = script("sleep 60");
    config.init = false;
    config.upper = Upper::Disk;
    config.user_namespace = UserNamespace::Auto;
    config
}

/// `count` of them, and then nothing more. The first has a name, and a processor's hundredth for ten
/// that would like one each.
fn last(options: &Options, count: u64) {
    let driver = Instance::open(options.clone()).unwrap();
    let start = |number| {
        let (mut config, mut name) = (lasting(), None);
        if number == 0 {
            config.args[2] =
                "for i in 0 1 2 3 4 5 6 7 8 9; do while :; do :; done & done; wait".into();
            config.limits.cpu = Some("0.01".parse().unwrap());
            name = Some("twin".parse().unwrap());
        }
        driver.create(name, &config, None).unwrap().run(Stdio::default()).unwrap()
    };
    let _running: Vec<_> = (0..count).map(start).collect();
    println!();
    std::thread::sleep(OLD);
}
