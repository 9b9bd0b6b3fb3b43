//! A container's cgroup: where its engine wants it, else below one of this program's own; made by this
//! program, or by systemd.

use std::io;
use std::path::Path;

use oci_spec::runtime::{LinuxResources, Spec};

use super::Error;
use super::args::CgroupManager;
use super::id::Id;
use super::record::Record;
use super::store::Home;
use super::systemd::{self, Placeholder, Scope};
use crate::bundle::Bundle;
use crate::cgroup::{self, Cgroup, Devices, Hierarchies, Places};
use crate::launch::may_mount;

/// Above the containers whose specification names no place.
const OWN: &str = "/hotcell-oci";

/// Where the container's cgroup is going to be, and the unit that it is, if it is systemd's.
pub(super) fn places(
    host: &Hierarchies,
    manager: CgroupManager,
    id: &Id,
    spec: &Spec,
) -> Result<(Places, Option<Scope>), Error> {
    if manager == CgroupManager::Systemd {
        systemd::check(host)?;
        let scope = Scope::of(id, spec)?;
        return Ok((Places::resolve(host, &scope.path())?, Some(scope)));
    }
    let wanted = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
    let path = wanted.filter(|path| !path.as_os_str().is_empty());
    let path = path.unwrap_or_else(|| Path::new(OWN).join(id.as_str()));
    Ok((Places::resolve(host, &path)?, None))
}

/// A cgroup in which the container's first process can be born.
#[derive(Debug)]
pub(super) struct Birthplace {
    pub(super) cgroup: Cgroup,
    /// It keeps a scope alive until then.
    pub(super) placeholder: Option<Placeholder>,
}

impl Birthplace {
    /// Makes it, with the specification's limits in force; on a hybrid host as much as it takes for a birth,
    /// and the launch makes the rest. Then nothing is left of a failure.
    pub(super) fn make(
        host: &Hierarchies,
        record: &Record,
        scope: Option<&Scope>,
        bundle: &Bundle,
        home: &Home,
    ) -> Result<Birthplace, Error> {
        let spec = bundle.spec();
        let none = LinuxResources::default();
        let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
        let resources = resources.unwrap_or(&none);
        let Some(scope) = scope else {
            let devices = if may_mount(spec) { Devices::FilteredAlways } else { Devices::Listed };
            let claim = home.claimer()?;
            let cgroup = Cgroup::begin_in(host, &record.cgroup, resources, devices, claim)?;
            return Ok(Birthplace { cgroup, placeholder: None });
        };
        let mut placeholder = scope.start(&record.id, spec)?;
        let mut limited = || {
            let cgroup = Cgroup::take_over_in(&record.cgroup, resources)?;
            systemd::tell(scope.unit(), &cgroup, cgroup.enforced())?;
            placeholder.make_room(&cgroup)?;
            Ok(cgroup)
        };
        match limited() {
            Ok(cgroup) => Ok(Birthplace { cgroup, placeholder: Some(placeholder) }),
            Err(error) => {
                drop(placeholder);
                // The first failure is the one that is told.
                let _ = remove(record);
                Err(error)
            }
        }
    }
}

/// Changes the limits that are given.
pub(super) fn update(record: &Record, resources: &LinuxResources) -> Result<(), Error> {
    let cgroup = open(record)?;
    let written = cgroup.update(resources)?;
    record.scope.as_deref().map_or(Ok(()), |unit| systemd::tell(unit, &cgroup, &written))
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

/// Removes it as far as nobody lives in it: a command was killed before it had made it.
pub(super) fn remove_empty(record: &Record) {
    Cgroup::remove_empty_in(&record.cgroup);
}

/// Removes it when only its directory in the v2 tree is surely the container's: a command ended before it
/// had made the rest, or was about to.
pub(super) fn remove_begun(record: &Record) -> Result<(), Error> {
    Ok(Cgroup::remove_begun_in(&record.cgroup)?)
}

/// Kills who lives in it and removes it.
pub(super) fn remove(record: &Record) -> Result<(), Error> {
    Cgroup::remove_in(&record.cgroup)?;
    Ok(record.scope.as_deref().map_or(Ok(()), systemd::end)?)
}
