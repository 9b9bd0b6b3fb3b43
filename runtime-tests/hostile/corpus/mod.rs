//! The cases, a file for each kind.

#![allow(clippy::too_many_lines, reason = "lists of cases")]

pub mod bombs;
pub mod calls;
pub mod directories;
pub mod engines;
pub mod identity;
pub mod inside;
pub mod litter;
pub mod mounts;
pub mod places;
pub mod programs;
pub mod specs;
pub mod together;

use super::case::Case;

/// The headings of the page and their cases.
pub fn all() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("Places that lead elsewhere", places::cases()),
        ("What an image leaves lying", litter::cases()),
        ("Mounts", mounts::cases()),
        ("Specifications", specs::cases()),
        ("Directories and descriptors", directories::cases()),
        ("Programs", programs::cases()),
        ("Names and numbers", identity::cases()),
        ("From inside, with a shell", inside::cases()),
        ("From inside, with system calls", calls::cases()),
        ("Bombs and games", bombs::cases()),
        ("Cells against cells", together::cases()),
        ("Through an engine's commands", engines::cases()),
    ]
}
