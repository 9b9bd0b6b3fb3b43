//! Measurements: their numbers, and writers that take them badly.

mod numbers;
mod writers;

use crate::Test;

pub fn tests() -> Vec<Test> {
    [numbers::tests(), writers::tests()].into_iter().flatten().collect()
}
