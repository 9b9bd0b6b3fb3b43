//! Further processes in a cell that runs.
//!
//! ```text
//! scene    a cell, and processes started in it    inside   what such a process sees and is
//! ends      codes, signals, refusals, errors      faults   every step and call made to fail
//! ```

mod ends;
#[cfg(feature = "fault-injection")]
mod faults;
mod inside;
mod scene;

use crate::Test;

pub fn tests() -> Vec<Test> {
    let lists = [
        inside::tests(),
        ends::tests(),
        #[cfg(feature = "fault-injection")]
        faults::tests(),
    ];
    lists.into_iter().flatten().collect()
}
