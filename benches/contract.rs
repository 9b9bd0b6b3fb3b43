//! What freezing, thawing and measuring through the contract cost.
//!
//! One interleaved run on one cell: each round freezes and thaws it once with bare system calls
//! (write the file, read the state again until it is there) and once through the cookie, then takes
//! one measurement as the driver does. Whole lives of `true` through the contract are compared with
//! the synchronous core's. Then 200 idle cells are measured once a second, and the CPU time of this
//! process is counted. Prints one JSON line for each figure.
//!
//! `cargo bench --bench contract [-- ROUNDS [ROUNDS_SPACED]]`, as root, after `scripts/setup`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "a measuring program")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotcell::bundle::{CellConfig, Tmpfs, Upper, User};
use hotcell::cgroup::Hierarchies;
use hotcell::contract::{Config, Context, Cookie, Driver, Task, WaitResult};
use hotcell::launch::Stdio;
use hotcell::native::{Instance, NativeDriver, Options};

const IDLE_CELLS: usize = 200;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    // `cargo test --benches` only wants to know that this builds and starts.
    if args.first().is_some_and(|arg| arg == "--test") {
        return;
    }
    let rounds = args.first().map_or(2000, |rounds| rounds.parse().unwrap());
    let spaced = args.get(1).map_or(60, |rounds| rounds.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        freezing(Duration::ZERO, rounds).await;
        freezing(Duration::from_millis(80), spaced).await;
        lives(Duration::ZERO, rounds / 10).await;
        lives(Duration::from_millis(80), spaced / 2).await;
        idle_cells().await;
    });
    measuring(rounds);
}

fn rootfs() -> PathBuf {
    let cache = std::env::var("HOTCELL_FIXTURES").map(PathBuf::from);
    let home = || Path::new(&std::env::var("HOME").unwrap()).join(".cache/hotcell/fixtures");
    let rootfs = cache.unwrap_or_else(|_| home()).join("busybox");
    assert!(rootfs.is_dir(), "{} is missing: run scripts/setup", rootfs.display());
    rootfs
}

fn options() -> Options {
    let mut options = Options::default();
    options.cgroup_parent = format!("hotcell-bench-{}", std::process::id());
    options
}

async fn cell(driver: &NativeDriver, command: &str) -> (Box<dyn Cookie>, Box<dyn WaitResult>) {
    let context = Context::background();
    let task = Task::builder(format!("rootfs:{}", rootfs().display())).command(command);
    let cookie = driver.create_cookie(&context, Arc::new(task.build())).await.unwrap();
    cookie.validate_image(&context).await.unwrap();
    cookie.create_container(&context).await.unwrap();
    let wait = cookie.run(&context).await.unwrap();
    (cookie, wait)
}

/// The kernel's files of the one cell there is, opened once.
struct Raw {
    freeze: File,
    events: File,
}

impl Raw {
    fn open() -> Raw {
        let parent = Hierarchies::detect().unwrap().unified.join(options().cgroup_parent);
        let mut cells = std::fs::read_dir(parent).unwrap().flatten().map(|entry| entry.path());
        let cell = cells.find(|path| path.is_dir()).unwrap();
        let freeze = File::options().write(true).open(cell.join("cgroup.freeze")).unwrap();
        Raw { freeze, events: File::open(cell.join("cgroup.events")).unwrap() }
    }

    fn set(&self, value: &[u8]) -> f64 {
        let wanted = [b"frozen ".as_slice(), value].concat();
        let start = Instant::now();
        self.freeze.write_at(value, 0).unwrap();
        let mut page = [0; 256];
        loop {
            let length = self.events.read_at(&mut page, 0).unwrap();
            if page[..length].windows(wanted.len()).any(|window| window == wanted) {
                return micros(start);
            }
        }
    }
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

async fn freezing(spacing: Duration, rounds: usize) {
    let driver = NativeDriver::open(Config::default(), options()).unwrap();
    let (cookie, _wait) = cell(&driver, "sleep 3600").await;
    let context = Context::background();
    let raw = Raw::open();
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds {
        tokio::time::sleep(spacing).await;
        times[0].push(raw.set(b"1"));
        times[1].push(raw.set(b"0"));
        tokio::time::sleep(spacing).await;
        let start = Instant::now();
        cookie.freeze(&context).await.unwrap();
        times[2].push(micros(start));
        let start = Instant::now();
        cookie.unfreeze(&context).await.unwrap();
        times[3].push(micros(start));
    }
    cookie.close(&context).await.unwrap();
    driver.close().await.unwrap();
    let [raw_freeze, raw_thaw, freeze, thaw] = times;
    report("raw freeze", spacing, &raw_freeze, &raw_freeze);
    report("freeze", spacing, &freeze, &raw_freeze);
    report("raw thaw", spacing, &raw_thaw, &raw_thaw);
    report("thaw", spacing, &thaw, &raw_thaw);
}

/// Create, run, wait and close of `true`, as fn's defaults have it, both ways.
async fn lives(spacing: Duration, rounds: usize) {
    let core = Instance::open(options()).unwrap();
    let mut config = CellConfig::new(rootfs(), ["true"]);
    config.upper = Upper::ReadOnly;
    config.tmpfs.push(Tmpfs::new("/tmp"));
    config.user = User { uid: 1000, gid: 1000 };
    config.capabilities.clear();
    let driver = NativeDriver::open(Config::default(), options()).unwrap();
    let context = Context::background();
    let mut times: [Vec<f64>; 2] = Default::default();
    for _ in 0..rounds {
        tokio::time::sleep(spacing).await;
        times[0].push(tokio::task::block_in_place(|| {
            let start = Instant::now();
            let mut running =
                core.create(None, &config, None).unwrap().run(Stdio::default()).unwrap();
            running.wait(None).unwrap();
            running.close().unwrap();
            micros(start)
        }));
        tokio::time::sleep(spacing).await;
        let start = Instant::now();
        let (cookie, wait) = cell(&driver, "true").await;
        assert!(wait.wait(&context).await.error().is_none());
        cookie.close(&context).await.unwrap();
        times[1].push(micros(start));
    }
    driver.close().await.unwrap();
    report("life, core", spacing, &times[0], &times[0]);
    report("life, contract", spacing, &times[1], &times[0]);
}

/// One sample of a cell's cgroup, as the driver takes it every second.
fn measuring(rounds: usize) {
    let driver = Instance::open(options()).unwrap();
    let mut config = CellConfig::new(rootfs(), ["sleep", "3600"]);
    config.limits.memory = Some("64m".parse().unwrap());
    let running = driver.create(None, &config, None).unwrap().run(Stdio::default()).unwrap();
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        running.cgroup().sample().unwrap();
        times.push(micros(start));
    }
    running.close().unwrap();
    report("sample", Duration::ZERO, &times, &times);
}

/// The share of a CPU that this process uses while idle cells are measured once a second.
async fn idle_cells() {
    let driver = NativeDriver::open(Config::default(), options()).unwrap();
    let mut cells = Vec::new();
    for _ in 0..IDLE_CELLS {
        cells.push(cell(&driver, "sleep 3600").await);
    }
    // What starting them left to do is over by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cpu, start) = (cpu_time(), Instant::now());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let share = (cpu_time() - cpu).as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;
    for (cookie, _) in &cells {
        cookie.close(&Context::background()).await.unwrap();
    }
    driver.close().await.unwrap();
    println!("{{\"figure\":\"idle cells\",\"cells\":{IDLE_CELLS},\"cpu_percent\":{share:.2}}}");
}

/// Of all threads, those that have ended included.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn report(figure: &str, spacing: Duration, times: &[f64], base: &[f64]) {
    let quantile = |times: &[f64], part: f64| {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * part) as usize]
    };
    println!(
        "{{\"figure\":\"{figure}\",\"spacing_ms\":{},\"rounds\":{},\"p50_us\":{:.1},\
         \"p90_us\":{:.1},\"p99_us\":{:.1},\"ratio\":{:.2}}}",
        spacing.as_millis(),
        times.len(),
        quantile(times, 0.5),
        quantile(times, 0.9),
        quantile(times, 0.99),
        quantile(times, 0.5) / quantile(base, 0.5),
    );
}
