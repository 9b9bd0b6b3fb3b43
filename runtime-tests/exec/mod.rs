//! Further processes in a cell that runs.
//!
//! ```text
//! scene     a cell, and processes started in it    inside   what such a process sees and is
//! ends      codes, signals, refusals, errors       faults   every step and call made to fail
//! hostile   a cell that lies in wait for them (lurker.c)
//! ```

mod ends;
#[cfg(feature = "fault-injection")]
mod faults;
mod hostile;
mod inside;
pub mod scene;

pub use hostile::{build_lurker, counts, of_the_cell};

use crate::Test;

pub fn tests() -> Vec<Test> {
    let lists = [
        inside::tests(),
        ends::tests(),
        #[cfg(feature = "fault-injection")]
        faults::tests(),
        hostile::tests(),
    ];
    lists.into_iter().flatten().collect()
}
