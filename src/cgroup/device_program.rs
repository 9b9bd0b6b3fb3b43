//! Device rules as a program for the kernel: a switch over type, major and minor number that ends
//! in the accesses granted there. Pure.
//!
//! ```text
//! type ──► major ──► minor ──► granted accesses ──► asked for no more than those?
//! ```
//!
//! What a place in the switch grants is worked out here, not by the program. So the order and the
//! overlap of rules cost nothing later, lists that mean the same give the same program, and no
//! number is tested twice on one path, which keeps the kernel's verifier quick.

use std::collections::{BTreeMap, BTreeSet};

/// The accesses, as `BPF_DEVCG_ACC_*`.
pub(super) const MKNOD: u8 = 1;
pub(super) const READ: u8 = 2;
pub(super) const WRITE: u8 = 4;
pub(super) const ALL: u8 = MKNOD | READ | WRITE;

/// The kinds of devices, as `BPF_DEVCG_DEV_*`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Block = 1,
    Char = 2,
}

/// One rule; `None` stands for any. Of all rules that name a device and an access, the last one
/// decides; without one it is denied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) kind: Option<Kind>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) access: u8,
}

impl Rule {
    /// Whether nothing before it matters.
    pub(super) fn is_about_everything(&self) -> bool {
        (self.kind, self.major, self.minor, self.access) == (None, None, None, ALL)
    }

    fn is_about(&self, kind: Kind, major: Option<u32>) -> bool {
        self.kind.is_none_or(|mine| mine == kind)
            && self.major.is_none_or(|mine| Some(mine) == major)
    }
}

/// What is granted at one major number: by minor number where that matters, and elsewhere.
#[derive(PartialEq, Eq, Debug)]
struct Minors {
    named: BTreeMap<u32, u8>,
    other: u8,
}

impl Minors {
    /// `None` is any major number that no rule names.
    fn new(rules: &[Rule], kind: Kind, major: Option<u32>) -> Minors {
        let about: Vec<&Rule> = rules.iter().filter(|rule| rule.is_about(kind, major)).collect();
        let granted = |minor: Option<u32>| {
            let named = about.iter().filter(|rule| rule.minor.is_none() || rule.minor == minor);
            named.fold(0, |granted, rule| match rule.allow {
                true => granted | rule.access,
                false => granted & !rule.access,
            })
        };
        let other = granted(None);
        let named = about.iter().filter_map(|rule| rule.minor);
        let named = named.map(|minor| (minor, granted(Some(minor))));
        Minors { named: named.filter(|(_, granted)| *granted != other).collect(), other }
    }
}

/// More rules than anybody writes; keeps the work bounded where all of them overlap.
const MOST_RULES: usize = 512;

/// The program; `None` when there are too many rules, or it would be longer than jumps reach.
pub(super) fn compile(rules: &[Rule]) -> Option<Vec<u64>> {
    if rules.len() > MOST_RULES {
        return None;
    }
    let mut code = Code::default();
    // r2: type, r3: accesses asked for, r4: major, r5: minor; r1 is `struct bpf_cgroup_dev_ctx`.
    code.push(LOAD_U32, 2, 1, 0, 0);
    code.push(MOVE, 3, 2, 0, 0);
    code.push(AND, 2, 0, 0, 0xffff);
    code.push(SHIFT_RIGHT, 3, 0, 0, 16);
    code.push(LOAD_U32, 4, 1, 4, 0);
    code.push(LOAD_U32, 5, 1, 8, 0);
    code.jump_if(JUMP_IF_EQUAL, 2, Kind::Block as u32, Label::Kind(Kind::Block));
    code.jump_if(JUMP_IF_NOT_EQUAL, 2, Kind::Char as u32, Label::Grants(0));
    for kind in [Kind::Char, Kind::Block] {
        code.bind(Label::Kind(kind));
        code.majors(rules, kind)?;
    }
    let ends: BTreeSet<Label> = code.open.iter().map(|(_, label)| *label).collect();
    // Ends in the order of their labels, so that equal meanings stay equal programs.
    for end in ends {
        if let Label::Grants(granted) = end {
            code.bind(end);
            code.push(AND, 3, 0, 0, !u32::from(granted));
            code.jump(Label::Verdict);
        }
    }
    code.bind(Label::Verdict);
    code.push(SET, 0, 0, 0, 0);
    code.push(JUMP_IF_NOT_EQUAL, 3, 0, 1, 0);
    code.push(SET, 0, 0, 0, 1);
    code.push(EXIT, 0, 0, 0, 0);
    code.finish()
}

/// Operation codes, named for what they do here.
const LOAD_U32: u8 = 0x61;
const MOVE: u8 = 0xbf;
const SET: u8 = 0xb7;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP: u8 = 0x05;
/// Both compare 32 bits: a longer comparison would extend the sign of a number above 2^31.
const JUMP_IF_EQUAL: u8 = 0x16;
const JUMP_IF_NOT_EQUAL: u8 = 0x56;
const EXIT: u8 = 0x95;

/// Where a jump goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Label {
    Kind(Kind),
    Major(Kind, u32),
    Grants(u8),
    Verdict,
}

/// A program in the making: jumps are given their distance at the end.
#[derive(Default)]
struct Code {
    words: Vec<u64>,
    open: Vec<(usize, Label)>,
    bound: BTreeMap<Label, usize>,
}

impl Code {
    fn push(&mut self, operation: u8, to: u8, from: u8, offset: u16, value: u32) {
        let registers = u64::from(from << 4 | to);
        let word = u64::from(operation) | registers << 8;
        self.words.push(word | u64::from(offset) << 16 | u64::from(value) << 32);
    }

    fn jump_if(&mut self, operation: u8, register: u8, value: u32, label: Label) {
        self.open.push((self.words.len(), label));
        self.push(operation, register, 0, 0, value);
    }

    fn jump(&mut self, label: Label) {
        self.jump_if(JUMP, 0, 0, label);
    }

    /// The label is here. A jump to the next instruction goes: the kernel would drop it, and then
    /// the loaded program were another than the compiled one.
    fn bind(&mut self, label: Label) {
        while let Some(last) = self.words.len().checked_sub(1)
            && self.open.last() == Some(&(last, label))
            && self.words[last] as u8 == JUMP
        {
            self.open.pop();
            self.words.pop();
            for at in self.bound.values_mut() {
                *at = last.min(*at);
            }
        }
        self.bound.insert(label, self.words.len());
    }

    fn majors(&mut self, rules: &[Rule], kind: Kind) -> Option<()> {
        let elsewhere = Minors::new(rules, kind, None);
        let named = rules.iter().filter(|rule| rule.kind.is_none_or(|mine| mine == kind));
        let named: BTreeSet<u32> = named.filter_map(|rule| rule.major).collect();
        let mut later = Vec::new();
        for major in named {
            let minors = Minors::new(rules, kind, Some(major));
            if minors == elsewhere {
                continue;
            }
            if minors.named.is_empty() {
                self.jump_if(JUMP_IF_EQUAL, 4, major, Label::Grants(minors.other));
                continue;
            }
            self.jump_if(JUMP_IF_EQUAL, 4, major, Label::Major(kind, major));
            later.push((major, minors));
        }
        self.minors(&elsewhere)?;
        for (major, minors) in later {
            self.bind(Label::Major(kind, major));
            self.minors(&minors)?;
        }
        Some(())
    }

    fn minors(&mut self, minors: &Minors) -> Option<()> {
        for (minor, granted) in &minors.named {
            self.jump_if(JUMP_IF_EQUAL, 5, *minor, Label::Grants(*granted));
        }
        self.jump(Label::Grants(minors.other));
        (self.words.len() < i16::MAX as usize).then_some(())
    }

    fn finish(mut self) -> Option<Vec<u64>> {
        for (at, label) in &self.open {
            let distance = self.bound.get(label)?.checked_sub(at + 1)?;
            self.words[*at] |= u64::from(i16::try_from(distance).ok()?.unsigned_abs()) << 16;
        }
        Some(self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a program as the kernel would on `struct bpf_cgroup_dev_ctx`.
    fn run(program: &[u64], context: [u32; 3]) -> bool {
        let mut registers = [0u64; 6];
        let mut at = 0;
        loop {
            let word = program[at];
            let (to, from) = ((word >> 8 & 15) as usize, (word >> 12 & 15) as usize);
            let (offset, value) = ((word >> 16) as i16 as usize, (word >> 32) as u32);
            at += 1;
            let equal = registers[to] as u32 == value;
            match word as u8 {
                LOAD_U32 => registers[to] = u64::from(context[offset / 4]),
                MOVE => registers[to] = registers[from],
                SET => registers[to] = u64::from(value),
                AND => registers[to] = u64::from(registers[to] as u32 & value),
                SHIFT_RIGHT => registers[to] = u64::from((registers[to] as u32) >> value),
                JUMP => at += offset,
                JUMP_IF_EQUAL if equal => at += offset,
                JUMP_IF_NOT_EQUAL if !equal => at += offset,
                JUMP_IF_EQUAL | JUMP_IF_NOT_EQUAL => {}
                EXIT => return registers[0] == 1,
                other => panic!("{other:#x} is no operation of ours"),
            }
        }
    }

    fn ask(program: &[u64], (kind, major, minor, access): (Kind, u32, u32, u8)) -> bool {
        run(program, [u32::from(access) << 16 | kind as u32, major, minor])
    }

    /// The meaning of a list, access by access: the last rule that names it decides.
    fn means(rules: &[Rule], (kind, major, minor, access): (Kind, u32, u32, u8)) -> bool {
        let one = |bit: u8| {
            let mut latest_first = rules.iter().rev();
            let decides = latest_first.find(|rule| {
                rule.access & bit != 0
                    && [None, Some(kind)].contains(&rule.kind)
                    && [None, Some(major)].contains(&rule.major)
                    && [None, Some(minor)].contains(&rule.minor)
            });
            decides.is_some_and(|rule| rule.allow)
        };
        [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(one)
    }

    /// Few numbers, so that rules meet requests; the last two have the sign bit of 32.
    fn number() -> impl Strategy<Value = u32> {
        prop_oneof![0..4u32, Just(136), Just(1 << 31), Just(u32::MAX)]
    }

    fn kind() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::Block), Just(Kind::Char)]
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let one_or_any = || proptest::option::weighted(0.7, number());
        let kind = proptest::option::of(kind());
        (any::<bool>(), kind, one_or_any(), one_or_any(), 1..=ALL).prop_map(
            |(allow, kind, major, minor, access)| Rule { allow, kind, major, minor, access },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn the_program_says_what_the_rules_mean(
            rules in proptest::collection::vec(rule(), 0..12),
            requests in proptest::collection::vec((kind(), number(), number(), 0..=ALL), 64),
        ) {
            let program = compile(&rules).unwrap();
            for request in requests {
                prop_assert_eq!(ask(&program, request), means(&rules, request), "{:?}", request);
            }
        }

        #[test]
        fn the_kernel_finds_nothing_to_remove(
            rules in proptest::collection::vec(rule(), 0..12),
        ) {
            let program = compile(&rules).unwrap();
            let mut reached = BTreeSet::from([0]);
            for (at, word) in program.iter().enumerate() {
                let (operation, offset) = (*word as u8, (word >> 16) as u16 as usize);
                prop_assert!(reached.contains(&at), "nothing leads to {}", at);
                prop_assert!(operation != JUMP || offset != 0);
                match operation {
                    EXIT => continue,
                    JUMP => {}
                    _ => drop(reached.insert(at + 1)),
                }
                if [JUMP, JUMP_IF_EQUAL, JUMP_IF_NOT_EQUAL].contains(&operation) {
                    reached.insert(at + 1 + offset);
                }
            }
            prop_assert!(reached.iter().all(|at| *at < program.len()));
        }
    }

    fn all(allow: bool) -> Rule {
        Rule { allow, kind: None, major: None, minor: None, access: ALL }
    }

    #[test]
    fn nothing_is_granted_by_omission() {
        let program = compile(&[]).unwrap();
        assert!(!ask(&program, (Kind::Block, 8, 0, READ)));
        assert!(!ask(&program, (Kind::Char, 1, 3, MKNOD)));
        // Whether a node exists may be asked of any.
        assert!(ask(&program, (Kind::Block, 8, 0, 0)));
    }

    #[test]
    fn lists_that_mean_the_same_are_the_same_program() {
        let null = Rule { kind: Some(Kind::Char), major: Some(1), minor: Some(3), ..all(true) };
        let plain = compile(&[null]);
        assert_eq!(compile(&[all(true), null, all(false), null, null]), plain);
        assert_ne!(compile(&[all(true), null]), plain);
    }

    #[test]
    fn a_list_without_end_is_refused() {
        let rules = |count: u32| -> Vec<Rule> {
            let rule = |at| match at % 2 {
                0 => Rule { major: Some(at), access: MKNOD, ..all(true) },
                _ => Rule { minor: Some(at), access: READ, ..all(true) },
            };
            (0..count).map(rule).collect()
        };
        assert!(compile(&rules(64)).is_some());
        assert!(compile(&rules(512)).is_none());
        assert!(compile(&rules(513)).is_none());
    }
}
