//! A filter as the kernel runs it: classic BPF, and what it answers.

use super::answer::Answer;
use super::architecture::Architecture;
use super::policy::FLAG_WAIT_KILLABLE_RECV;

/// Operations of classic BPF, as far as filters use them.
pub(super) mod op {
    /// Load the word at an offset of `struct seccomp_data`.
    pub(in super::super) const LOAD: u16 = 0x20;
    pub(in super::super) const AND: u16 = 0x54;
    pub(in super::super) const JUMP: u16 = 0x05;
    pub(in super::super) const JUMP_EQUAL: u16 = 0x15;
    pub(in super::super) const JUMP_GREATER: u16 = 0x25;
    pub(in super::super) const JUMP_AT_LEAST: u16 = 0x35;
    pub(in super::super) const JUMP_SET: u16 = 0x45;
    pub(in super::super) const RETURN: u16 = 0x06;
}

/// Offsets in `struct seccomp_data`.
pub(super) mod offset {
    pub(in super::super) const NUMBER: u32 = 0;
    pub(in super::super) const ARCHITECTURE: u32 = 4;
    pub(in super::super) const ARGUMENTS: u32 = 16;
}

/// The most instructions the kernel takes.
pub(super) const LONGEST: usize = 4096;

/// A filter ready to be loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    code: Vec<u64>,
    flags: u32,
}

/// One instruction as the kernel lays it out.
pub(super) fn instruction(code: u16, then: u8, otherwise: u8, value: u32) -> u64 {
    u64::from(code) | u64::from(then) << 16 | u64::from(otherwise) << 24 | u64::from(value) << 32
}

impl Program {
    /// A program from its instructions, `struct sock_filter` in the machine's byte order, and the
    /// `SECCOMP_FILTER_FLAG_*` to load it with.
    #[must_use]
    pub fn new(code: Vec<u64>, flags: u32) -> Program {
        Program { code, flags }
    }

    /// The instructions, `struct sock_filter` in the machine's byte order.
    #[must_use]
    pub fn instructions(&self) -> &[u64] {
        &self.code
    }

    /// The `SECCOMP_FILTER_FLAG_*` to load it with.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether any call is left to whoever holds the filter's listener.
    #[must_use]
    pub fn notifies(&self) -> bool {
        let notify = instruction(op::RETURN, 0, 0, Answer::Notify.to_word());
        self.code.contains(&notify)
    }

    /// Leaves out what the kernel takes only where somebody is notified.
    pub(super) fn without_idle_flags(mut self) -> Program {
        if !self.notifies() {
            self.flags &= !FLAG_WAIT_KILLABLE_RECV;
        }
        self
    }

    /// What the kernel would answer to the call `number` of `architecture` with these arguments;
    /// x32 calls carry their marking bit. A program that the kernel would not load kills.
    #[must_use]
    pub fn answer(&self, architecture: Architecture, number: u32, arguments: [u64; 6]) -> Answer {
        let word = |offset: u32| match offset {
            offset::NUMBER => Some(number),
            offset::ARCHITECTURE => Some(architecture.audit()),
            offset => {
                let at = offset.checked_sub(offset::ARGUMENTS)?;
                let argument = *arguments.get(at as usize / 8)?;
                match at % 8 {
                    0 => Some(argument as u32),
                    4 => Some((argument >> 32) as u32),
                    _ => None,
                }
            }
        };
        self.run(word).map_or(Answer::KillProcess, Answer::from_word)
    }

    /// Interprets the program; `None` where the kernel's verifier would have said no.
    fn run(&self, word: impl Fn(u32) -> Option<u32>) -> Option<u32> {
        let (mut at, mut loaded) = (0usize, 0u32);
        loop {
            let code = *self.code.get(at)?;
            let (then, otherwise) = ((code >> 16) as u8, (code >> 24) as u8);
            let value = (code >> 32) as u32;
            at += 1;
            let taken = match code as u16 {
                op::LOAD => {
                    loaded = word(value)?;
                    continue;
                }
                op::AND => {
                    loaded &= value;
                    continue;
                }
                op::JUMP => {
                    at += value as usize;
                    continue;
                }
                op::RETURN => return Some(value),
                op::JUMP_EQUAL => loaded == value,
                op::JUMP_GREATER => loaded > value,
                op::JUMP_AT_LEAST => loaded >= value,
                op::JUMP_SET => loaded & value != 0,
                _ => return None,
            };
            at += usize::from(if taken { then } else { otherwise });
        }
    }
}
