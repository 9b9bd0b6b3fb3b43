//! System call filters: against libseccomp's, and on a real kernel.

mod cells;
mod libseccomp;
mod privileges;

use crate::Test;

pub fn tests() -> Vec<Test> {
    [libseccomp::tests(), cells::tests(), privileges::tests()].into_iter().flatten().collect()
}
