//! The cases, by what they try.
#![allow(clippy::too_many_lines, clippy::type_complexity, reason = "tables")]

pub mod archives;
pub mod documents;
pub mod headers;
pub mod kinds;
pub mod links;
pub mod names;
pub mod said;
pub mod streams;
pub mod whiteouts;

use super::case::Case;

/// All of them, as the page has them.
pub fn all() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("Names", names::cases()),
        ("Links", links::cases()),
        ("Whiteouts", whiteouts::cases()),
        ("Kinds and attributes", kinds::cases()),
        ("Headers on which readers disagree", headers::cases()),
        ("Compressed streams and bombs", streams::cases()),
        ("Documents", documents::cases()),
        ("What images say about themselves", said::cases()),
        ("Archives and directories", archives::cases()),
    ]
}
