//! A policy becomes a program: one balanced tree of numbers for each architecture.
//!
//! Neighbouring numbers with the same decision are one range, and the tree has a leaf for each
//! range, so a look costs a handful of comparisons. The kernel looks once at every number when it
//! loads a filter, to learn which calls are always allowed; a short way there makes a quick start.

use std::collections::HashMap;

use super::Error;
use super::answer::Answer;
use super::architecture::{Architecture, X32_BIT};
use super::assembler::{Assembler, Place};
use super::policy::{Comparison, Decision, Policy, Test};
use super::program::{LONGEST, Program, offset, op};

/// Numbers from `from` up to the next range's.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Range {
    from: u32,
    decision: Decision,
}

/// Turns the policy into a program.
pub(super) fn compile(policy: &Policy) -> Result<Program, Error> {
    let mut out = Assembler::default();
    let native = policy.native.audit();
    let mut audits: Vec<u32> = policy.calls.keys().map(|arch| arch.audit()).collect();
    audits.sort_by_key(|audit| (*audit == native, *audit));
    audits.dedup();
    // The code grows from its end, and the native calls come first.
    let mut next = out.answer(Answer::KillProcess);
    for audit in audits {
        let mut known = HashMap::new();
        let tree = tree(&mut out, &ranges(policy, audit), &mut known);
        let load = out.statement(op::LOAD, offset::NUMBER, tree);
        next = out.branch(op::JUMP_EQUAL, audit, load, next);
    }
    out.statement(op::LOAD, offset::ARCHITECTURE, next);
    let code = out.finish();
    match code.len() {
        instructions if instructions > LONGEST => Err(Error::TooLong { instructions }),
        _ => Ok(Program::new(code, policy.flags).without_idle_flags()),
    }
}

/// Every number there is, as few ranges as it takes.
fn ranges(policy: &Policy, audit: u32) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    let mut add = |from: u32, decision: Decision| match ranges.last_mut() {
        Some(last) if last.from == from => last.decision = decision,
        Some(last) if last.decision == decision => {}
        _ => ranges.push(Range { from, decision }),
    };
    let default = always(policy.default);
    // What the rules' author can't have known does not exist; unless everything is let pass anyway.
    let newer = always(if policy.default.lets_pass() { policy.default } else { Answer::ENOSYS });
    for (architecture, calls) in policy.calls.iter().filter(|(arch, _)| arch.audit() == audit) {
        let mut from = if *architecture == Architecture::X32 { X32_BIT } else { 0 };
        add(from, default.clone());
        for (number, decision) in &calls.decisions {
            if *number > from {
                add(from, default.clone());
            }
            add(*number, decision.clone());
            from = number.saturating_add(1);
        }
        add(from, default.clone());
        if let Some(highest) = calls.highest {
            add(highest.saturating_add(1), newer.clone());
        }
    }
    if audit == Architecture::X86_64.audit() && !policy.calls.contains_key(&Architecture::X32) {
        add(X32_BIT, always(Answer::KillProcess));
        // What a tracer writes to have a call left out is no x32 call.
        add(u32::MAX, newer);
    }
    ranges
}

fn always(answer: Answer) -> Decision {
    Decision { cases: Vec::new(), otherwise: answer }
}

/// Finds the range of the number that is loaded.
fn tree(out: &mut Assembler, ranges: &[Range], known: &mut HashMap<Decision, Place>) -> Place {
    match ranges {
        [range] => decide(out, &range.decision, known),
        // One number that stands out among its neighbours.
        [around, one, after] if around.decision == after.decision && after.from == one.from + 1 => {
            let otherwise = decide(out, &around.decision, known);
            let then = decide(out, &one.decision, known);
            out.branch(op::JUMP_EQUAL, one.from, then, otherwise)
        }
        ranges => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let split = high[0].from;
            let low = tree(out, low, known);
            let high = tree(out, high, known);
            out.branch(op::JUMP_AT_LEAST, split, high, low)
        }
    }
}

/// Goes through the cases of one decision, which several numbers may share.
fn decide(out: &mut Assembler, decision: &Decision, known: &mut HashMap<Decision, Place>) -> Place {
    if decision.cases.is_empty() {
        return out.answer(decision.otherwise);
    }
    if let Some(place) = known.get(decision) {
        return *place;
    }
    let otherwise = out.answer(decision.otherwise);
    let place = cases(out, &decision.cases.iter().map(Case::of).collect::<Vec<_>>(), otherwise);
    known.insert(decision.clone(), place);
    place
}

/// Tests still to be made, and the answer if they hold.
#[derive(Clone, Copy)]
struct Case<'a> {
    tests: &'a [Test],
    answer: Answer,
}

impl<'a> Case<'a> {
    fn of((tests, answer): &'a (Vec<Test>, Answer)) -> Case<'a> {
        Case { tests, answer: *answer }
    }

    /// The argument and its high half, if all that is asked is whether it is one number.
    fn number(&self) -> Option<(usize, bool, u32)> {
        match self.tests {
            [Test { argument, comparison, value, negated: false, narrow }]
                if *comparison == (Comparison::Equal { mask: u64::MAX }) =>
            {
                Some((*argument, *narrow, (value >> 32) as u32))
            }
            _ => None,
        }
    }
}

/// The first case whose tests hold; what neighbours ask alike is asked once.
fn cases(out: &mut Assembler, all: &[Case<'_>], otherwise: Place) -> Place {
    let mut groups = Vec::new();
    let mut rest = all;
    while let Some(first) = rest.first() {
        let count = |same: &dyn Fn(&Case<'_>) -> bool| rest.iter().take_while(|c| same(c)).count();
        let numbers = count(&|case| case.number().is_some() && case.number() == first.number());
        let alike = count(&|case| case.tests.first() == first.tests.first());
        let (group, later) = rest.split_at(if numbers > 1 { numbers } else { alike });
        groups.push((group, numbers > 1));
        rest = later;
    }
    groups.into_iter().rev().fold(otherwise, |next, (group, numbers)| {
        match group[0].tests.first() {
            // Nothing is left to ask: the first of them decides.
            None => out.answer(group[0].answer),
            Some(_) if numbers => one_of(out, group, next),
            Some(test) => {
                let inner = group.iter().map(|case| Case { tests: &case.tests[1..], ..*case });
                let holds = cases(out, &inner.collect::<Vec<_>>(), next);
                ask(out, test, holds, next)
            }
        }
    })
}

/// Cases that each ask whether one argument is a certain number: it is loaded once.
fn one_of(out: &mut Assembler, all: &[Case<'_>], next: Place) -> Place {
    let mut place = next;
    for case in all.iter().rev() {
        let answer = out.answer(case.answer);
        place = out.branch(op::JUMP_EQUAL, case.tests[0].value as u32, answer, place);
    }
    let Test { argument, narrow, value, .. } = all[0].tests[0];
    let (at, high) = (offset::ARGUMENTS + 8 * argument as u32, (value >> 32) as u32);
    if narrow {
        return if high == 0 { out.statement(op::LOAD, at, place) } else { next };
    }
    let low = out.statement(op::LOAD, at, place);
    let high = out.branch(op::JUMP_EQUAL, high, low, next);
    out.statement(op::LOAD, at + 4, high)
}

/// One test of an argument.
fn ask(out: &mut Assembler, test: &Test, holds: Place, fails: Place) -> Place {
    let (yes, no) = if test.negated { (fails, holds) } else { (holds, fails) };
    let (high, low) = ((test.value >> 32) as u32, test.value as u32);
    let at = offset::ARGUMENTS + 8 * test.argument as u32;
    if test.narrow && high != 0 {
        // No 32-bit number is or exceeds one that needs more.
        return no;
    }
    match test.comparison {
        Comparison::Equal { mask } => {
            let low = equal_half(out, at, mask as u32, low, yes, no);
            match test.narrow {
                true => low,
                false => equal_half(out, at + 4, (mask >> 32) as u32, high, low, no),
            }
        }
        Comparison::Greater | Comparison::AtLeast => {
            let code = match test.comparison {
                Comparison::AtLeast => op::JUMP_AT_LEAST,
                _ => op::JUMP_GREATER,
            };
            let half = out.branch(code, low, yes, no);
            let half = out.statement(op::LOAD, at, half);
            if test.narrow {
                return half;
            }
            let same = out.branch(op::JUMP_EQUAL, high, half, no);
            let more = out.branch(op::JUMP_GREATER, high, yes, same);
            out.statement(op::LOAD, at + 4, more)
        }
    }
}

/// Whether the bits of `mask` in one half of an argument are those of `value`.
fn equal_half(out: &mut Assembler, at: u32, mask: u32, value: u32, yes: Place, no: Place) -> Place {
    let compared = match (mask, value) {
        (_, value) if value & !mask != 0 => return no,
        (0, _) => return yes,
        (u32::MAX, value) => out.branch(op::JUMP_EQUAL, value, yes, no),
        (mask, 0) => out.branch(op::JUMP_SET, mask, no, yes),
        (mask, value) => {
            let equal = out.branch(op::JUMP_EQUAL, value, yes, no);
            out.statement(op::AND, mask, equal)
        }
    };
    out.statement(op::LOAD, at, compared)
}
