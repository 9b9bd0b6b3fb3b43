//! Roots of several layers.
//!
//! ```text
//! stack    layers in a directory     roots    what a cell sees of them, and that it never writes to one
//! reach    what lies beside them is out of reach, by all ways that `reach.py` knows
//! ```

mod reach;
mod roots;
mod stack;

use crate::Test;

pub fn tests() -> Vec<Test> {
    [roots::tests(), reach::tests()].into_iter().flatten().collect()
}
