//! A container's id: a name that can be a directory's.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// The longest name that a directory can have.
const LONGEST: usize = 255;

/// The id of a container: letters, digits, `_`, `+`, `-` and `.`, as runc has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Id(String);

impl Id {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Id {
    type Err = Error;

    fn from_str(text: &str) -> Result<Id, Error> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-' | b'.');
        let special = matches!(text, "" | "." | "..");
        match text.bytes().all(allowed) && !special && text.len() <= LONGEST {
            true => Ok(Id(text.to_owned())),
            false => Err(Error::BadId(text.to_owned())),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_name_of_a_directory() {
        for good in ["a", "a+b_c-d.e", "...", "-a", &"x".repeat(255)] {
            assert!(good.parse::<Id>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a\0", "ä", "a\n", &"x".repeat(256)] {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }
}
