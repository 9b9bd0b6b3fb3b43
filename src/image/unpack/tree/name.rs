//! Names of entries: taken apart, and each part checked, before anything is looked up.

use super::super::error::Cause;
use super::super::limits::{Limit, Limits};
use super::super::tar::Refusal;

/// The longest part that Linux takes.
const LONGEST_PART: usize = 255;
/// What the name of a whiteout starts with.
pub(super) const WHITEOUT: &[u8] = b".wh.";
/// What the names start with that an old storage driver kept for itself.
const META: &[u8] = b".wh..wh.";
/// The name that hides everything below a directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The parts of a name below the root; none for the root itself. Slashes at the start and doubled
/// ones, and `.`, mean nothing; `..` means that somebody wants out.
pub(super) fn parts<'a>(name: &'a [u8], limits: &Limits) -> Result<Vec<&'a [u8]>, Cause> {
    if name.len() as u64 > limits.path_bytes {
        return Err(Limit::PathBytes.exceeded(limits.path_bytes));
    }
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(Refusal::Upwards.into()),
            part if part.len() > LONGEST_PART => return Err(Refusal::LongName.into()),
            part => parts.push(part),
        }
    }
    if parts.len() as u64 > limits.depth {
        return Err(Limit::Depth.exceeded(limits.depth));
    }
    Ok(parts)
}

/// What an entry of this name is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meaning<'a> {
    /// Itself.
    Thing,
    /// Hiding what is called so below.
    Whiteout(&'a [u8]),
    /// Hiding all that is in its directory below.
    Opaque,
    /// Bookkeeping of a storage driver of long ago.
    Nothing,
}

impl<'a> Meaning<'a> {
    pub(super) fn of(parts: &[&'a [u8]]) -> Result<Meaning<'a>, Refusal> {
        let Some((last, before)) = parts.split_last() else {
            return Ok(Meaning::Thing);
        };
        let first = before.first().unwrap_or(last);
        if first.starts_with(META) && *first != OPAQUE {
            return Ok(Meaning::Nothing);
        }
        if before.iter().any(|part| part.starts_with(WHITEOUT)) {
            return Err(Refusal::Whiteout);
        }
        match last.strip_prefix(WHITEOUT) {
            None => Ok(Meaning::Thing),
            Some(_) if *last == OPAQUE => Ok(Meaning::Opaque),
            Some(b"" | b"." | b"..") => Err(Refusal::Whiteout),
            Some(name) if name.starts_with(WHITEOUT) => Err(Refusal::Whiteout),
            Some(name) => Ok(Meaning::Whiteout(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(name: &str) -> Result<Meaning<'_>, Refusal> {
        Meaning::of(&parts(name.as_bytes(), &Limits::default()).unwrap())
    }

    #[test]
    fn names_fall_into_parts_and_never_lead_upwards() {
        let all = |name: &str| -> Result<Vec<String>, String> {
            let parts = parts(name.as_bytes(), &Limits::default()).map_err(|e| e.to_string())?;
            Ok(parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect())
        };
        for root in ["", "/", ".", "./", "//", "/./"] {
            assert_eq!(all(root), Ok(vec![]), "{root:?}");
        }
        for same in ["a/b", "/a/b", "./a/b", "a//b", "a/./b/", "//a/b//."] {
            assert_eq!(all(same), Ok(vec!["a".to_owned(), "b".to_owned()]), "{same:?}");
        }
        assert_eq!(all("..."), Ok(vec!["...".to_owned()]));
        for out in ["..", "../x", "a/..", "a/../b", "/..", "a/../../x"] {
            assert!(all(out).unwrap_err().contains("upwards"), "{out:?}");
        }
        assert!(all(&"x".repeat(255)).is_ok());
        assert!(all(&"x".repeat(256)).unwrap_err().contains("255"));
        assert!(all(&"x/".repeat(2049)).unwrap_err().contains("4096"));
        assert!(all(&"x/".repeat(257)).unwrap_err().contains("256"));
    }

    #[test]
    fn whiteouts_name_one_clean_part() {
        assert_eq!(meaning("a/b"), Ok(Meaning::Thing));
        assert_eq!(meaning("a/.wh.b"), Ok(Meaning::Whiteout(b"b")));
        assert_eq!(meaning(".wh.b"), Ok(Meaning::Whiteout(b"b")));
        assert_eq!(meaning(".wh...."), Ok(Meaning::Whiteout(b"...")));
        assert_eq!(meaning("a/.wh..wh..opq"), Ok(Meaning::Opaque));
        assert_eq!(meaning(".wh..wh..opq"), Ok(Meaning::Opaque));
        assert_eq!(meaning("a/.wh..b"), Ok(Meaning::Whiteout(b".b")));
        assert_eq!(meaning("a/x.wh.b"), Ok(Meaning::Thing));
        assert_eq!(meaning("a/.whb"), Ok(Meaning::Thing));
        for nothing in [".wh..wh.plnk", ".wh..wh.plnk/1.2", ".wh..wh.aufs", ".wh..wh.orph/x"] {
            assert_eq!(meaning(nothing), Ok(Meaning::Nothing), "{nothing}");
        }
        for bad in [
            ".wh.",
            "a/.wh.",
            "a/.wh..",
            "a/.wh...",
            ".wh..",
            ".wh...",
            "a/.wh..wh.b",
            "a/.wh..wh.plnk",
            "a/.wh.b/c",
            ".wh.a/.wh.b",
            "a/.wh..wh..opq/x",
        ] {
            assert_eq!(meaning(bad), Err(Refusal::Whiteout), "{bad}");
        }
    }
}
