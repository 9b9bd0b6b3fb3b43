//! A root of several layers: directories below one that overlayfs shows as one.

use std::path::{Path, PathBuf};

use super::Error;

/// What stands between names in [`annotation::LAYERS`](super::annotation::LAYERS).
const SEPARATOR: char = ':';

/// The longest name of a layer, in bytes.
const LONGEST: usize = 255;

/// The names as one text.
pub(super) fn join(names: &[String]) -> String {
    names.join(&SEPARATOR.to_string())
}

/// The names in such a text, none of them checked.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(SEPARATOR)
}

/// What is wrong with the name of a layer. It stands among mount options, where a comma or a colon
/// would end it, and leads to a directory below the one of them all and nowhere else.
fn flaw(name: &str) -> Option<&'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    if name.is_empty() || name.len() > LONGEST {
        return Some("must have 1 to 255 characters");
    }
    if !name.split('/').all(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric())) {
        return Some("must start with a letter or digit, and so must what is behind each '/'");
    }
    (!name.chars().all(plain)).then_some("may hold only letters, digits, '_', '.', '-' and '/'")
}

/// Where the layers lie: what is left of `rootfs`, the topmost, without its name. All names are proper
/// ones, and none is there twice.
pub(crate) fn above<'a>(rootfs: &'a Path, names: &[&str]) -> Result<&'a Path, Error> {
    const WHAT: &str = "layer of the root";
    for (at, name) in names.iter().enumerate() {
        if let Some(why) = flaw(name) {
            return Err(Error::invalid(WHAT, *name, why));
        }
        if names[..at].contains(name) {
            return Err(Error::invalid(WHAT, *name, "is there twice"));
        }
    }
    let first = names.first().copied().unwrap_or_default();
    let depth = first.split('/').count();
    let dir = rootfs.ancestors().nth(depth).filter(|_| rootfs.ends_with(first));
    dir.ok_or_else(|| {
        let why = format!("is not where the root's path ends: {}", rootfs.display());
        Error::invalid(WHAT, first, why)
    })
}

/// The directories of a root, topmost first.
pub(super) fn dirs(rootfs: &Path, names: &[String]) -> Result<Vec<PathBuf>, Error> {
    if names.is_empty() {
        return Ok(vec![rootfs.to_owned()]);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let dir = above(rootfs, &names)?;
    Ok(names.iter().map(|name| dir.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_lead_nowhere_else_and_be_no_option() {
        let long = "x".repeat(256);
        let bad = [
            "", ".", "..", "/a", "a/", "a//b", "a/../b", "a/.", "a,b", "a:b", "a\\:b", "-a", "a b",
            "a\n", &long,
        ];
        for bad in bad {
            assert!(flaw(bad).is_some(), "{bad:?}");
        }
        for good in ["a", "0", "sha256-0af/fs", "a.b_c-d", &long[1..]] {
            assert_eq!(flaw(good), None, "{good:?}");
        }
    }

    #[test]
    fn layers_lie_below_one_directory() {
        let names = ["b/fs".to_owned(), "c/fs".to_owned(), "d".to_owned()];
        let expected = ["/l/b/fs", "/l/c/fs", "/l/d"].map(PathBuf::from);
        assert_eq!(dirs(Path::new("/l/b/fs"), &names).unwrap(), expected);
        assert_eq!(split(&join(&names)).collect::<Vec<_>>(), names);
        assert_eq!(dirs(Path::new("/l"), &[]).unwrap(), [PathBuf::from("/l")]);
        for rootfs in ["/l/b", "/l/b/fs/x", "/l/xb/fs", "fs", "/"] {
            let error = dirs(Path::new(rootfs), &names).unwrap_err().to_string();
            assert!(error.contains("is not where the root's path ends"), "{error}");
        }
    }
}
