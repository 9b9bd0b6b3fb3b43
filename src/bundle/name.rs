//! A cell's name: it becomes a directory, a cgroup and a host name, so it can't be anything else.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// A name of 1 to 64 letters, digits, `_`, `.` and `-` that starts with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CellName(String);

impl CellName {
    /// The longest name: a host name has 64 bytes at most.
    pub const MAX: usize = 64;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CellName {
    type Err = Error;

    fn from_str(text: &str) -> Result<CellName, Error> {
        let refuse = |why: &str| Err(Error::invalid("cell name", text, why));
        if text.is_empty() || text.len() > CellName::MAX {
            return refuse("must have 1 to 64 characters");
        }
        if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return refuse("must start with a letter or digit");
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
            return refuse("may hold only letters, digits, '_', '.' and '-'");
        }
        Ok(CellName(text.to_owned()))
    }
}

impl fmt::Display for CellName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_paths_or_flags_are_refused() {
        let long = "x".repeat(65);
        for bad in ["", "..", ".", "../x", "a/b", "-rf", "a b", "a\n", "ü", long.as_str()] {
            assert!(bad.parse::<CellName>().is_err(), "{bad:?}");
        }
        for good in ["a", "0", "a.b_c-d", &long[..64]] {
            assert_eq!(good.parse::<CellName>().unwrap().as_str(), good);
        }
    }
}
