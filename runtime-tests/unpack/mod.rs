//! Layers made of archives: what comes of every kind of entry, that nothing else is touched, and that
//! it is the same in a process of its own.

#[path = "../../src/image/unpack/tar/build.rs"]
mod build;
mod hostile;
mod listed;
mod made;
mod place;
mod process;

use crate::Test;

pub fn tests() -> Vec<Test> {
    [made::tests(), hostile::tests(), process::tests(), listed::tests()]
        .into_iter()
        .flatten()
        .collect()
}
