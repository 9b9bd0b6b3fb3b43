//! What a specification's rules come to: for each number of each architecture, one decision.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator as Operator,
    LinuxSyscall,
};

use super::answer::Answer;
use super::architecture::Architecture;
use super::{Error, table};

/// A whole filter, before it has a form.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) native: Architecture,
    pub(super) default: Answer,
    /// Every architecture that may make calls, the native one among them.
    pub(super) calls: BTreeMap<Architecture, Calls>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub(super) flags: u32,
}

/// One architecture's calls.
#[derive(Debug)]
pub(super) struct Calls {
    narrow: bool,
    pub(super) decisions: BTreeMap<u32, Decision>,
    /// The highest number that the rules name: what lies above is newer than they are.
    pub(super) highest: Option<u32>,
}

/// What is said of one call.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Decision {
    /// Tests that must all hold, and the answer then; the first that do decide.
    pub(super) cases: Vec<(Vec<Test>, Answer)>,
    pub(super) otherwise: Answer,
}

/// A question about an argument.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Test {
    /// 0 to 5.
    pub(super) argument: usize,
    pub(super) comparison: Comparison,
    pub(super) value: u64,
    /// Whether the answer is to be turned round.
    pub(super) negated: bool,
    /// Whether the argument has 32 bits: what the register holds above them means nothing.
    pub(super) narrow: bool,
}

/// What arguments are asked; the other operators are these turned round.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Comparison {
    /// The bits of the mask are those of the value.
    Equal { mask: u64 },
    /// Greater than the value.
    Greater,
    /// Greater than the value, or equal to it.
    AtLeast,
}

/// Log what is refused.
const FLAG_LOG: u32 = 2;
/// Leave the task the processor's speculation past stores.
const FLAG_SPEC_ALLOW: u32 = 4;
/// Only a fatal signal interrupts a call that the listener has heard of.
pub(super) const FLAG_WAIT_KILLABLE_RECV: u32 = 32;

impl Policy {
    /// Reads what the specification asks for.
    pub(super) fn of(seccomp: &LinuxSeccomp, native: Architecture) -> Result<Policy, Error> {
        let (action, ret) = (seccomp.default_action(), seccomp.default_errno_ret());
        let default = Answer::of("defaultAction", action, ret)?;
        if default == Answer::Notify {
            // The process that is to hand over the listener could make no call.
            return Err(Error::invalid("defaultAction", format!("{action} is for single calls")));
        }
        let listed = seccomp.architectures().iter().flatten();
        // What can't run here can't call either.
        let known = listed.filter_map(|arch| Architecture::from_oci(*arch, native));
        let calls = known.filter(|arch| arch.runs_on(native)).chain([native]);
        let calls = calls.map(|arch| (arch, Calls::of(arch))).collect();
        let flags = seccomp.flags().iter().flatten().fold(0, |flags, flag| flags | flag_bit(*flag));
        let mut policy = Policy { native, default, calls, flags };
        for (at, rule) in seccomp.syscalls().iter().flatten().enumerate() {
            policy.add(&format!("syscalls[{at}]"), rule)?;
        }
        Ok(policy)
    }

    fn add(&mut self, place: &str, rule: &LinuxSyscall) -> Result<(), Error> {
        let answer = Answer::of(&format!("{place}.action"), rule.action(), rule.errno_ret())?;
        let cases = cases(place, rule.args().as_deref().unwrap_or_default())?;
        for name in rule.names() {
            if !table::is_known(name) && !answer.lets_pass() && self.default.lets_pass() {
                let why = format!("{name:?} is no system call, so to refuse it protects nothing");
                return Err(Error::invalid(format!("{place}.names"), why));
            }
            if !table::is_known(name) {
                tracing::warn!(name, "seccomp: no architecture has this system call; ignored");
                continue;
            }
            for (architecture, calls) in &mut self.calls {
                if let Some(number) = table::number(name, *architecture) {
                    calls.highest = calls.highest.max(Some(number));
                    // As everywhere, a rule that repeats the default says nothing.
                    if answer != self.default {
                        calls.decide(number, &cases, answer, self.default);
                    }
                }
                if *architecture == Architecture::I386 && answer != self.default {
                    calls.decide_behind_old_door(name, &cases, answer, self.default);
                }
            }
        }
        Ok(())
    }
}

impl Calls {
    fn of(architecture: Architecture) -> Calls {
        let narrow = architecture.is_narrow();
        Calls { narrow, decisions: BTreeMap::new(), highest: None }
    }

    /// No case at all means always. The first rule without a case beats all others.
    fn decide(&mut self, number: u32, cases: &[Vec<Test>], answer: Answer, default: Answer) {
        let fresh = Decision { cases: Vec::new(), otherwise: default };
        let decision = self.decisions.entry(number).or_insert(fresh);
        let settled = decision.cases.is_empty() && decision.otherwise != default;
        if settled {
            return;
        }
        if cases.is_empty() {
            *decision = Decision { cases: Vec::new(), otherwise: answer };
        } else {
            let narrow = self.narrow;
            let fit = |test: &Test| Test { narrow, ..*test };
            let fitted = cases.iter().map(|tests| (tests.iter().map(fit).collect(), answer));
            decision.cases.extend(fitted);
        }
    }

    /// Arguments lie in memory there, where no filter sees them: what lets calls pass by their
    /// arguments lets none pass this way, and what refuses some refuses all.
    fn decide_behind_old_door(
        &mut self,
        name: &str,
        cases: &[Vec<Test>],
        answer: Answer,
        default: Answer,
    ) {
        let Some((door, value)) = table::through_old_door(name) else {
            return;
        };
        if let Some(number) = table::number(door, Architecture::I386)
            && (cases.is_empty() || !answer.lets_pass())
        {
            let comparison = Comparison::Equal { mask: u64::MAX };
            let test = Test { argument: 0, comparison, value, negated: false, narrow: true };
            self.decide(number, &[vec![test]], answer, default);
        }
    }
}

/// Conditions on several arguments must hold together. Two on the same argument are alternatives, and
/// then all of the rule's are: runc and crun have it so.
fn cases(place: &str, args: &[LinuxSeccompArg]) -> Result<Vec<Vec<Test>>, Error> {
    let mut tests = Vec::with_capacity(args.len());
    for (at, arg) in args.iter().enumerate() {
        if arg.index() > 5 {
            let why = format!("{} is no argument: there are 0 to 5", arg.index());
            return Err(Error::invalid(format!("{place}.args[{at}].index"), why));
        }
        tests.push(test(arg));
    }
    let repeats = |test: &Test| tests.iter().filter(|t| t.argument == test.argument).count() > 1;
    Ok(match tests.iter().any(repeats) {
        true => tests.into_iter().map(|test| vec![test]).collect(),
        false if tests.is_empty() => Vec::new(),
        false => vec![tests],
    })
}

fn test(arg: &LinuxSeccompArg) -> Test {
    let equal = Comparison::Equal { mask: u64::MAX };
    let (comparison, value, negated) = match arg.op() {
        Operator::ScmpCmpEq => (equal, arg.value(), false),
        Operator::ScmpCmpNe => (equal, arg.value(), true),
        Operator::ScmpCmpGt => (Comparison::Greater, arg.value(), false),
        Operator::ScmpCmpLe => (Comparison::Greater, arg.value(), true),
        Operator::ScmpCmpGe => (Comparison::AtLeast, arg.value(), false),
        Operator::ScmpCmpLt => (Comparison::AtLeast, arg.value(), true),
        Operator::ScmpCmpMaskedEq => {
            (Comparison::Equal { mask: arg.value() }, arg.value_two().unwrap_or(0), false)
        }
    };
    Test { argument: arg.index(), comparison, value, negated, narrow: false }
}

fn flag_bit(flag: LinuxSeccompFilterFlag) -> u32 {
    match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => FLAG_LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => FLAG_SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => FLAG_WAIT_KILLABLE_RECV,
        // The process has one thread when the filter is loaded.
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
    }
}
