//! The contract on real cells, row by row of `docs/fn-contract.md`.
//!
//! ```text
//! lifecycle  stages, order, close at any time     container  limits, root, user, network, volumes
//! outcome    codes, signals, deadlines, cancels   freeze     freezing, thawing, misuse
//! streams    stdin, stdout, stderr, writers       stats      measurements
//! races      the heavy proofs                     suite      the conformance suite
//! ```

mod container;
mod generations;
mod lifecycle;
mod suite;
pub mod tools;

use crate::Test;

pub fn tests() -> Vec<Test> {
    [lifecycle::tests(), container::tests(), suite::tests(), generations::tests()]
        .into_iter()
        .flatten()
        .collect()
}
