//! A container's cgroup in two parts: where its first process is born, and the rest, which is made while
//! that process builds the container.

use std::path::{Path, PathBuf};
use std::time::Instant;

use oci_spec::runtime::LinuxResources;

use super::at::{Devices, assemble, descend, join, refuse_inhabited, settle, unmake, view};
use super::devices::Filter;
use super::files::Dir;
use super::leaf::Cgroup;
use super::old::{Old, Seat};
use super::resources::check;
use super::{Error, Hierarchies, Places, leaf, removal};

impl Cgroup {
    /// As [`create_in`](Cgroup::create_in), but where v1 hierarchies take part, only its directory in the
    /// v2 tree is made, for the first process to be born in; unless that one is there already. All else,
    /// its limits and the device filter included, is made by [`complete`](Cgroup::complete), which then
    /// calls `claim`: from there on who lives at any of the places is of the container. If that fails,
    /// [`abandon`](Cgroup::abandon) takes back the rest.
    ///
    /// # Errors
    /// As for [`create_at`](Cgroup::create_at).
    pub fn begin_in(
        host: &Hierarchies,
        places: &Places,
        resources: &LinuxResources,
        devices: Devices,
        claim: impl FnOnce() -> Result<(), Error> + Send + 'static,
    ) -> Result<Cgroup, Error> {
        if host.mounted.is_empty() {
            return Cgroup::create_in(host, places, resources, devices);
        }
        check(resources)?;
        let filter = Filter::new(resources)?;
        let seats = places.v1().map(|(hierarchy, path)| seat(host, hierarchy, path)).collect();
        let mut made = Vec::new();
        let both = descend(&host.unified, places.unified(), &mut made)
            .and_then(|unified| Ok((unified.again()?, unified)));
        let (again, unified) = both.inspect_err(|_| unmake(&made))?;
        if made.pop().is_none_or(|last| last != places.unified()) {
            // Who lives there is not to be taken for the container's.
            return Cgroup::create_in(host, places, resources, devices);
        }
        let above = made;
        let (host, places, resources) = (host.clone(), places.clone(), resources.clone());
        let rest = move || {
            let mut made = Vec::new();
            let part = join_free(&host, &places, again, &mut made)
                .and_then(|cgroup| settle(&host, cgroup, &resources, &filter, devices, true))
                .and_then(|cgroup| {
                    claim()?;
                    Ok(cgroup.into_part())
                });
            part.inspect_err(|_| unmake(&made))
        };
        Ok(Cgroup::new(unified, Old::later(seats, above, rest)))
    }

    /// Takes back a cgroup that could not be completed, with whoever lives in it: what has been made of
    /// it and nothing else.
    ///
    /// # Errors
    /// When processes survive in it, or its directory stays.
    pub fn abandon(&self) -> Result<(), Error> {
        let deadline = Instant::now() + leaf::PATIENCE;
        let killed = leaf::kill_and_wait(&self.unified, deadline);
        let removed = removal::remove(self.unified.path(), deadline);
        // What is gone needs no killing.
        removed.map_err(|error| killed.err().unwrap_or(error))?;
        unmake(self.old.above());
        Ok(())
    }
}

/// Makes or enters the directories in the v1 hierarchies, and refuses one in use.
fn join_free(
    host: &Hierarchies,
    places: &Places,
    unified: Dir,
    made: &mut Vec<PathBuf>,
) -> Result<Cgroup, Error> {
    let cgroup = assemble(unified, join(host, places, made)?, Some(host))?;
    let mut ours = made.clone();
    ours.push(places.unified().to_owned());
    refuse_inhabited(&cgroup, &ours)?;
    Ok(cgroup)
}

/// Where a cgroup is going to stand.
fn seat(host: &Hierarchies, hierarchy: &str, path: &Path) -> Seat {
    let view = view(Some(host), hierarchy).into();
    Seat { hierarchy: hierarchy.to_owned().into(), view, path: path.to_owned() }
}
