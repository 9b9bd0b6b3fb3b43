//! A container's cgroup: where its engine wants it, else below one of this program's own.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxResources, Spec};

use super::Error;
use super::id::Id;
use super::record::Record;
use crate::cgroup::{Cgroup, Hierarchies, OwnPlace, Parent};

/// Above the containers whose specification names no place.
const OWN: &str = "hotcell-oci";

/// The path of a container's cgroup below the root of each hierarchy.
pub(super) fn path(id: &Id, _spec: &Spec) -> PathBuf {
    Path::new("/").join(OWN).join(id.as_str())
}

/// Makes it, with the specification's limits in force.
pub(super) fn create(record: &Record, spec: &Spec) -> Result<Cgroup, Error> {
    let none = LinuxResources::default();
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let parent = Parent::open(Hierarchies::detect()?, OWN, OwnPlace::Keep)?;
    Ok(parent.create(leaf(record), resources.unwrap_or(&none))?)
}

/// Kills who lives in it and removes it.
pub(super) fn remove(record: &Record) -> Result<(), Error> {
    match Parent::find(Hierarchies::detect()?, OWN)? {
        Some(parent) => Ok(parent.remove(leaf(record))?),
        None => Ok(()),
    }
}

fn leaf(record: &Record) -> &str {
    record.cgroup.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
