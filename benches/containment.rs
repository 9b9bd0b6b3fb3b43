//! What containment adds to a start, and what its system call filter costs by itself.

use std::hint::black_box;
use std::io::Write;
use std::process::Stdio as Pipes;
use std::time::{Duration, Instant};

use hotcell::bundle::{CellConfig, Seccomp, UserNamespace, spec};
use hotcell::native::Instance;
use hotcell::oci_spec::runtime::{Capability, LinuxSeccomp};
use hotcell::seccomp::{Architecture, Kernel, Profile, Program, compile, program};

use super::args::Args;
use super::bed::{Bed, bytes, fixture};
use super::measure::Turn;
use super::report::{Report, Row};
use super::start::both_spacings;
use super::worker::flag::{LIMITS, NET, SECCOMP};
use super::worker::{config, life};

pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    starts(bed, args, report);
    loads(bed, args, report);
    at_hand(args, report);
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
    /// No filter, every capability, nothing masked.
    Bare,
    /// Contained, and its root is nobody on the host.
    OwnIds,
}

fn start(bed: &Bed, driver: &Instance, held: Held) -> f64 {
    let mut config = config(&bed.rootfs, LIMITS | NET | SECCOMP, &["/bin/true"]);
    match held {
        Held::Contained => {}
        Held::Bare => {
            config.seccomp = Seccomp::Unconfined;
            config.capabilities = all_capabilities();
        }
        Held::OwnIds => config.user_namespace = UserNamespace::Auto,
    }
    life(|| {
        let mut spec = spec(&config).unwrap();
        if held == Held::Bare
            && let Some(linux) = spec.linux_mut()
        {
            linux.set_masked_paths(None).set_readonly_paths(None);
        }
        driver.create_from_spec(None, spec, None).unwrap()
    })
}

fn starts(bed: &Bed, args: &Args, report: &mut Report) {
    let driver = Instance::open(bed.options()).unwrap();
    let turn = |name, against: &[&str], held| {
        let driver = driver.clone();
        Turn::new(name, against, move || Ok(start(bed, &driver, held)))
    };
    let mut turns = [
        turn("bare", &[], Held::Bare),
        turn("bare again (null test)", &["bare"], Held::Bare),
        turn("contained", &["bare"], Held::Contained),
        turn("contained, ids of its own", &["contained"], Held::OwnIds),
    ];
    both_spacings("containment", "a start", &mut turns, args, report);
}

/// The default profile and Podman's for Docker's capabilities.
fn filters() -> [(&'static str, LinuxSeccomp); 2] {
    let held = hotcell::bundle::CAPABILITIES;
    let podmans = Profile::read(&fixture("podman-seccomp.json")).unwrap();
    [("the default profile", Profile::hotcell()), ("Podman's", &podmans)].map(|(name, profile)| {
        (name, profile.resolve(&held, Architecture::NATIVE, Kernel::running()))
    })
}

fn row(name: &str) -> Row<'_> {
    Row { group: "containment", name, spacing: Duration::ZERO }
}

/// The kernel's price of a filter.
fn loads(bed: &Bed, args: &Args, report: &mut Report) {
    let allow_all = Program::new(vec![0x7fff_0000_0000_0006], 0);
    let mut programs = vec![("a filter of one instruction", allow_all)];
    let all = filters();
    programs.extend(all.iter().map(|(n, f)| (*n, compile(f, Architecture::NATIVE).unwrap())));
    let turn = |(name, program): (&str, Program)| {
        let mut command = bed.tool();
        command.arg("load").arg(args.rounds.to_string());
        let mut child = command.stdin(Pipes::piped()).stdout(Pipes::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&bytes(&program)).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "loading {name}");
        let text = String::from_utf8(output.stdout).unwrap();
        let times = text.lines().map(|line| line.parse().unwrap()).collect();
        Turn::taken(format!("{name}, {} instructions", program.instructions().len()), times)
    };
    let turns: Vec<_> = programs.into_iter().map(turn).collect();
    report.row(row("the kernel loads a filter"), &turns);
}

/// The library's price of having a filter at hand.
fn at_hand(args: &Args, report: &mut Report) {
    let time = |name: String, each: &dyn Fn()| {
        let times = (0..args.rounds).map(|_| {
            let begun = Instant::now();
            each();
            begun.elapsed().as_secs_f64() * 1e6
        });
        Turn::taken(name, times.collect())
    };
    let mut turns = Vec::new();
    for (name, filter) in filters() {
        let native = Architecture::NATIVE;
        let compiled = || drop(compile(&filter, native).unwrap());
        turns.push(time(format!("{name} is worked out"), &compiled));
        turns.push(time(format!("{name} is found again"), &|| drop(program(&filter).unwrap())));
    }
    let config = CellConfig::new("/srv", ["true"]);
    let mut unconfined = config.clone();
    unconfined.seccomp = Seccomp::Unconfined;
    for (name, config) in [("with a filter", &config), ("without", &unconfined)] {
        turns.push(time(format!("specification as JSON, {name}"), &|| {
            black_box(serde_json::to_vec(&spec(config).unwrap()).unwrap());
        }));
    }
    report.row(row("a filter at hand"), &turns);
}
