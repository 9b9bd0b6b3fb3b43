//! docs/hostile.md.
use super::case::Case;
pub fn check(_: &[(&'static str, Vec<Case>)]) {}
pub fn write(_: &[(&'static str, Vec<Case>)]) {}
