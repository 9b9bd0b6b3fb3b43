//! The same rules through libseccomp: its program, run by our evaluator, answers as ours does.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Pipes};

use hotcell::oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSyscall,
};
use hotcell::seccomp::{Answer, Architecture, Kernel, Profile, Program, compile, number};

use crate::bed::Bed;
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(numbers_are_libseccomps, Libseccomp),
        test!(the_default_profile_is_read_alike, Libseccomp),
        test!(podmans_profile_is_read_alike, Libseccomp, PodmansProfile),
        test!(random_rules_are_read_alike, Libseccomp),
    ]
}

fn oracle(bed: &Bed) -> PathBuf {
    let out = bed.path("oracle");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime-tests/seccomp/oracle.c");
    let built = Command::new("cc").arg("-o").arg(&out).arg(source).arg("-lseccomp").status();
    assert!(built.unwrap().success());
    out
}

fn ask(oracle: &Path, question: &str) -> Vec<u8> {
    let mut child =
        Command::new(oracle).stdin(Pipes::piped()).stdout(Pipes::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(question.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{question}");
    output.stdout
}

const ALL: [Architecture; 5] = [
    Architecture::X86_64,
    Architecture::X32,
    Architecture::I386,
    Architecture::Aarch64,
    Architecture::Arm,
];

/// The names of the table, from the file that the library embeds.
fn names() -> Vec<&'static str> {
    let csv = include_str!("../../src/seccomp/syscalls.csv");
    csv.lines().skip(1).filter_map(|line| line.split(',').next()).collect()
}

/// libseccomp's numbers; -1 stands for a name that it does not know; below -10,000 for a call that
/// the architecture does not have; between them for one that it also has behind another.
fn numbers(oracle: &Path, architecture: Architecture) -> Vec<(&'static str, i32)> {
    let question = format!("names {} {}", architecture.to_oci() as u32, names().join(" "));
    let answer = String::from_utf8(ask(oracle, &question)).unwrap();
    let theirs = answer.lines().map(|line| line.split_once(' ').unwrap().1.parse().unwrap());
    names().into_iter().zip(theirs).collect()
}

fn numbers_are_libseccomps(bed: &Bed) {
    let oracle = oracle(bed);
    for architecture in ALL {
        let mut same = 0;
        for (name, theirs) in numbers(&oracle, architecture) {
            if let Ok(theirs) = u32::try_from(theirs) {
                assert_eq!(number(name, architecture), Some(theirs), "{name} {architecture:?}");
                same += 1;
            }
        }
        assert!(same > 300, "{architecture:?}: {same}");
    }
}

fn word(action: Action, ret: Option<u32>) -> u32 {
    match action {
        Action::ScmpActErrno | Action::ScmpActTrace => action.as_u32(Some(ret.unwrap_or(1))),
        other => other.as_u32(None),
    }
}

/// What runc hands to libseccomp: rules that repeat the default are left out, and conditions on the
/// same argument become rules of their own.
fn question(filter: &LinuxSeccomp) -> String {
    let default = word(filter.default_action(), filter.default_errno_ret());
    let mut text = format!("default {default}\n");
    for arch in filter.architectures().iter().flatten() {
        text += &format!("arch {}\n", *arch as u32);
    }
    for rule in filter.syscalls().iter().flatten() {
        let action = word(rule.action(), rule.errno_ret());
        if action == default {
            continue;
        }
        let args = rule.args().as_deref().unwrap_or_default();
        let line = |arg: &hotcell::oci_spec::runtime::LinuxSeccompArg| {
            let two = arg.value_two().unwrap_or(0);
            format!("{} {} {} {two}\n", arg.index(), arg.op() as u32, arg.value())
        };
        let twice = args.iter().any(|a| args.iter().filter(|b| a.index() == b.index()).count() > 1);
        for name in rule.names() {
            if twice {
                for arg in args {
                    text += &format!("rule {action} {name} 1\n{}", line(arg));
                }
            } else {
                let lines: String = args.iter().map(line).collect();
                text += &format!("rule {action} {name} {}\n{lines}", args.len());
            }
        }
    }
    text
}

/// Compares answers to every number up to 520 with each of `arguments`.
fn compare(oracle: &Path, filter: &LinuxSeccomp, arguments: &[[u64; 6]]) {
    let ours = compile(filter, Architecture::NATIVE).unwrap();
    let bytes = ask(oracle, &question(filter));
    let (words, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty() && !words.is_empty());
    let theirs = Program::new(words.iter().map(|word| u64::from_ne_bytes(*word)).collect(), 0);
    let listed: Vec<Arch> = filter.architectures().clone().unwrap_or_default();
    let default = Answer::from_word(word(filter.default_action(), filter.default_errno_ret()));
    for architecture in ALL.into_iter().filter(|arch| {
        // What can't run here never calls.
        (*arch == Architecture::Aarch64 || *arch == Architecture::Arm)
            == cfg!(target_arch = "aarch64")
    }) {
        let named = filter.syscalls().iter().flatten().flat_map(|rule| rule.names());
        let highest = named.filter_map(|name| number(name, architecture)).max();
        let allowed =
            architecture == Architecture::NATIVE || listed.contains(&architecture.to_oci());
        // libseccomp may be older than the kernel that the table is from.
        let missing = |(_, theirs): &(_, i32)| *theirs == -1 || *theirs < -10_000;
        let unknown = numbers(oracle, architecture).into_iter().filter(missing);
        let unknown: Vec<_> = unknown.filter_map(|(name, _)| number(name, architecture)).collect();
        let base = if architecture == Architecture::X32 { 0x4000_0000 } else { 0 };
        for nr in (0..520).map(|nr| nr + base) {
            // Multiplexed calls of i386 differ on purpose where rules look at arguments.
            let multiplexed = architecture == Architecture::I386 && [102, 117].contains(&nr);
            if multiplexed || unknown.contains(&nr) {
                continue;
            }
            for arguments in arguments {
                // The one thing that runc adds to libseccomp's program.
                let newer = allowed && highest.is_some_and(|highest| nr > highest);
                let expected = match newer && !default.lets_pass() {
                    true => Answer::ENOSYS,
                    false => theirs.answer(architecture, nr, *arguments),
                };
                let answer = ours.answer(architecture, nr, *arguments);
                let about = |rule: &&LinuxSyscall| {
                    rule.names().iter().any(|name| number(name, architecture) == Some(nr))
                };
                let rules = || filter.syscalls().iter().flatten().filter(about).collect::<Vec<_>>();
                assert!(
                    answer == expected,
                    "{architecture:?} {nr} {arguments:x?}: {answer}, theirs {expected}, {:?}",
                    rules()
                );
            }
        }
    }
    println!("ours {} instructions, theirs {}", ours.instructions().len(), words.len());
}

fn arguments() -> Vec<[u64; 6]> {
    let first = [0, 1, 2, 8, 10, 16, 17, 38, 40, 0x2_0000, 0x2_0008, 0xffff_ffff, 0x1000_0011];
    let all = first.into_iter().flat_map(|a| [0, 9, 15].map(|c| [a, 1, c, 0, 0, 0]));
    all.chain([[0x1_0000_0001, 0, 0, 0, 0, 0], [u64::MAX; 6]]).collect()
}

fn the_default_profile_is_read_alike(bed: &Bed) {
    let oracle = oracle(bed);
    let sets = [
        vec![],
        hotcell::bundle::CAPABILITIES.to_vec(),
        vec![Capability::SysAdmin, Capability::Bpf],
    ];
    for held in sets {
        let filter = Profile::hotcell().resolve(&held, Architecture::NATIVE, Kernel::running());
        compare(&oracle, &filter, &arguments());
    }
}

fn podmans_profile_is_read_alike(bed: &Bed) {
    let oracle = oracle(bed);
    let profile = Profile::read(&fixture("podman-seccomp.json")).unwrap();
    for held in [vec![], vec![Capability::AuditWrite, Capability::SysAdmin]] {
        let mut filter = profile.resolve(&held, Architecture::NATIVE, Kernel::running());
        // libseccomp puts cases with different answers in an order of its own making; its authors
        // promise none. Here both orders come to the same.
        filter.set_flags(None);
        // 32-bit calls look at no more than 32 bits.
        let narrow = |args: [u64; 6]| args.map(|arg| arg & 0xffff_ffff);
        compare(&oracle, &filter, &arguments().into_iter().map(narrow).collect::<Vec<_>>());
    }
}

/// One answer beside the default for each call: among several, libseccomp's order is undefined.
fn random_rules_are_read_alike(bed: &Bed) {
    use hotcell::oci_spec::runtime::{LinuxSeccompArgBuilder, LinuxSeccompOperator as Op};
    let oracle = oracle(bed);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let known = names();
    let values = [0, 1, 2, 7, 0x20, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
    let operators = [
        Op::ScmpCmpEq,
        Op::ScmpCmpNe,
        Op::ScmpCmpLt,
        Op::ScmpCmpLe,
        Op::ScmpCmpGe,
        Op::ScmpCmpGt,
        Op::ScmpCmpMaskedEq,
    ];
    let actions =
        [Action::ScmpActAllow, Action::ScmpActErrno, Action::ScmpActLog, Action::ScmpActTrap];
    for _ in 0..60 {
        let mut filter = LinuxSeccomp::default();
        let default = next(4) as usize;
        filter.set_default_action(actions[default]);
        let more = [Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32];
        filter.set_architectures(Some(more[..next(4) as usize].to_vec()));
        let mut rules = Vec::new();
        for _ in 0..next(120) {
            let mut rule = LinuxSyscall::default();
            rule.set_names(vec![known[next(known.len() as u64) as usize].to_owned()]);
            rule.set_action(actions[(default + 1) % 4]);
            if next(3) == 0 {
                let index = next(6) as usize;
                let op = operators[next(7) as usize];
                let (a, b) = (values[next(8) as usize], values[next(8) as usize]);
                let arg = LinuxSeccompArgBuilder::default().index(index).op(op);
                let arg = arg.value(a).value_two(if op == Op::ScmpCmpMaskedEq { a & b } else { 0 });
                rule.set_args(Some(vec![arg.build().unwrap()]));
            }
            rules.push(rule);
        }
        filter.set_syscalls(Some(rules));
        let mut arguments = Vec::new();
        for _ in 0..24 {
            arguments.push([(); 6].map(|()| values[next(8) as usize]));
        }
        compare(&oracle, &filter, &arguments);
    }
}
