//! The directory above all cells, in every hierarchy that matters: made once, never per start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use oci_spec::runtime::LinuxResources;
use rustix::io::Errno;

use super::detect::{Controller, Hierarchies};
use super::devices::{self, Filter};
use super::files::Dir;
use super::hand_down::{OwnPlace, hand_down, hand_down_from_aside};
use super::leaf::{Cgroup, Enforced};
use super::limits::{Setting, settings};
use super::old::{Old, Part, Seat};
use super::{Error, leaf};
use crate::fault::{self, Point};

/// The parent of the cells' cgroups, its controllers enabled while it was still empty: enabling
/// them later would stop every process below for the time it takes.
#[derive(Debug)]
pub struct Parent {
    hierarchies: Hierarchies,
    name: String,
    pub(super) unified: Dir,
    pub(super) v1: Arc<BTreeMap<Controller, Dir>>,
    /// Nothing can be made below its leaves.
    shallow: bool,
}

/// The file that says how deep a tree may be.
const DEPTH: &str = "cgroup.max.depth";

impl Parent {
    /// Opens the parent `name` (one path component) at the root of each hierarchy, made when
    /// missing.
    ///
    /// # Errors
    /// [`Error::Enable`] when the v2 controllers can't be handed down, [`Error::Io`] otherwise.
    pub fn open(hierarchies: Hierarchies, name: &str, own: OwnPlace) -> Result<Parent, Error> {
        let root = Dir::open(&hierarchies.unified)?;
        match own {
            OwnPlace::Keep => hand_down(&root, &hierarchies.v2)?,
            OwnPlace::MoveAside => {
                hand_down_from_aside(&root, &hierarchies.v2, &format!("{name}.driver"))?;
            }
        }
        let (unified, new) = root.make_if_missing(name)?;
        hand_down(&unified, &hierarchies.v2)?;
        // What was there before may be somebody's who needs it deeper.
        if new {
            unified.write(DEPTH, "1")?;
        }
        let shallow = new || unified.read(DEPTH)?.trim() == "1";
        let mut v1 = BTreeMap::new();
        for (controller, mount) in &hierarchies.v1 {
            v1.insert(*controller, Dir::open(mount)?.make_or_enter(name)?);
        }
        devices::hold(&unified);
        let v1 = Arc::new(v1);
        Ok(Parent { hierarchies, name: name.to_owned(), unified, v1, shallow })
    }

    /// Opens the parent `name` where it exists; nothing is made.
    ///
    /// # Errors
    /// [`Error::Io`] when a directory that exists can't be opened.
    pub fn find(hierarchies: Hierarchies, name: &str) -> Result<Option<Parent>, Error> {
        // The first to be made and the last to go: without it there are no others.
        let Some(unified) = Dir::open(&hierarchies.unified)?.find(name)? else {
            return Ok(None);
        };
        let mut v1 = BTreeMap::new();
        for (controller, mount) in &hierarchies.v1 {
            if let Some(dir) = Dir::open(mount)?.find(name)? {
                v1.insert(*controller, dir);
            }
        }
        let (v1, shallow) = (Arc::new(v1), false);
        Ok(Some(Parent { hierarchies, name: name.to_owned(), unified, v1, shallow }))
    }

    /// What this host has.
    #[must_use]
    pub fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }

    /// The parent's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the cgroup of one cell, writes its limits and attaches its device filter, before any
    /// process is in it.
    ///
    /// # Errors
    /// A limit or a filter that can't be enforced, or a directory or file that can't be made or
    /// written; then nothing is left behind.
    pub fn create(&self, leaf: &str, limits: &LinuxResources) -> Result<Cgroup, Error> {
        let cgroup = self.begin(leaf, limits)?;
        let complete = cgroup.complete();
        if complete.is_err() {
            let _ = self.remove(leaf);
        }
        complete.map(|()| cgroup)
    }

    /// The same, but for the v1 hierarchies: what the cell has there is made by
    /// [`complete`](Cgroup::complete), while its first process builds it.
    ///
    /// # Errors
    /// As for [`create`](Parent::create).
    pub fn begin(&self, leaf: &str, limits: &LinuxResources) -> Result<Cgroup, Error> {
        let settings = settings(limits, &self.hierarchies)?;
        let filter = Filter::new(limits)?;
        let made = self.make(leaf, settings, &filter);
        if made.is_err() {
            // Only what this call made can be there: `make` refuses a leaf that exists, and the
            // leaf's name is this driver's own.
            let _ = self.remove(leaf);
        }
        made
    }

    fn make(&self, name: &str, settings: Vec<Setting>, filter: &Filter) -> Result<Cgroup, Error> {
        let unified = self.unified.make(name)?;
        // Whatever a cell finds a way to, its place in the tree stays one directory.
        if !self.shallow {
            unified.write("cgroup.max.descendants", "0")?;
        }
        let is_old = |setting: &Setting| self.v1.contains_key(&setting.controller);
        let (old, new): (Vec<_>, Vec<_>) = settings.into_iter().partition(is_old);
        let enforced = write(&new, |_| Some(&unified))?;
        filter.attach(&unified)?;
        let joined = self.joined(&old);
        if joined.is_empty() {
            return Ok(Cgroup::new(unified, Part { enforced, ..Part::default() }));
        }
        let seat = |controller: &Controller| Seat {
            hierarchy: controller.v2_name().into(),
            view: controller.v1_name().into(),
            path: self.v1[controller].path().join(name),
        };
        let seats = joined.iter().map(seat).collect();
        let (parents, name) = (Arc::clone(&self.v1), name.to_owned());
        let make = move || join(&parents, &joined, &name, &old, enforced);
        Ok(Cgroup::new(unified, Old::later(seats, Vec::new(), make)))
    }

    /// The v1 hierarchies that a cell with these limits is part of. Each costs a start as much as several
    /// mounts. Without a limit, counting processes gains nothing; memory is measured, and a share of the
    /// CPU is for the whole cell.
    fn joined(&self, settings: &[Setting]) -> Vec<Controller> {
        let limited = |c| settings.iter().any(|setting| setting.controller == c);
        let joined = |c: &Controller| *c != Controller::Pids || limited(*c);
        self.v1.keys().copied().filter(joined).collect()
    }

    /// The names of the leaves that exist in any hierarchy.
    ///
    /// # Errors
    /// When a directory can't be listed.
    pub fn leaves(&self) -> Result<Vec<String>, Error> {
        let mut names = self.unified.children()?;
        for dir in self.v1.values() {
            names.extend(dir.children()?);
        }
        // No cell has another kind of name.
        let mut names: Vec<_> =
            names.into_iter().filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Kills whatever lives in the leaf, if there is one, and lets it die at full speed. Does not wait.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self, leaf: &str) -> Result<(), Error> {
        let Some(dir) = self.unified.find(leaf)? else {
            return Ok(());
        };
        dir.write("cgroup.kill", "1")?;
        // It may have had no quota, or its controller may not be there.
        let _ = match self.v1.get(&Controller::Cpu) {
            Some(parent) => parent.enter(leaf).and_then(|dir| dir.write("cpu.cfs_quota_us", "-1")),
            None => dir.write("cpu.max", "max"),
        };
        Ok(())
    }

    /// Kills whatever lives in the leaf and removes it from every hierarchy. A leaf that is
    /// missing in some or all is fine.
    ///
    /// # Errors
    /// When processes survive or a directory stays; the others are removed all the same.
    pub fn remove(&self, leaf: &str) -> Result<(), Error> {
        self.remove_by(leaf, Instant::now() + leaf::PATIENCE)
    }

    /// The same, with patience until `deadline`.
    ///
    /// # Errors
    /// As for [`remove`](Parent::remove).
    pub fn remove_by(&self, leaf: &str, deadline: Instant) -> Result<(), Error> {
        // Mostly its processes have ended, and the kernel removes no directory in which one lives.
        if self.everywhere().all(|parent| parent.remove(leaf).is_ok()) {
            return Ok(());
        }
        let killed = match self.unified.find(leaf) {
            Ok(Some(dir)) => leaf::kill_and_wait(&dir, deadline),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let mut outcome = Ok(());
        for parent in self.everywhere() {
            let removed = leaf::remove_dir(parent, leaf, deadline);
            outcome = outcome.and(removed);
        }
        // What is gone needs no killing, whatever kept it from being killed.
        outcome.map_err(|error| killed.err().unwrap_or(error))
    }

    /// The v2 directory comes last: as long as a leaf is there, its removal can be tried again.
    fn everywhere(&self) -> impl Iterator<Item = &Dir> {
        self.v1.values().chain([&self.unified])
    }

    /// Removes the parent itself where no cell is in it. Others that have it open can't make cells
    /// after that: the caller knows that there are none.
    ///
    /// # Errors
    /// When a directory without cells can't be removed.
    pub fn dissolve(&self) -> Result<(), Error> {
        for dir in self.everywhere() {
            match fault::at(Point::ParentRemoval, || rustix::fs::rmdir(dir.path())) {
                Ok(()) | Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => {}
                Err(errno) => return Err(Error::io("remove", dir.path(), errno.into())),
            }
        }
        Ok(())
    }
}

/// Makes a leaf below its parents and writes its limits.
fn join(
    parents: &BTreeMap<Controller, Dir>,
    joined: &[Controller],
    name: &str,
    settings: &[Setting],
    mut enforced: Vec<Enforced>,
) -> Result<Part, Error> {
    let mut controllers: BTreeMap<Controller, Dir> = BTreeMap::new();
    for (controller, parent) in parents.iter().filter(|(controller, _)| joined.contains(controller))
    {
        // Two controllers may be mounted together: then their leaf is one.
        let made = controllers.values().any(|dir| dir.path().parent() == Some(parent.path()));
        let dir = if made { parent.enter(name)? } else { parent.make(name)? };
        controllers.insert(*controller, dir);
    }
    enforced.extend(write(settings, |controller| controllers.get(&controller))?);
    Ok(Part { controllers, enforced, ..Part::default() })
}

/// Writes limits, each into the directory that its controller has.
fn write<'a>(
    settings: &[Setting],
    dir: impl Fn(Controller) -> Option<&'a Dir>,
) -> Result<Vec<Enforced>, Error> {
    let mut enforced = Vec::with_capacity(settings.len());
    for setting in settings {
        let dir = dir(setting.controller).ok_or_else(|| Error::NoController {
            controller: setting.controller.v2_name(),
            file: setting.file.into(),
            value: setting.value.clone(),
            why: "none of the cell's".to_owned(),
        })?;
        match dir.write(setting.file, &setting.value) {
            Err(_) if setting.about_swap && !dir.has(setting.file) && !host_has_swap() => {}
            written => {
                written?;
                enforced.push(Enforced { file: setting.file.into(), value: setting.value.clone() });
            }
        }
    }
    Ok(enforced)
}

/// Whether any swap area is in use: without one, a missing swap limit limits nothing.
pub(super) fn host_has_swap() -> bool {
    std::fs::read_to_string("/proc/swaps").map_or(true, |text| text.lines().nth(1).is_some())
}
