//! What a start costs, as a ratio to what the kernel charges for it.
//!
//! One interleaved run: each round asks every contender for one start, in turn. The contenders are
//! processes, so that each has its own resident memory: `floor` (see `floor.c`), and this library
//! inside processes of 16 MB, 1 GB and 4 GB. A start is create, run, wait and close of `true`.
//! Prints one JSON line for each figure; the ratio of medians comes with a bootstrap 95 % interval,
//! and the floor is measured against itself as a null test.
//!
//! `cargo bench --bench launch [-- ROUNDS [ROUNDS_SPACED]]`, as root, after `scripts/setup`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "a measuring program")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio as Pipes};
use std::time::{Duration, Instant};

use hotcell::bundle::{CellConfig, Network};
use hotcell::launch::Stdio;
use hotcell::native::{Instance, Options};

const NET: u32 = 1;
const LIMITS: u32 = 2;
const ROWS: [(&str, u32); 3] = [
    ("limits, new network", NET | LIMITS),
    ("limits, host network", LIMITS),
    ("no limits, new network", NET),
];
const SIZES_MB: [usize; 3] = [16, 1024, 4096];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.first().map(String::as_str) {
        Some("--worker") => worker(args[1].parse().unwrap()),
        // `cargo test --benches` only wants to know that this builds and starts.
        Some("--test") => {}
        _ => {
            let rounds = args.first().map_or(200, |rounds| rounds.parse().unwrap());
            let spaced = args.get(1).map_or(60, |rounds| rounds.parse().unwrap());
            compare(Duration::ZERO, rounds);
            compare(Duration::from_millis(80), spaced);
        }
    }
}

fn rootfs() -> PathBuf {
    let cache = std::env::var("HOTCELL_FIXTURES").map(PathBuf::from);
    let home = || Path::new(&std::env::var("HOME").unwrap()).join(".cache/hotcell/fixtures");
    let rootfs = cache.unwrap_or_else(|_| home()).join("busybox");
    assert!(rootfs.is_dir(), "{} is missing: run scripts/setup", rootfs.display());
    rootfs
}

/// Answers each row number on standard input with the time of one start, in microseconds.
fn worker(megabytes: usize) {
    let mut ballast = vec![0u8; megabytes << 20];
    ballast.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    let options = Options::default();
    let driver = Instance::open(options).unwrap();
    let rootfs = rootfs();
    for line in std::io::stdin().lines() {
        let row: u32 = line.unwrap().parse().unwrap();
        let mut config = CellConfig::new(&rootfs, ["/bin/true"]);
        config.init = false;
        config.network = if row & NET == 0 { Network::Host } else { Network::None };
        if row & LIMITS != 0 {
            config.limits.memory = Some("128m".parse().unwrap());
            config.limits.cpu = Some("0.5".parse().unwrap());
            config.limits.pids = Some(64);
        }
        let start = Instant::now();
        let mut running =
            driver.create(None, &config, None).unwrap().run(Stdio::default()).unwrap();
        let outcome = running.wait(None).unwrap().unwrap().clone();
        running.close().unwrap();
        let took = start.elapsed();
        assert_eq!(outcome.exit.shell_code(), 0);
        println!("{:.1}", took.as_secs_f64() * 1e6);
    }
    drop(ballast);
}

/// A contender behind a pair of pipes.
struct Contender {
    name: String,
    child: Child,
    ask: Option<ChildStdin>,
    answer: BufReader<ChildStdout>,
}

impl Contender {
    fn start(name: String, command: &mut Command) -> Contender {
        let mut child = command.stdin(Pipes::piped()).stdout(Pipes::piped()).spawn().unwrap();
        let ask = child.stdin.take();
        let answer = BufReader::new(child.stdout.take().unwrap());
        Contender { name, child, ask, answer }
    }

    fn measure(&mut self, row: u32) -> f64 {
        writeln!(self.ask.as_mut().unwrap(), "{row}").unwrap();
        let mut line = String::new();
        self.answer.read_line(&mut line).unwrap();
        line.trim().parse().unwrap_or_else(|_| panic!("{} failed", self.name))
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        self.ask.take();
        let _ = self.child.wait();
    }
}

fn contenders() -> Vec<Contender> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("floor");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor.c");
    let built = Command::new("cc").args(["-O2", "-static", "-o"]).arg(&out).arg(source).status();
    assert!(built.unwrap().success());
    let floor = |name: &str| Contender::start(name.to_owned(), Command::new(&out).arg(rootfs()));
    let mut all = vec![floor("floor"), floor("floor again")];
    for megabytes in SIZES_MB {
        let me = std::env::current_exe().unwrap();
        let mut command = Command::new(me);
        command.args(["--worker", &megabytes.to_string()]);
        all.push(Contender::start(format!("hotcell in {megabytes} MB"), &mut command));
    }
    all
}

fn compare(spacing: Duration, rounds: usize) {
    let mut contenders = contenders();
    // The embedders' sizes are compared on the first row alone; the others say what parts cost.
    for (row_name, row) in ROWS {
        let taking_part = if row == NET | LIMITS { contenders.len() } else { 3 };
        let mut times = vec![Vec::with_capacity(rounds); taking_part];
        for round in 0..rounds + 5 {
            for at in 0..taking_part {
                // Nobody always runs behind the same neighbour.
                let at = (at + round) % taking_part;
                std::thread::sleep(spacing);
                let took = contenders[at].measure(row);
                // The first rounds warm the caches.
                if round >= 5 {
                    times[at].push(took);
                }
            }
        }
        for at in 0..taking_part {
            report(row_name, spacing, &contenders[at].name, &times[at], &times[0]);
        }
        if taking_part == contenders.len() {
            let name = format!("{} / {}", contenders[4].name, contenders[2].name);
            report(row_name, spacing, &name, &times[4], &times[2]);
        }
    }
}

fn report(row: &str, spacing: Duration, name: &str, times: &[f64], base: &[f64]) {
    let quantile = |times: &[f64], part: f64| {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * part) as usize]
    };
    let ratio = quantile(times, 0.5) / quantile(base, 0.5);
    // A small xorshift is random enough to draw rounds again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |from: &[f64]| {
        let pick = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            from[(state % from.len() as u64) as usize]
        };
        (0..from.len()).map(pick).collect::<Vec<_>>()
    };
    let mut ratios: Vec<f64> =
        (0..500).map(|_| quantile(&draw(times), 0.5) / quantile(&draw(base), 0.5)).collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "{{\"row\":\"{row}\",\"spacing_ms\":{},\"contender\":\"{name}\",\"rounds\":{},\
         \"p50_us\":{:.0},\"p90_us\":{:.0},\"p99_us\":{:.0},\"ratio\":{ratio:.2},\
         \"ratio_low\":{:.2},\"ratio_high\":{:.2}}}",
        spacing.as_millis(),
        times.len(),
        quantile(times, 0.5),
        quantile(times, 0.9),
        quantile(times, 0.99),
        ratios[12],
        ratios[487],
    );
}
