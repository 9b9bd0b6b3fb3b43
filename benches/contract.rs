//! What freezing, thawing and measuring through the contract cost.
//!
//! Interleaved runs on one cell, which idles or keeps eight processes busy: each round freezes and
//! thaws it once with bare system calls (write the file, read the state again until it is there)
//! and once through the cookie, where the longest time that one poll kept its thread is of interest
//! too. Measurements as the driver takes them are compared with those of the cgroup alone, and
//! whole lives of `true` through the contract with the synchronous core's. Then 200 idle cells are
//! measured once a second, and the CPU time of this process is counted. Prints one JSON line for
//! each figure.
//!
//! `cargo bench --bench contract [-- ROUNDS [ROUNDS_SPACED]]`, as root, after `scripts/setup`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "a measuring program")]

use std::collections::BTreeMap;
use std::fs::File;
use std::future::poll_fn;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotcell::bundle::{CellConfig, Tmpfs, Upper, User};
use hotcell::cgroup::{Hierarchies, Sample};
use hotcell::contract::{Config, Context, Cookie, Driver, Task, WaitResult, metric};
use hotcell::launch::Stdio;
use hotcell::native::{Instance, NativeDriver, Options};

const IDLE_CELLS: usize = 200;

/// What a cell does.
struct Work {
    /// In the figures.
    name: &'static str,
    command: &'static str,
    input: &'static str,
    /// That there are then, the cell's own first one included.
    processes: usize,
}

const IDLE: Work = Work { name: "", command: "sleep 3600", input: "", processes: 2 };
const BUSY: Work = Work {
    name: ", busy",
    command: "sh",
    // Not in the command, whose words are parted at spaces.
    input: "for i in 1 2 3 4 5 6 7 8; do while :; do :; done & done; wait",
    processes: 10,
};
const TRUE: Work = Work { command: "true", ..IDLE };

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
        for work in [IDLE, BUSY] {
            freezing(&work, Duration::ZERO, rounds).await;
            freezing(&work, Duration::from_millis(80), spaced).await;
        }
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

async fn cell(driver: &NativeDriver, work: &Work) -> (Box<dyn Cookie>, Box<dyn WaitResult>) {
    let context = Context::background();
    let task = Task::builder(format!("rootfs:{}", rootfs().display())).command(work.command);
    let task = if work.input.is_empty() { task } else { task.input(work.input.as_bytes()) };
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
    /// When the cell's processes are all there.
    async fn open(processes: usize) -> Raw {
        let parent = Hierarchies::detect().unwrap().unified.join(options().cgroup_parent);
        let mut cells = std::fs::read_dir(parent).unwrap().flatten().map(|entry| entry.path());
        let cell = cells.find(|path| path.is_dir()).unwrap();
        let count = || std::fs::read_to_string(cell.join("cgroup.procs")).unwrap().lines().count();
        while count() < processes {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
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

/// How long the call took, and the longest that one poll of it kept its thread.
async fn polled<T>(call: impl Future<Output = T>) -> (f64, f64) {
    let (start, mut longest, mut call) = (Instant::now(), 0.0, pin!(call));
    poll_fn(|context| {
        let start = Instant::now();
        let answer = call.as_mut().poll(context);
        longest = micros(start).max(longest);
        answer
    })
    .await;
    (micros(start), longest)
}

async fn freezing(work: &Work, spacing: Duration, rounds: usize) {
    let driver = NativeDriver::open(Config::default(), options()).unwrap();
    let (cookie, _wait) = cell(&driver, work).await;
    let context = Context::background();
    let raw = Raw::open(work.processes).await;
    let mut times: [Vec<f64>; 6] = Default::default();
    for _ in 0..rounds {
        tokio::time::sleep(spacing).await;
        times[0].push(raw.set(b"1"));
        times[1].push(raw.set(b"0"));
        tokio::time::sleep(spacing).await;
        let (time, poll) = polled(async { cookie.freeze(&context).await.unwrap() }).await;
        times[2].push(time);
        times[3].push(poll);
        let (time, poll) = polled(async { cookie.unfreeze(&context).await.unwrap() }).await;
        times[4].push(time);
        times[5].push(poll);
    }
    cookie.close(&context).await.unwrap();
    driver.close().await.unwrap();
    let names = ["raw freeze", "raw thaw", "freeze", "freeze, one poll", "thaw", "thaw, one poll"];
    let bases = [0, 1, 0, 0, 1, 1];
    for (i, name) in names.iter().enumerate() {
        report(&format!("{name}{}", work.name), spacing, &times[i], &times[bases[i]]);
    }
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
        let (cookie, wait) = cell(&driver, &TRUE).await;
        assert!(wait.wait(&context).await.error().is_none());
        cookie.close(&context).await.unwrap();
        times[1].push(micros(start));
    }
    driver.close().await.unwrap();
    report("life, core", spacing, &times[0], &times[0]);
    report("life, contract", spacing, &times[1], &times[0]);
}

/// One sample of a cell's cgroup, without and with what the driver makes of it every second.
fn measuring(rounds: usize) {
    let driver = Instance::open(options()).unwrap();
    let mut config = CellConfig::new(rootfs(), ["sleep", "3600"]);
    config.limits.memory = Some("64m".parse().unwrap());
    let running = driver.create(None, &config, None).unwrap().run(Stdio::default()).unwrap();
    let network = File::open(format!("/proc/{}/net/dev", running.cell().pid())).unwrap();
    let mut times: [Vec<f64>; 2] = Default::default();
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(running.cgroup().sample_brief().unwrap());
        times[0].push(micros(start));
        let start = Instant::now();
        let sample = running.cgroup().sample_brief().unwrap();
        black_box(metrics(&sample, &network));
        times[1].push(micros(start));
    }
    running.close().unwrap();
    report("sample, cgroup alone", Duration::ZERO, &times[0], &times[0]);
    report("sample", Duration::ZERO, &times[1], &times[0]);
}

/// The nine metrics, as the driver hands them to a task.
fn metrics(sample: &Sample, network: &File) -> BTreeMap<String, u64> {
    let mut page = [0; 4096];
    let length = network.read_at(&mut page, 0).unwrap();
    let text = String::from_utf8_lossy(&page[..length]);
    let (mut received, mut sent) = (0, 0);
    for (_, counts) in text.lines().filter_map(|line| line.split_once(':')) {
        let mut counts = counts.split_whitespace().map(|count| count.parse::<u64>().unwrap());
        received += counts.next().unwrap();
        sent += counts.nth(7).unwrap();
    }
    let values = [
        (metric::NET_RX, received),
        (metric::NET_TX, sent),
        (metric::MEM_USAGE, sample.memory_bytes.unwrap_or(0)),
        (metric::MEM_LIMIT, 64 << 20),
        (metric::DISK_READ, sample.disk_read_bytes.unwrap_or(0)),
        (metric::DISK_WRITE, sample.disk_write_bytes.unwrap_or(0)),
        (metric::CPU_USER, sample.cpu_user.as_nanos() as u64),
        (metric::CPU_KERNEL, sample.cpu_system.as_nanos() as u64),
        (metric::CPU_TOTAL, sample.cpu_total.as_nanos() as u64),
    ];
    values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The share of a CPU that this process uses while idle cells are measured once a second.
async fn idle_cells() {
    let driver = NativeDriver::open(Config::default(), options()).unwrap();
    let mut cells = Vec::new();
    for _ in 0..IDLE_CELLS {
        cells.push(cell(&driver, &IDLE).await);
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
         \"p90_us\":{:.1},\"p99_us\":{:.1},\"max_us\":{:.1},\"ratio\":{:.2}}}",
        spacing.as_millis(),
        times.len(),
        quantile(times, 0.5),
        quantile(times, 0.9),
        quantile(times, 0.99),
        quantile(times, 1.0),
        quantile(times, 0.5) / quantile(base, 0.5),
    );
}
