//! Faults: what fails, dies, is full or missing leaves nothing behind and is told for what it is.
//!
//! `docs/faults.md` has the table. What needs the feature `fault-injection` is left out without it.

#[cfg(feature = "fault-injection")]
mod scenes;
#[cfg(feature = "fault-injection")]
mod steps;

use crate::Test;
#[cfg(feature = "fault-injection")]
use crate::test;

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    #[cfg(feature = "fault-injection")]
    tests.extend([test!(a_step_that_fails_is_named_and_leaves_nothing, Cells, Busybox)]);
    tests
}
#[cfg(feature = "fault-injection")]
use steps::a_step_that_fails_is_named_and_leaves_nothing;
