//! A container's cgroup: where its engine wants it, else below one of this program's own.

use std::io;
use std::path::Path;

use oci_spec::runtime::{LinuxResources, Spec};

use super::Error;
use super::id::Id;
use super::record::Record;
use crate::cgroup::{self, Cgroup, Hierarchies, Places};

/// Above the containers whose specification names no place.
const OWN: &str = "/hotcell-oci";

/// Where the container's cgroup is going to be.
pub(super) fn places(host: &Hierarchies, id: &Id, spec: &Spec) -> Result<Places, Error> {
    let wanted = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
    let path = wanted.filter(|path| !path.as_os_str().is_empty());
    let path = path.unwrap_or_else(|| Path::new(OWN).join(id.as_str()));
    Ok(Places::resolve(host, &path)?)
}

/// Makes it, with the specification's limits in force.
pub(super) fn create(host: &Hierarchies, record: &Record, spec: &Spec) -> Result<Cgroup, Error> {
    let none = LinuxResources::default();
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    Ok(Cgroup::create_in(host, &record.cgroup, resources.unwrap_or(&none))?)
}

/// Opens the cgroup of a container that was made before.
pub(super) fn open(record: &Record) -> Result<Cgroup, Error> {
    Ok(Cgroup::open_in(&record.cgroup)?)
}

/// The same; `None` once it is gone.
pub(super) fn find(record: &Record) -> Result<Option<Cgroup>, Error> {
    match Cgroup::open_in(&record.cgroup) {
        Ok(cgroup) => Ok(Some(cgroup)),
        Err(cgroup::Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Kills who lives in it and removes it.
pub(super) fn remove(record: &Record) -> Result<(), Error> {
    Ok(Cgroup::remove_in(&record.cgroup)?)
}
