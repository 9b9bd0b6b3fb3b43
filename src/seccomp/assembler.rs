//! Instructions written from the last to the first, so that every jump knows how far it goes.
//!
//! Jumps of classic BPF lead forward, and conditional ones at most 255 instructions far. What lies
//! further off gets a stand-in nearby: a copy, if it is a return, else a long jump.

use std::collections::HashMap;

use super::answer::Answer;
use super::program::{instruction, op};

/// An instruction that can be gone to, counted from the program's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place(usize);

#[derive(Default)]
pub(super) struct Assembler {
    /// The last instruction first.
    code: Vec<u64>,
    /// The latest return of each answer.
    returns: HashMap<u32, Place>,
}

impl Assembler {
    /// A conditional jump, of which there may be two targets to bring near.
    const NEAR: usize = 254;

    fn push(&mut self, code: u64) -> Place {
        self.code.push(code);
        Place(self.code.len() - 1)
    }

    /// How many instructions the next one written would have to skip.
    fn distance(&self, place: Place) -> usize {
        self.code.len() - 1 - place.0
    }

    /// Where `answer` is returned.
    pub(super) fn answer(&mut self, answer: Answer) -> Place {
        let word = answer.to_word();
        match self.returns.get(&word) {
            Some(place) => *place,
            None => self.write_return(word),
        }
    }

    fn write_return(&mut self, word: u32) -> Place {
        let place = self.push(instruction(op::RETURN, 0, 0, word));
        self.returns.insert(word, place);
        place
    }

    /// Writes what stands in for `place` right here.
    fn stand_in(&mut self, place: Place) -> Place {
        let code = self.code[place.0];
        if code as u16 == op::RETURN {
            let word = (code >> 32) as u32;
            // A copy made meanwhile may be near enough.
            return match self.returns.get(&word) {
                Some(copy) if self.distance(*copy) <= Assembler::NEAR => *copy,
                _ => self.write_return(word),
            };
        }
        let far = self.distance(place) as u32;
        self.push(instruction(op::JUMP, 0, 0, far))
    }

    fn near(&mut self, place: Place) -> Place {
        if self.distance(place) <= Assembler::NEAR { place } else { self.stand_in(place) }
    }

    /// Goes to `then` if the comparison of what is loaded with `value` holds.
    pub(super) fn branch(&mut self, code: u16, value: u32, then: Place, otherwise: Place) -> Place {
        if then == otherwise {
            return then;
        }
        let then = self.near(then);
        let otherwise = self.near(otherwise);
        let (then, otherwise) = (self.distance(then) as u8, self.distance(otherwise) as u8);
        self.push(instruction(code, then, otherwise, value))
    }

    /// An instruction that does something, then goes on to `next`.
    pub(super) fn statement(&mut self, code: u16, value: u32, next: Place) -> Place {
        if self.distance(next) > 0 {
            let copy = self.code[next.0];
            match copy as u16 {
                op::RETURN => self.push(copy),
                _ => self.stand_in(next),
            };
        }
        self.push(instruction(code, 0, 0, value))
    }

    /// The program, from its first instruction on: the one written last.
    pub(super) fn finish(mut self) -> Vec<u64> {
        self.code.reverse();
        self.code
    }
}
