//! Embedders that are killed with SIGKILL, and the one sweep after which nothing is left.
//!
//! ```text
//! embedder  what is killed: every stage of a cell's life, on several threads at once
//! host      what may be left, looked for at once: no time to settle
//! instants  killed at random instants, in its sweep too        forks    its children live on
//! damage    what a crash leaves is not trusted                 story    one life, always the same
//! ```
//!
//! `faults::kills` kills it at every step.

mod damage;
pub mod embedder;
mod forks;
pub mod host;
mod instants;
mod story;

use crate::Test;

pub fn tests() -> Vec<Test> {
    [instants::tests(), forks::tests(), damage::tests()].into_iter().flatten().collect()
}
