//! A container's cgroup at a path that its engine chose, in every hierarchy of the host: engines
//! measure and find a container there, whatever hotcell itself needs.
//!
//! ```text
//! create_at ──► limits written, filter attached ──► launch ──► … open_at … ──► remove_at
//! ```

use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use rustix::io::Errno;

use super::cpuset::inherit_cpus;
use super::detect::{Controller, Hierarchies, Mounted};
use super::devices::Filter;
use super::files::Dir;
use super::leaf::{Cgroup, Enforced};
use super::members::{old_freezer_holds, pids};
use super::old::{Joined, Part};
use super::resources::{apply, check, hand_down_to};
use super::{Error, Places};

/// What keeps a container to its devices on a hybrid host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Devices {
    /// The filter in the v2 tree, whatever v1 says beside it.
    FilteredAlways,
    /// The list of the v1 hierarchy alone, where it has words for all of it: no program has to be loaded,
    /// and the kernel has no code to patch for the host's first. For containers that can't come to hold
    /// `CAP_SYS_ADMIN`, with which that hierarchy can be mounted and the list changed.
    Listed,
}

impl Cgroup {
    /// Makes a container's cgroup below every hierarchy's root, with what is missing above it, and
    /// puts the limits and the device filter in force before any process is in it. On a host with v2
    /// alone, all controllers are handed down to it; on a hybrid one, the v2 tree keeps what it has,
    /// but for a controller that a limit needs.
    ///
    /// A cgroup that is there already is taken over with its settings, if no process lives in it or
    /// below it and it is not frozen.
    ///
    /// # Errors
    /// [`Error::Unfit`] for a cgroup in use, [`Error::BadPath`] for a path that names none;
    /// [`Error::NoController`], [`Error::Refused`], [`Error::BadValue`], [`Error::Unsupported`] or
    /// [`Error::DeviceRule`] for resources that can't be enforced. Then nothing new is left behind.
    pub fn create_at(
        host: &Hierarchies,
        path: &Path,
        resources: &LinuxResources,
    ) -> Result<Cgroup, Error> {
        Cgroup::create_in(host, &Places::resolve(host, path)?, resources, Devices::FilteredAlways)
    }

    /// The same at places that are known already.
    ///
    /// # Errors
    /// As for [`create_at`](Cgroup::create_at).
    pub fn create_in(
        host: &Hierarchies,
        places: &Places,
        resources: &LinuxResources,
        devices: Devices,
    ) -> Result<Cgroup, Error> {
        check(resources)?;
        let filter = Filter::new(resources)?;
        let mut made = Vec::new();
        let created = make(host, places, &mut made).and_then(|cgroup| {
            refuse_inhabited(&cgroup, &made)?;
            let fresh = made.iter().any(|path| path == cgroup.unified.path());
            settle(host, cgroup, resources, &filter, devices, fresh)
        });
        // The error of the creation matters more than one on the way back.
        created.inspect_err(|_| unmake(&made))
    }

    /// Takes over a cgroup that somebody else has made for this container, whoever lives in it by now,
    /// and puts the limits and the device filter in force. Controllers are handed down only where a
    /// limit asks for one that it lacks: what stands above is not this program's.
    ///
    /// # Errors
    /// As for [`create_at`](Cgroup::create_at), and [`Error::Io`] when it is not there.
    pub fn take_over_in(places: &Places, resources: &LinuxResources) -> Result<Cgroup, Error> {
        check(resources)?;
        let filter = Filter::new(resources)?;
        let mut cgroup = Cgroup::open_in(places)?;
        cgroup.found = false;
        let enforced = apply(&cgroup, resources)?;
        filter.attach(&cgroup.unified)?;
        Ok(cgroup.with_limits(enforced))
    }

    /// Opens the cgroup of a container that was made before. A relative path is one for this process:
    /// see [`Places`].
    ///
    /// # Errors
    /// [`Error::Io`] when its directory in the v2 tree is not there or can't be opened.
    pub fn open_at(host: &Hierarchies, path: &Path) -> Result<Cgroup, Error> {
        Cgroup::open_in(&Places::resolve(host, path)?)
    }

    /// The same at places that are known already. A hierarchy in which it has no directory is left
    /// out.
    ///
    /// # Errors
    /// As for [`open_at`](Cgroup::open_at).
    pub fn open_in(places: &Places) -> Result<Cgroup, Error> {
        let unified = Dir::open(places.unified())?;
        let mut everywhere = Vec::new();
        for (hierarchy, path) in places.v1() {
            if let Some(dir) = Dir::open_if_there(path)? {
                everywhere.push((hierarchy.to_owned(), dir));
            }
        }
        let mut cgroup = assemble(unified, everywhere, None)?;
        cgroup.found = true;
        Ok(cgroup)
    }
}

/// Puts limits and devices in force.
pub(super) fn settle(
    host: &Hierarchies,
    cgroup: Cgroup,
    resources: &LinuxResources,
    filter: &Filter,
    devices: Devices,
    fresh: bool,
) -> Result<Cgroup, Error> {
    let enforced = put_limits(host, &cgroup, resources)?;
    keep_to(filter, devices, &cgroup, fresh)?;
    Ok(cgroup.with_limits(enforced))
}

/// Removes what has been made, the innermost first.
pub(super) fn unmake(made: &[PathBuf]) {
    for path in made.iter().rev() {
        let _ = rustix::fs::rmdir(path);
    }
}

/// Writes the limits. What they leave open of CPUs and memory nodes follows the cgroup above.
fn put_limits(
    host: &Hierarchies,
    cgroup: &Cgroup,
    resources: &LinuxResources,
) -> Result<Vec<Enforced>, Error> {
    let is_cpusets = |mounted: &&Mounted| mounted.controllers.iter().any(|name| name == "cpuset");
    let cpuset = cgroup.v1("cpuset").zip(host.mounted.iter().find(is_cpusets));
    let Some((dir, mounted)) = cpuset else {
        return apply(cgroup, resources);
    };
    let cpu = resources.cpu().as_ref();
    if cpu.is_some_and(|cpu| cpu.cpus().is_some() || cpu.mems().is_some())
        && let Some(above) = dir.path().parent()
    {
        // A part of the CPUs can be chosen only of those above.
        inherit_cpus(&Dir::open(above)?, &mounted.at)?;
    }
    let enforced = apply(cgroup, resources)?;
    inherit_cpus(dir, &mounted.at)?;
    Ok(enforced)
}

/// Puts the device filter in force.
fn keep_to(filter: &Filter, devices: Devices, cgroup: &Cgroup, fresh: bool) -> Result<(), Error> {
    let list = cgroup.v1("devices");
    let listed = devices == Devices::Listed && list.is_some() && filter.fits_a_list();
    match fresh {
        true if listed => {}
        true => filter.attach(&cgroup.unified)?,
        // Whoever was here before may have left a program.
        false => filter.replace(&cgroup.unified)?,
    }
    list.map_or(Ok(()), |dir| filter.list_in(dir))
}

/// Makes or enters the directories of a cgroup; `made` gets the new ones, outermost first.
fn make(host: &Hierarchies, places: &Places, made: &mut Vec<PathBuf>) -> Result<Cgroup, Error> {
    let joined = join(host, places, made)?;
    let place = places.unified();
    if host.mounted.is_empty() {
        if let Some(above) = place.parent().filter(|above| !above.exists()) {
            descend(&host.unified, above, made)?;
        }
        // Before it is made: while another hands a controller down its files come one by one, and whoever
        // is made then has to wait for all.
        hand_down_to(place, None);
    }
    let unified = descend(&host.unified, place, made)?;
    assemble(unified, joined, Some(host))
}

/// Those in the v1 hierarchies.
pub(super) fn join(
    host: &Hierarchies,
    places: &Places,
    made: &mut Vec<PathBuf>,
) -> Result<Vec<(String, Dir)>, Error> {
    let mut joined = Vec::new();
    for (hierarchy, path) in places.v1() {
        let Some(mounted) = mounted(host, hierarchy) else {
            return Err(Error::Unfit {
                path: path.to_owned(),
                why: format!("the hierarchy {hierarchy:?} is not mounted any more"),
            });
        };
        joined.push((hierarchy.to_owned(), descend(&mounted.at, path, made)?));
    }
    Ok(joined)
}

fn mounted<'a>(host: &'a Hierarchies, hierarchy: &str) -> Option<&'a Mounted> {
    host.mounted.iter().find(|mounted| mounted.controllers.join(",") == hierarchy)
}

/// The name of a hierarchy's mount point, or what it mostly is.
pub(super) fn view(host: Option<&Hierarchies>, hierarchy: &str) -> String {
    match host.and_then(|host| mounted(host, hierarchy)?.at.file_name()) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => hierarchy.trim_start_matches("name=").to_owned(),
    }
}

/// Walks from a hierarchy's mount point down, making what is missing.
pub(super) fn descend(mount: &Path, path: &Path, made: &mut Vec<PathBuf>) -> Result<Dir, Error> {
    let inside = path.strip_prefix(mount).map_err(|_| Error::Unfit {
        path: path.to_owned(),
        why: format!("it is not below {}", mount.display()),
    })?;
    // Mostly only the last is missing. No link of anybody's is on the way: cgroups have none.
    if let Some(dir) = Dir::make_last(path)? {
        made.push(path.to_owned());
        return Ok(dir);
    }
    let mut tries = 0;
    loop {
        tries += 1;
        match walk_down(mount, inside, made) {
            // Another container has gone meanwhile, and what was above it alone.
            Err(Error::Io { source, .. }) if tries < TRIES && has_vanished(&source) => {}
            walked => return walked,
        }
    }
}

/// How often a way down is walked that others shorten.
const TRIES: u32 = 8;

fn has_vanished(error: &io::Error) -> bool {
    [Errno::NOENT, Errno::NODEV].map(Errno::raw_os_error).map(Some).contains(&error.raw_os_error())
}

fn walk_down(mount: &Path, inside: &Path, made: &mut Vec<PathBuf>) -> Result<Dir, Error> {
    let mut dir = Dir::open(mount)?;
    for name in inside {
        let (next, new) = dir.make_if_missing(&name.to_string_lossy())?;
        if new {
            made.push(next.path().to_owned());
        }
        dir = next;
    }
    Ok(dir)
}

/// A cgroup of its directories.
pub(super) fn assemble(
    unified: Dir,
    hierarchies: Vec<(String, Dir)>,
    host: Option<&Hierarchies>,
) -> Result<Cgroup, Error> {
    let mut part = Part::default();
    for (hierarchy, dir) in hierarchies {
        for controller in Controller::ALL {
            if hierarchy.split(',').any(|name| name == controller.v1_name()) {
                part.controllers.insert(controller, dir.again()?);
            }
        }
        let view = view(host, &hierarchy);
        part.everywhere.push(Joined { hierarchy, view, dir });
    }
    Ok(Cgroup::new(unified, part))
}

/// A cgroup that was there before must be nobody's, in each hierarchy where it was.
pub(super) fn refuse_inhabited(cgroup: &Cgroup, made: &[PathBuf]) -> Result<(), Error> {
    let unfit = |dir: &Dir, why| Err(Error::Unfit { path: dir.path().to_owned(), why });
    let found = |dir: &&Dir| !made.iter().any(|path| path == dir.path());
    let everywhere = cgroup.old.part().everywhere.iter().map(|at| &at.dir);
    for dir in everywhere.chain([&cgroup.unified]).filter(found) {
        match pids(dir)?.len() {
            0 => {}
            1 => return unfit(dir, "a process lives in it".to_owned()),
            count => return unfit(dir, format!("{count} processes live in it")),
        }
    }
    if let Some(dir) = cgroup.v1("freezer").filter(|dir| found(dir))
        && old_freezer_holds(dir)?
    {
        return unfit(dir, "it is frozen".to_owned());
    }
    if found(&&cgroup.unified)
        && (cgroup.unified.read("cgroup.freeze")?.trim() == "1" || cgroup.is_frozen()?)
    {
        return unfit(&cgroup.unified, "it is frozen".to_owned());
    }
    Ok(())
}
