//! Paths of a specification, made fit for a plan.

use std::path::{Component, Path};

use super::super::Error;

/// An absolute path without ".", ".." and empty parts, so that it resolves in root component by
/// component; empty for the root itself.
pub(super) fn clean(what: &str, path: &Path) -> Result<String, Error> {
    let invalid = |why: &str| invalid_path(what, path, why);
    let mut clean = String::with_capacity(path.as_os_str().len());
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                clean.push('/');
                clean.push_str(name.to_str().ok_or_else(|| invalid("must be UTF-8"))?);
            }
            Component::ParentDir => return Err(invalid("must not hold \"..\"")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(clean)
}

/// A place below the root, clean.
pub(super) fn target(what: &str, path: &Path) -> Result<String, Error> {
    let clean = clean(what, path)?;
    match clean.is_empty() {
        true => Err(invalid_path(what, path, "must not be the root")),
        false => Ok(clean),
    }
}

fn invalid_path(what: &str, path: &Path, why: &str) -> Error {
    Error::Invalid { field: format!("{what} {}", path.display()), why: why.to_owned() }
}
