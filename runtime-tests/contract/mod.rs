//! The contract on real cells, row by row of `docs/fn-contract.md`.
//!
//! ```text
//! lifecycle  stages and their order               container  limits, root, user, network, volumes
//! closing    close and drop at any time           freeze     freezing, thawing, misuse
//! outcome    codes, signals, want of memory       stats      measurements
//! waiting    deadlines, cancels, late waits       races      the heavy proofs
//! streams    stdin, stdout, stderr                suite      the conformance suite
//! writers    readers and writers that fail        making     missing images, refused containers
//! images     containers made of images of a store pulls      images that come from a registry
//! ```

mod closing;
mod container;
mod freeze;
mod generations;
mod images;
mod lifecycle;
mod making;
mod outcome;
mod pulls;
pub mod races;
mod stats;
mod streams;
mod suite;
pub mod tools;
mod waiting;
mod writers;

use crate::Test;

pub fn tests() -> Vec<Test> {
    let lists = [
        lifecycle::tests(),
        making::tests(),
        images::tests(),
        pulls::tests(),
        closing::tests(),
        outcome::tests(),
        waiting::tests(),
        streams::tests(),
        writers::tests(),
        freeze::tests(),
        container::tests(),
        suite::tests(),
        generations::tests(),
        stats::tests(),
        races::tests(),
    ];
    lists.into_iter().flatten().collect()
}
