//! What containment adds to a start, and what its system call filter costs by itself.
//!
//! One interleaved run of cells, started in turn by this process: one with the default profile,
//! capabilities dropped and paths masked, one with no filter, every capability and nothing masked (and
//! that once more, as a null test), one contained with ids of its own.
//! Then the kernel's price of loading filters (see `filter.c`), and the library's of having them at
//! hand. Prints one JSON line for each figure; the ratio of medians comes with a bootstrap 95 %
//! interval.
//!
//! `cargo bench --bench hardening [-- ROUNDS]`, as root, after `scripts/setup`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "a measuring program")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Pipes};
use std::time::{Duration, Instant};

use hotcell::bundle::{CellConfig, Seccomp, UserNamespace, spec};
use hotcell::launch::Stdio;
use hotcell::native::{Instance, Options};
use hotcell::oci_spec::runtime::{Capability, LinuxSeccomp};
use hotcell::seccomp::{Architecture, Kernel, Profile, Program, compile, program};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    // `cargo test --benches` only wants to know that this builds and starts.
    if args.first().is_some_and(|arg| arg == "--test") {
        return;
    }
    let rounds = args.first().map_or(400, |rounds| rounds.parse().unwrap());
    starts(rounds, Duration::ZERO);
    starts(rounds / 5, Duration::from_millis(80));
    loads(rounds);
    at_hand();
}

fn fixture(name: &str) -> PathBuf {
    let cache = std::env::var("HOTCELL_FIXTURES").map(PathBuf::from);
    let home = || Path::new(&std::env::var("HOME").unwrap()).join(".cache/hotcell/fixtures");
    let path = cache.unwrap_or_else(|_| home()).join(name);
    assert!(path.exists(), "{} is missing: run scripts/setup", path.display());
    path
}

/// Every capability that this process has to give.
fn all_capabilities() -> Vec<Capability> {
    let held = caps::read(None, caps::CapSet::Permitted).unwrap();
    held.iter().map(|cap| cap.to_string().trim_start_matches("CAP_").parse().unwrap()).collect()
}

/// How a cell is held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Contained,
    Bare,
    OwnIds,
}

/// One start: create, run, wait, close.
fn start(driver: &Instance, held: Held) -> f64 {
    let hardened = held != Held::Bare;
    let mut config = CellConfig::new(fixture("busybox"), ["/bin/true"]);
    config.init = false;
    config.limits.memory = Some("128m".parse().unwrap());
    config.limits.cpu = Some("0.5".parse().unwrap());
    config.limits.pids = Some(64);
    if !hardened {
        config.seccomp = Seccomp::Unconfined;
        config.capabilities = all_capabilities();
    }
    if held == Held::OwnIds {
        config.user_namespace = UserNamespace::Auto;
    }
    let begun = Instant::now();
    let mut spec = spec(&config).unwrap();
    if !hardened && let Some(linux) = spec.linux_mut() {
        linux.set_masked_paths(None).set_readonly_paths(None);
    }
    let created = driver.create_from_spec(None, spec, None).unwrap();
    let mut running = created.run(Stdio::default()).unwrap();
    let outcome = running.wait(None).unwrap().unwrap().clone();
    running.close().unwrap();
    let took = begun.elapsed();
    assert_eq!(outcome.exit.shell_code(), 0);
    took.as_secs_f64() * 1e6
}

fn starts(rounds: usize, spacing: Duration) {
    let driver = Instance::open(Options::default()).unwrap();
    const TURNS: [Held; 4] = [Held::Contained, Held::Bare, Held::Bare, Held::OwnIds];
    let mut times = TURNS.map(|_| Vec::new());
    for round in 0..rounds + 5 {
        for turn in 0..TURNS.len() {
            // Nobody always runs behind the same neighbour.
            let who = (turn + round) % TURNS.len();
            std::thread::sleep(spacing);
            let took = start(&driver, TURNS[who]);
            // The first rounds warm the caches.
            if round >= 5 {
                times[who].push(took);
            }
        }
    }
    let [hard, bare, again, own_ids] = times;
    let spacing = spacing.as_millis();
    report(&format!("contained, {spacing} ms apart"), "us", &hard, Some(&bare));
    report(&format!("bare, {spacing} ms apart"), "us", &bare, None);
    report(&format!("contained, own ids, {spacing} ms apart"), "us", &own_ids, Some(&hard));
    report(&format!("null test: bare again, {spacing} ms apart"), "us", &again, Some(&bare));
}

/// The default profile and Podman's for Docker's capabilities.
fn filters() -> [(&'static str, LinuxSeccomp); 2] {
    let held = hotcell::bundle::CAPABILITIES;
    let podmans = Profile::read(&fixture("podman-seccomp.json")).unwrap();
    [("default", Profile::hotcell()), ("Podman's", &podmans)].map(|(name, profile)| {
        (name, profile.resolve(&held, Architecture::NATIVE, Kernel::running()))
    })
}

fn loads(rounds: usize) {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("filter");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/filter.c");
    let built = Command::new("cc").args(["-O2", "-static", "-o"]).arg(&out).arg(source).status();
    assert!(built.unwrap().success());
    let allow_all = Program::new(vec![0x7fff_0000_0000_0006], 0);
    let mut programs = vec![("one instruction", allow_all)];
    let all = filters();
    programs.extend(all.iter().map(|(n, f)| (*n, compile(f, Architecture::NATIVE).unwrap())));
    for (name, program) in programs {
        let mut command = Command::new(&out);
        command.arg(rounds.to_string()).stdin(Pipes::piped()).stdout(Pipes::piped());
        let mut child = command.spawn().unwrap();
        let words = program.instructions();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "loading {name}");
        let text = String::from_utf8(output.stdout).unwrap();
        let times: Vec<f64> = text.lines().map(|l| l.parse::<f64>().unwrap() / 1e3).collect();
        report(&format!("load {name}, {} instructions", words.len()), "us", &times, None);
    }
}

fn at_hand() {
    let time = |name: &str, each: &dyn Fn()| {
        let times = (0..300).map(|_| {
            let begun = Instant::now();
            each();
            begun.elapsed().as_secs_f64() * 1e6
        });
        report(name, "us", &times.collect::<Vec<_>>(), None);
    };
    for (name, filter) in filters() {
        time(&format!("compile {name}"), &|| drop(compile(&filter, Architecture::NATIVE).unwrap()));
        time(&format!("find {name} compiled"), &|| drop(program(&filter).unwrap()));
    }
    let config = CellConfig::new("/srv", ["true"]);
    let mut unconfined = config.clone();
    unconfined.seccomp = Seccomp::Unconfined;
    let json = |config: &CellConfig| serde_json::to_vec(&spec(config).unwrap()).unwrap();
    time("specification as JSON, default", &|| drop(json(&config)));
    time("specification as JSON, unconfined", &|| drop(json(&unconfined)));
}

fn quantile(times: &[f64], part: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

fn report(name: &str, unit: &str, times: &[f64], base: Option<&[f64]>) {
    let ratio = base.map_or(String::new(), |base| {
        // A small xorshift is random enough to draw rounds again.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |from: &[f64]| {
            let pick = |_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                from[(state % from.len() as u64) as usize]
            };
            quantile(&(0..from.len()).map(pick).collect::<Vec<_>>(), 0.5)
        };
        let mut ratios: Vec<f64> = (0..500).map(|_| draw(times) / draw(base)).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = quantile(times, 0.5) / quantile(base, 0.5);
        format!(
            ",\"ratio\":{ratio:.3},\"ratio_low\":{:.3},\"ratio_high\":{:.3}",
            ratios[12], ratios[487]
        )
    });
    println!(
        "{{\"figure\":\"{name}\",\"rounds\":{},\"p50_{unit}\":{:.1},\"p99_{unit}\":{:.1}{ratio}}}",
        times.len(),
        quantile(times, 0.5),
        quantile(times, 0.99),
    );
}
