//! The heavy proofs: what ends, is asked or is given up at the same moment as something else.
//!
//! `HOTCELL_SOAK=1` plays them whole and says their figures, otherwise a twentieth is played;
//! `HOTCELL_SEED` plays a failed one again.

mod bytes;
pub mod chance;
mod drops;
mod ends;
mod runtimes;

use crate::Test;

pub fn tests() -> Vec<Test> {
    [ends::tests(), bytes::tests(), drops::tests(), runtimes::tests()]
        .into_iter()
        .flatten()
        .collect()
}
