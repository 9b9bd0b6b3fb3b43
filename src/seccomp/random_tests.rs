//! Random rules: the compiled program answers what a plain reading of the rules says.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Op,
    LinuxSyscall,
};
use proptest::prelude::*;

use super::profile::argument;
use super::program::LONGEST;
use super::{Answer, Architecture, Error, compile, number, table};

const NAMES: [&str; 23] = [
    "read",
    "write",
    "open",
    "close",
    "stat",
    "mmap",
    "ioctl",
    "socket",
    "sendto",
    "clone",
    "execve",
    "personality",
    "semop",
    "shmget",
    "openat",
    "socketcall",
    "ipc",
    "clone3",
    "openat2",
    "riscv_hwprobe",
    "rt_sigaction",
    "waitpid",
    "breakpoint",
];

const VALUES: [u64; 12] = [
    0,
    1,
    2,
    9,
    16,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x7e02_0000,
    0xffff_ffff_0000_0000,
    u64::MAX,
];

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![4 => prop::sample::select(&VALUES[..]), 1 => any::<u64>()]
}

fn arg() -> impl Strategy<Value = LinuxSeccompArg> {
    use Op::*;
    let operators =
        [ScmpCmpEq, ScmpCmpNe, ScmpCmpLt, ScmpCmpLe, ScmpCmpGe, ScmpCmpGt, ScmpCmpMaskedEq];
    let two = prop::option::of(value());
    prop_oneof![
        (0usize..6, prop::sample::select(operators.to_vec()), value(), two)
            .prop_map(|(index, op, value, two)| argument(index, op, value, two)),
        // Neighbours that ask alike.
        (0usize..2, value()).prop_map(|(index, value)| argument(index, Op::ScmpCmpEq, value, None)),
    ]
}

fn action() -> impl Strategy<Value = (Action, Option<u32>)> {
    use Action::*;
    let plain =
        [ScmpActAllow, ScmpActLog, ScmpActTrap, ScmpActKill, ScmpActKillThread, ScmpActKillProcess];
    let ret = prop::option::of(0u32..4096);
    prop_oneof![
        prop::sample::select(plain.to_vec()).prop_map(|action| (action, None)),
        (prop::sample::select(vec![ScmpActErrno, ScmpActTrace]), ret),
    ]
}

fn rule() -> impl Strategy<Value = LinuxSyscall> {
    let names = prop::collection::vec(prop::sample::select(&NAMES[..]), 1..5);
    let args = prop_oneof![Just(Vec::new()), prop::collection::vec(arg(), 1..4)];
    (names, action(), args).prop_map(|(names, (action, ret), args)| {
        let mut rule = LinuxSyscall::default();
        rule.set_names(names.into_iter().map(str::to_owned).collect());
        rule.set_action(action).set_errno_ret(ret);
        rule.set_args(Some(args).filter(|args| !args.is_empty()));
        rule
    })
}

fn filter() -> impl Strategy<Value = LinuxSeccomp> {
    use Arch::*;
    let all = vec![
        ScmpArchNative,
        ScmpArchX86_64,
        ScmpArchX32,
        ScmpArchX86,
        ScmpArchArm,
        ScmpArchAarch64,
        ScmpArchS390x,
    ];
    let arches = prop::sample::subsequence(all, 0..4);
    let rules = prop::collection::vec(rule(), 0..40);
    (action(), arches, rules).prop_map(|((action, ret), arches, rules)| {
        let mut filter = LinuxSeccomp::default();
        filter.set_default_action(action).set_default_errno_ret(ret);
        filter.set_architectures(Some(arches)).set_syscalls(Some(rules));
        filter
    })
}

/// The rules read one after the other, as they stand.
fn reading(
    filter: &LinuxSeccomp,
    native: Architecture,
    architecture: Architecture,
    nr: u32,
    args: [u64; 6],
) -> Answer {
    let of = |action, ret| Answer::of("", action, ret).unwrap();
    let default = of(filter.default_action(), filter.default_errno_ret());
    let listed = filter.architectures().iter().flatten();
    let listed = listed.filter_map(|arch| Architecture::from_oci(*arch, native));
    if architecture != native && !listed.into_iter().any(|arch| arch == architecture) {
        return Answer::KillProcess;
    }
    let rules = filter.syscalls().iter().flatten();
    let mut highest = None;
    let (mut always, mut sometimes) = (None, None);
    for rule in rules {
        let answer = of(rule.action(), rule.errno_ret());
        let args_of = rule.args().as_deref().unwrap_or_default();
        for name in rule.names() {
            let own = number(name, architecture);
            highest = highest.max(own);
            if answer == default {
                continue;
            }
            let holds = |arg: &LinuxSeccompArg| {
                let value = args[arg.index()];
                let value = if architecture.is_narrow() { value & 0xffff_ffff } else { value };
                match arg.op() {
                    Op::ScmpCmpEq => value == arg.value(),
                    Op::ScmpCmpNe => value != arg.value(),
                    Op::ScmpCmpLt => value < arg.value(),
                    Op::ScmpCmpLe => value <= arg.value(),
                    Op::ScmpCmpGe => value >= arg.value(),
                    Op::ScmpCmpGt => value > arg.value(),
                    Op::ScmpCmpMaskedEq => value & arg.value() == arg.value_two().unwrap_or(0),
                }
            };
            let twice = (0..6).any(|at| args_of.iter().filter(|a| a.index() == at).count() > 1);
            if own == Some(nr) {
                match args_of {
                    [] => always = always.or(Some(answer)),
                    args if twice && args.iter().any(holds) => {
                        sometimes = sometimes.or(Some(answer))
                    }
                    args if !twice && args.iter().all(holds) => {
                        sometimes = sometimes.or(Some(answer));
                    }
                    _ => {}
                }
            }
            if let (Architecture::I386, Some((door, which))) =
                (architecture, table::through_old_door(name))
                && number(door, Architecture::I386) == Some(nr)
                && args[0] as u32 == which as u32
                && (args_of.is_empty() || !answer.lets_pass())
            {
                sometimes = sometimes.or(Some(answer));
            }
        }
    }
    match highest {
        Some(highest) if nr > highest && !default.lets_pass() => Answer::ENOSYS,
        _ => always.or(sometimes).unwrap_or(default),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_program_answers_what_the_rules_say(
        filter in filter(),
        arm in any::<bool>(),
        calls in prop::collection::vec((prop::array::uniform6(value()), any::<u32>()), 8),
    ) {
        let native = if arm { Architecture::Aarch64 } else { Architecture::X86_64 };
        let program = compile(&filter, native).unwrap();
        prop_assert!(program.instructions().len() <= LONGEST);
        for (args, stray) in calls {
            for architecture in Architecture::ALL.into_iter().filter(|arch| arch.runs_on(native)) {
                let named = NAMES.iter().filter_map(|name| number(name, architecture));
                let around = named.flat_map(|nr| [nr.saturating_sub(1), nr, nr + 1]);
                let x32 = architecture == Architecture::X32;
                let bit = if x32 { 0x4000_0000 } else { 0 };
                for nr in around.chain([stray & 0x3fff_ffff | bit, bit]) {
                    // The bit is what makes a number x32's.
                    if architecture.audit() == Architecture::X32.audit()
                        && (nr & 0x4000_0000 != 0) != x32
                    {
                        continue;
                    }
                    prop_assert_eq!(
                        program.answer(architecture, nr, args),
                        reading(&filter, native, architecture, nr, args),
                        "{:?} {:#x} {:x?}", architecture, nr, args
                    );
                }
            }
            prop_assert!(arm || program.answer(Architecture::Aarch64, 0, args) == Answer::KillProcess);
        }
    }
}

/// Few calls, few values, many rules: neighbours ask alike.
fn crowded() -> impl Strategy<Value = LinuxSeccomp> {
    let equal = (0usize..3, 1u64..4).prop_map(|(i, value)| argument(i, Op::ScmpCmpEq, value, None));
    let action = prop::sample::select(vec![Action::ScmpActAllow, Action::ScmpActTrap]);
    let one =
        (prop::sample::select(vec!["read", "socket"]), action, prop::collection::vec(equal, 1..4));
    let rule = one.prop_map(|(name, action, args)| {
        let mut rule = LinuxSyscall::default();
        rule.set_names(vec![name.to_owned()]).set_action(action).set_args(Some(args));
        rule
    });
    prop::collection::vec(rule, 1..30).prop_map(|rules| {
        let mut filter = LinuxSeccomp::default();
        filter.set_default_action(Action::ScmpActErrno).set_syscalls(Some(rules));
        filter.set_architectures(Some(vec![Arch::ScmpArchX86]));
        filter
    })
}

proptest! {
    #[test]
    fn rules_that_ask_alike_keep_their_order(filter in crowded()) {
        let native = Architecture::X86_64;
        let program = compile(&filter, native).unwrap();
        for at in 0..64 {
            let args = [at & 3, at >> 2 & 3, at >> 4, 0, 0, 0];
            for architecture in [native, Architecture::I386] {
                for name in ["read", "socket", "socketcall"] {
                    let Some(nr) = number(name, architecture) else { continue };
                    prop_assert_eq!(
                        program.answer(architecture, nr, args),
                        reading(&filter, native, architecture, nr, args)
                    );
                }
            }
        }
    }
}

#[test]
fn what_the_kernel_would_not_take_is_refused() {
    let mut filter = LinuxSeccomp::default();
    let rules = (0..400).map(|value| {
        let mut rule = LinuxSyscall::default();
        let args = (0..6).map(|index| argument(index, Op::ScmpCmpGt, value, None)).collect();
        rule.set_names(vec!["read".to_owned()]).set_action(Action::ScmpActAllow);
        rule.set_args(Some(args));
        rule
    });
    filter.set_default_action(Action::ScmpActErrno).set_syscalls(Some(rules.collect()));
    let error = compile(&filter, Architecture::X86_64).unwrap_err();
    assert!(matches!(error, Error::TooLong { instructions } if instructions > 4096), "{error}");
}

#[test]
fn long_ways_are_gone_in_several_jumps() {
    const CALLS: [&str; 5] = ["read", "write", "close", "mmap", "ioctl"];
    let mut filter = LinuxSeccomp::default();
    // Each its own values, so that none shares the code of another.
    let rules = CALLS.iter().zip(0..).flat_map(|(name, more)| {
        (0..60u64).map(move |value| {
            let mut rule = LinuxSyscall::default();
            rule.set_names(vec![(*name).to_owned()]).set_action(Action::ScmpActAllow);
            rule.set_args(Some(vec![argument(1, Op::ScmpCmpEq, value * 7 + more, None)]));
            rule
        })
    });
    filter.set_default_action(Action::ScmpActErrno).set_syscalls(Some(rules.collect()));
    let program = compile(&filter, Architecture::X86_64).unwrap();
    assert!(program.instructions().len() > 300);
    for (name, more) in CALLS.iter().zip(0..) {
        let nr = number(name, Architecture::X86_64).unwrap();
        for value in 0..420 {
            let answer = program.answer(Architecture::X86_64, nr, [0, value, 0, 0, 0, 0]);
            assert_eq!(answer.lets_pass(), value % 7 == more, "{name} {value}");
        }
    }
}

#[test]
fn a_name_that_is_none_may_be_let_pass_and_not_refused() {
    let text = |default: &str, action: &str| {
        let names = r#""names":["read","CHMOD"]"#;
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_{default}","syscalls":[{{{names},"action":"SCMP_ACT_{action}"}}]}}"#
        );
        let rules: LinuxSeccomp = serde_json::from_str(&text).unwrap();
        compile(&rules, Architecture::X86_64)
    };
    assert!(text("ERRNO", "ALLOW").is_ok() && text("ERRNO", "KILL").is_ok());
    for action in ["ERRNO", "KILL", "TRAP", "KILL_PROCESS"] {
        let error = text("ALLOW", action).unwrap_err().to_string();
        assert!(error.contains("CHMOD") && error.contains("syscalls[0]"), "{error}");
    }
}
