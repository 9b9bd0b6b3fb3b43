//! This library in a process of its own: answers requests as the floor does.
//!
//! ```text
//! start FLAGS     one start of `true`: create, run, wait, close; its microseconds
//! bundle DIR      the same with the specification of a bundle
//! ```

use std::path::{Path, PathBuf};
use std::time::Instant;

use hotcell::bundle::{CellConfig, Network, Seccomp};
use hotcell::launch::Stdio;
use hotcell::native::{Created, Instance};
use hotcell::oci_spec::runtime::Spec;

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
}

pub(crate) fn serve(megabytes: usize) {
    let mut ballast = vec![0u8; megabytes << 20];
    ballast.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    let driver = Instance::open(options()).unwrap();
    let rootfs = fixture("busybox");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        match line.split_once(' ') {
            Some(("start", flags)) => {
                let config = config(&rootfs, flags.parse().unwrap(), "/bin/true");
                println!("{:.1}", life(|| driver.create(None, &config, None).unwrap()));
            }
            Some(("bundle", dir)) => {
                let spec = Spec::load(Path::new(dir).join("config.json")).unwrap();
                println!("{:.1}", life(|| driver.create_from_spec(None, spec, None).unwrap()));
            }
            _ => panic!("{line:?} is no request"),
        }
    }
    drop(ballast);
}

/// The cell that the floor's start of these flags is the price of.
pub(crate) fn config(rootfs: &PathBuf, flags: u32, command: &str) -> CellConfig {
    let mut config = CellConfig::new(rootfs, command.split(' '));
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
