//! Which cgroups above cells are the drivers' own making: they go with the last driver.
//!
//! A mark is written before the cgroup is made, and removed after it has gone. What is there without
//! a mark is an administrator's. All of this happens behind the door.

use std::path::{Path, PathBuf};

use super::{Error, state};
use crate::bundle::CellName;
use crate::cgroup::{Hierarchies, Parent};
use crate::fault::{self, Point};

const PREFIX: &str = ".made-";

fn path(state_dir: &Path, parent: &str) -> PathBuf {
    state_dir.join(format!("{PREFIX}{parent}"))
}

/// Says that drivers of this state directory are about to make the parent.
pub(super) fn write(state_dir: &Path, parent: &str) -> Result<(), Error> {
    let path = path(state_dir, parent);
    fault::at(Point::ParentMark, || std::fs::write(&path, ""))
        .map_err(|source| Error::io("write", &path, source))
}

/// The parents that drivers of this state directory have made.
pub(super) fn parents(state_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(state_dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let parents = names.filter_map(|name| name.strip_prefix(PREFIX).map(str::to_owned));
    parents.filter(|parent| parent.parse::<CellName>().is_ok()).collect()
}

/// Removes the parent if a driver made it and no driver is left.
pub(super) fn dissolve_last(state_dir: &Path, parent: &Parent) -> Result<(), Error> {
    let mark = path(state_dir, parent.name());
    if !mark.exists() || has_instances(state_dir)? {
        return Ok(());
    }
    parent.dissolve()?;
    remove(&mark)
}

fn remove(mark: &Path) -> Result<(), Error> {
    match fault::at(Point::ParentMarkRemoval, || std::fs::remove_file(mark)) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", mark, source))
        }
        _ => Ok(()),
    }
}

/// Removes the parents of drivers that were killed, unless other drivers are there; each is nobody's
/// now, or its driver is about to make it anew.
pub(super) fn sweep(state_dir: &Path, hierarchies: &Hierarchies) {
    match has_instances(state_dir) {
        Ok(true) => {}
        Ok(false) => {
            parents(state_dir).iter().for_each(|name| take_back(state_dir, hierarchies, name));
        }
        Err(error) => tracing::warn!(%error, "looking for cgroups above the cells of no driver"),
    }
}

/// Removes the parent, or what was made of it, if a driver made it and no driver is left.
pub(super) fn take_back(state_dir: &Path, hierarchies: &Hierarchies, parent: &str) {
    let taken = match Parent::find(hierarchies.clone(), parent) {
        Ok(Some(parent)) => dissolve_last(state_dir, &parent),
        Ok(None) => remove(&path(state_dir, parent)),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = taken {
        tracing::warn!(parent, %error, "removing the cgroup above the cells of no driver");
    }
}

/// Whether any driver, alive or dead, has a directory there.
pub(super) fn has_instances(state_dir: &Path) -> Result<bool, Error> {
    let entries = fault::at(Point::InstanceList, || std::fs::read_dir(state_dir))
        .map_err(|source| Error::io("list", state_dir, source))?;
    let is_instance = |entry: std::fs::DirEntry| {
        let named = state::is_instance_id(&entry.file_name().to_string_lossy());
        named && entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    Ok(entries.flatten().any(is_instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_name_parents_and_nothing_else() {
        let at = tempfile::tempdir().unwrap();
        write(at.path(), "cells").unwrap();
        for odd in [".made-", ".made-..", ".lock", "made-x"] {
            std::fs::write(at.path().join(odd), "").unwrap();
        }
        assert_eq!(parents(at.path()), ["cells"]);
        std::fs::write(at.path().join("ba9876543210"), "").unwrap();
        std::os::unix::fs::symlink("/", at.path().join("aaaaaaaaaaaa")).unwrap();
        assert!(!has_instances(at.path()).unwrap(), "a file or a link is no instance");
        std::fs::create_dir(at.path().join("0123456789ab")).unwrap();
        assert!(has_instances(at.path()).unwrap());
    }
}
