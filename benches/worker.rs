//! This library in a process of its own: answers requests as the floor does.
//!
//! ```text
//! start FLAGS              one start of `true`: create, run, wait, close; its microseconds, and those
//!                          of CPU time, its cell's included
//! bundle DIR               the same with the specification of a bundle
//! image FLAGS STORE NAME   the same from an image of a store, finding it included
//! resolve STORE NAME       finds an image and lets go of it
//! flood FLAGS MS THREADS   as many as THREADS threads get done in MS; all their times
//! park FLAGS COUNT         starts cells that sleep; unpark ends them
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use hotcell::bundle::{CellConfig, Network, Seccomp};
use hotcell::image::store::{Store, StoreOptions};
use hotcell::launch::Stdio;
use hotcell::native::{Created, Instance, Running};
use hotcell::oci_spec::runtime::Spec;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::bed::{fixture, options};

/// What a start consists of; the numbers are the floor's (`floor/floor.h`).
pub(crate) mod flag {
    pub(crate) const NET: u32 = 2;
    pub(crate) const LIMITS: u32 = 32;
    pub(crate) const BUNDLE: u32 = 64;
    pub(crate) const SECCOMP: u32 = 128;
    pub(crate) const BIND: u32 = 256;
    /// The plain rows' namespaces, overlay, /dev and v2 cgroup.
    pub(crate) const PLAIN: u32 = 1 | 4 | 8 | 16;
    /// An init stays as PID 1. The floor has none.
    pub(crate) const INIT: u32 = 512;
    /// No cgroup namespace of its own.
    pub(crate) const NO_CGROUPNS: u32 = 1024;
}

const TRUE: [&str; 1] = ["/bin/true"];
pub(crate) const SLEEP: [&str; 2] = ["/bin/sleep", "3600"];

pub(crate) fn serve(megabytes: usize) {
    let mut ballast = vec![0u8; megabytes << 20];
    ballast.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    allow_descriptors();
    let driver = Instance::open(options()).unwrap();
    let rootfs = fixture("busybox");
    let mut parked = Vec::new();
    let mut stores = BTreeMap::new();
    let open = |dir: &String| Store::open(dir, StoreOptions::default()).unwrap();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let number = |at| rest.split(' ').nth(at).unwrap().parse::<u32>().unwrap();
        match word {
            "start" => {
                let config = config(&rootfs, number(0), &TRUE);
                tell(|| life(|| driver.create(None, &config, None).unwrap()));
            }
            "bundle" => {
                let spec = Spec::load(Path::new(rest).join("config.json")).unwrap();
                tell(|| life(|| driver.create_from_spec(None, spec, None).unwrap()));
            }
            "image" => {
                let words: Vec<_> = rest.splitn(3, ' ').collect();
                let store = stores.entry(words[1].to_owned()).or_insert_with_key(open);
                tell(|| life(|| from_image(&driver, store, words[2], number(0))));
            }
            "resolve" => {
                let (dir, name) = rest.split_once(' ').unwrap();
                let store = stores.entry(dir.to_owned()).or_insert_with_key(open);
                tell(|| {
                    let begun = Instant::now();
                    assert!(store.resolve(name).unwrap().is_some(), "{name}");
                    begun.elapsed().as_secs_f64() * 1e6
                });
            }
            "flood" => {
                let config = config(&rootfs, number(0), &TRUE);
                let time = Duration::from_millis(number(1).into());
                let times = flood(&driver, &config, time, number(2));
                let times: Vec<_> = times.iter().map(|time| format!("{time:.0}")).collect();
                println!("{}", times.join(" "));
            }
            "park" => {
                let config = config(&rootfs, number(0), &SLEEP);
                parked.extend((0..number(1)).map(|_| park(&driver, &config)));
                println!("0");
            }
            "unpark" => {
                parked.drain(..).for_each(|cell| cell.close().unwrap());
                println!("0");
            }
            _ => panic!("{line:?} is no request"),
        }
    }
    drop(ballast);
}

/// Its lease ends with the call: the layers stay, for nobody removes any here.
fn from_image(driver: &Instance, store: &Store, name: &str, flags: u32) -> Created {
    let image = store.resolve(name).unwrap().unwrap();
    let mut config = config(Path::new("/"), flags, &TRUE);
    let lowers = image.lowers();
    config.stack(&lowers.dir, lowers.names);
    driver.create(None, &config, None).unwrap()
}

fn tell(life: impl FnOnce() -> f64) {
    let before = cpu_time();
    let took = life();
    println!("{took:.1} {:.1}", cpu_time() - before);
}

/// Of this process and of those that it awaited, in microseconds.
fn cpu_time() -> f64 {
    let both = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].map(|who| {
        let usage = getrusage(who).unwrap();
        (usage.user_time() + usage.system_time()).num_microseconds() as f64
    });
    both.iter().sum()
}

/// A cell holds about a dozen.
pub(crate) fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let limit = rustix::process::Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// The cell that the floor's start of these flags is the price of.
pub(crate) fn config(rootfs: &Path, flags: u32, command: &[&str]) -> CellConfig {
    let mut config = CellConfig::new(rootfs, command.iter().copied());
    let is = |flag| flags & flag != 0;
    config.init = is(flag::INIT);
    config.network = if is(flag::NET) { Network::None } else { Network::Host };
    if !is(flag::SECCOMP) {
        config.seccomp = Seccomp::Unconfined;
    }
    if is(flag::LIMITS) {
        config.limits.memory = Some("128m".parse().unwrap());
        config.limits.cpu = Some("0.5".parse().unwrap());
        config.limits.pids = Some(64);
    }
    config
}

pub(crate) fn park(driver: &Instance, config: &CellConfig) -> Running {
    driver.create(None, config, None).unwrap().run(Stdio::default()).unwrap()
}

/// Create, run, wait, close.
pub(crate) fn life(create: impl FnOnce() -> Created) -> f64 {
    let begun = Instant::now();
    let mut running = create().run(Stdio::default()).unwrap();
    let outcome = running.wait(None).unwrap().unwrap().clone();
    running.close().unwrap();
    let took = begun.elapsed();
    assert_eq!(outcome.exit.shell_code(), 0);
    took.as_secs_f64() * 1e6
}

fn flood(driver: &Instance, config: &CellConfig, time: Duration, threads: u32) -> Vec<f64> {
    let end = Instant::now() + time;
    let one = || {
        let mut times = Vec::new();
        while Instant::now() < end {
            times.push(life(|| driver.create(None, config, None).unwrap()));
        }
        times
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        all.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}
