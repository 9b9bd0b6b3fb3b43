//! Paths inside a cell, as people give them.

use std::path::{Component, Path};

use super::Error;

/// An absolute path without "..", which may not be the root itself.
pub(super) fn absolute(what: &'static str, path: &str) -> Result<String, Error> {
    let refuse = |why: &str| Err(Error::invalid(what, path, why));
    if !path.starts_with('/') {
        return refuse("must be an absolute path");
    }
    if path.contains('\0') {
        return refuse("must not hold a NUL byte");
    }
    let mut parts = Path::new(path).components();
    if parts.clone().any(|part| part == Component::ParentDir) {
        return refuse("must not hold \"..\"");
    }
    if parts.nth(1).is_none() {
        return refuse("must not be the root");
    }
    Ok(path.to_owned())
}
