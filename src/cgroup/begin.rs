//! A container's cgroup in two parts: where its first process is born, and the rest, which is made while
//! that process builds the container.

use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

use super::at::{Devices, assemble, descend, join, settle, unmake, view};
use super::devices::Filter;
use super::files::Dir;
use super::leaf::Cgroup;
use super::old::{Old, Seat};
use super::resources::check;
use super::{Error, Hierarchies, Places};

impl Cgroup {
    /// As [`create_in`](Cgroup::create_in), but where v1 hierarchies take part and nothing stands at any
    /// of its places, only its directory in the v2 tree is made, for the first process to be born in.
    /// All else, its limits and the device filter included, is made by
    /// [`complete`](Cgroup::complete), which refuses what has appeared there meanwhile.
    ///
    /// # Errors
    /// As for [`create_at`](Cgroup::create_at).
    pub fn begin_in(
        host: &Hierarchies,
        places: &Places,
        resources: &LinuxResources,
        devices: Devices,
    ) -> Result<Cgroup, Error> {
        let there = |(_, path): (&str, &Path)| path.symlink_metadata().is_ok();
        if host.mounted.is_empty() || places.iter().any(there) {
            return Cgroup::create_in(host, places, resources, devices);
        }
        check(resources)?;
        let filter = Filter::new(resources)?;
        let seats = places.v1().map(|(hierarchy, path)| seat(host, hierarchy, path)).collect();
        let mut made = Vec::new();
        let both = descend(&host.unified, places.unified(), &mut made).and_then(|unified| {
            must_be_new([places.unified()], &made)?;
            Ok((unified.again()?, unified))
        });
        let (again, unified) = both.inspect_err(|_| unmake(&made))?;
        let (host, places, resources) = (host.clone(), places.clone(), resources.clone());
        let rest = move || {
            let mut made = Vec::new();
            let joined = join_new(&host, &places, again, &mut made)
                .and_then(|cgroup| settle(&host, cgroup, &resources, &filter, devices, true));
            joined.map(Cgroup::into_part).inspect_err(|_| unmake(&made))
        };
        Ok(Cgroup::new(unified, Old::later(seats, rest)))
    }
}

/// Makes the directories in the v1 hierarchies, all of them.
fn join_new(
    host: &Hierarchies,
    places: &Places,
    unified: Dir,
    made: &mut Vec<PathBuf>,
) -> Result<Cgroup, Error> {
    let joined = join(host, places, made)?;
    must_be_new(places.v1().map(|(_, path)| path), made)?;
    assemble(unified, joined, Some(host))
}

/// Refuses a directory that somebody else has made where none was a moment ago.
fn must_be_new<'a>(
    paths: impl IntoIterator<Item = &'a Path>,
    made: &[PathBuf],
) -> Result<(), Error> {
    match paths.into_iter().find(|path| !made.iter().any(|new| new == path)) {
        Some(path) => {
            let why = "somebody else has made it meanwhile".to_owned();
            Err(Error::Unfit { path: path.to_owned(), why })
        }
        None => Ok(()),
    }
}

/// Where a cgroup is going to stand.
fn seat(host: &Hierarchies, hierarchy: &str, path: &Path) -> Seat {
    let view = view(Some(host), hierarchy).into();
    Seat { hierarchy: hierarchy.to_owned().into(), view, path: path.to_owned() }
}
