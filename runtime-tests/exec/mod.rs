//! Further processes in a cell that runs.
//!
//! ```text
//! scene    a cell, and processes started in it    inside   what such a process sees and is
//! ends      codes, signals, refusals, errors      faults   every step and call made to fail
//! ```

mod ends;
mod faults;
mod inside;
mod scene;

use crate::Test;

pub fn tests() -> Vec<Test> {
    [inside::tests(), ends::tests(), faults::tests()].into_iter().flatten().collect()
}
