//! All of `linux.resources` in force on a container's cgroup, at its birth and while it lives, on
//! either kind of host.
//!
//! A field that is absent or zero asks for nothing; -1 takes a limit away. What can't be enforced is
//! an error, with these exceptions, in which runc on the same host goes on and engines count on it:
//!
//! * `memory.kernel` and `memory.kernelTCP` are ignored: kernels dropped them (the first in 5.16, when
//!   its limit had become one that broke programs), and engines send them still.
//! * `memory.useHierarchy` is ignored: every kernel today counts what is below.
//! * `memory.swappiness` and `memory.disableOOMKiller` are ignored where memory is v2, which has no
//!   such switches; neither limits anything.
//! * `memory.swap` is ignored where the kernel doesn't count swap, if it asks for none or for no
//!   limit, or if the host has no swap at all.
//! * `cpu.burst` is ignored where the kernel has none (before 5.14): without it less is allowed.
//! * `devices` is ignored by an update: a container's list is settled at its birth.

mod cpu;
mod io;
mod memory;
mod others;

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::Path;

use oci_spec::runtime::LinuxResources;
use rustix::io::Errno;

use super::files::Dir;
use super::leaf::Enforced;
use super::members::is;
use super::{Cgroup, Error};

impl Cgroup {
    /// Changes the limits of a container; tells what was written. What `resources` leaves out, or
    /// gives as zero, stays.
    ///
    /// # Errors
    /// As for [`create_at`](Cgroup::create_at), but for devices, which stay as they are. What was
    /// written before the failure stays written.
    pub fn update(&self, resources: &LinuxResources) -> Result<Vec<Enforced>, Error> {
        check(resources)?;
        apply(self, resources)
    }

    /// What a file of the v2 directory says.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn value(&self, file: &str) -> Result<String, Error> {
        self.unified.read(file)
    }

    /// Writes limits into the v2 directory that have been written there before.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn write_again(&self, limits: &[Enforced]) -> Result<(), Error> {
        limits.iter().try_for_each(|limit| self.unified.write(&limit.file, &limit.value))
    }
}

/// Refuses what no host of hotcell's can do, before anything is made.
pub(super) fn check(resources: &LinuxResources) -> Result<(), Error> {
    if resources.rdma().as_ref().is_some_and(|devices| !devices.is_empty()) {
        return Err(Error::Unsupported { field: "rdma" });
    }
    others::check_unified(resources)
}

/// Writes everything that is asked for; tells what was written.
pub(super) fn apply(cgroup: &Cgroup, resources: &LinuxResources) -> Result<Vec<Enforced>, Error> {
    let target = Target { cgroup, written: RefCell::default() };
    if let Some(memory) = resources.memory() {
        memory::apply(&target, memory)?;
    }
    if let Some(cpu) = resources.cpu() {
        cpu::apply(&target, cpu)?;
    }
    if let Some(pids) = resources.pids() {
        others::pids(&target, pids.limit())?;
    }
    if let Some(io) = resources.block_io() {
        io::apply(&target, io)?;
    }
    others::hugepages(&target, resources.hugepage_limits().as_deref().unwrap_or_default())?;
    if let Some(network) = resources.network() {
        others::network(&target, network)?;
    }
    if let Some(unified) = resources.unified() {
        others::unified(&target, unified)?;
    }
    Ok(target.written.into_inner())
}

/// The cgroup that is written to.
struct Target<'a> {
    cgroup: &'a Cgroup,
    written: RefCell<Vec<Enforced>>,
}

/// Which kind of tree has a controller, and the cgroup's directory there.
#[derive(Clone, Copy, Debug)]
enum Tree<'a> {
    V1(&'a Dir),
    V2(&'a Dir),
}

impl<'a> Tree<'a> {
    fn dir(self) -> &'a Dir {
        let (Tree::V1(dir) | Tree::V2(dir)) = self;
        dir
    }
}

/// One field of the specification and the value that it was given.
#[derive(Clone, Copy, Debug)]
struct Wish<'a> {
    field: &'static str,
    value: &'a str,
}

impl<'a> Target<'a> {
    /// Where a controller is: mounted as v1, or else in the v2 tree. `v1` and `v2` are its names
    /// there; a controller that v2 does not have has none.
    fn tree(
        &self,
        v1: &'static str,
        v2: Option<&'static str>,
        wish: Wish<'_>,
    ) -> Result<Tree<'a>, Error> {
        if let Some(dir) = self.cgroup.v1(v1) {
            return Ok(Tree::V1(dir));
        }
        let unified = &self.cgroup.unified;
        let why = match v2 {
            None => "not mounted as a v1 hierarchy, and cgroup v2 has nothing like it".to_owned(),
            Some(name) => match self.reach(name) {
                Ok(()) => return Ok(Tree::V2(unified)),
                Err(why) => why,
            },
        };
        Err(Error::NoController {
            controller: v1,
            file: format!("linux.resources.{}", wish.field).into(),
            value: wish.value.to_owned(),
            why,
        })
    }

    /// Makes sure that the v2 directory has a controller; the error says why it has not.
    fn reach(&self, controller: &str) -> Result<(), String> {
        let unified = &self.cgroup.unified;
        let has = || {
            let text = unified.read("cgroup.controllers").unwrap_or_default();
            text.split_whitespace().any(|name| name == controller)
        };
        if has() {
            return Ok(());
        }
        let refused = hand_down_to(unified.path(), Some(controller));
        match (has(), refused) {
            (true, _) => Ok(()),
            (false, Some(error)) => Err(format!(
                "neither mounted as a v1 hierarchy nor handed down to {}: {error}",
                unified.path().display()
            )),
            (false, None) => Err(format!(
                "neither mounted as a v1 hierarchy nor offered by the cgroup v2 tree above {}",
                unified.path().display()
            )),
        }
    }

    fn write(
        &self,
        dir: &Dir,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
    ) -> Result<(), Error> {
        let (file, value) = (file.into(), value.to_string());
        dir.write(&file, &value)?;
        self.note(file, value);
        Ok(())
    }

    /// The same for a file that some kernels don't have: `false` if it is missing.
    fn write_if_there(
        &self,
        dir: &Dir,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
    ) -> Result<bool, Error> {
        let file = file.into();
        match dir.has(&file) {
            true => self.write(dir, file, value).map(|()| true),
            false => Ok(false),
        }
    }

    fn note(&self, file: Cow<'static, str>, value: String) {
        self.written.borrow_mut().push(Enforced { file, value });
    }
}

fn refused(field: &'static str, value: impl ToString, why: impl Into<String>) -> Error {
    Error::Refused { field: field.into(), value: value.to_string(), why: why.into() }
}

/// Whether the kernel found the value wrong as things stand.
fn is_invalid(result: &Result<(), Error>) -> bool {
    matches!(result, Err(Error::Io { source, .. }) if is(source, Errno::INVAL))
}

/// Hands v2 controllers down to a cgroup, from the top of what this process sees: the one asked for,
/// or all that are offered there. What is refused is missed only by the limits that need it, so it
/// is not an error here; the first refusal is told.
///
/// The one asked for is handed down also where that has been done: who has begun it may not have ended,
/// and is waited for so.
pub(super) fn hand_down_to(cgroup: &Path, wanted: Option<&str>) -> Option<Error> {
    const FILE: &str = "cgroup.subtree_control";
    let above = cgroup.ancestors().skip(1);
    let mut above: Vec<&Path> = above.take_while(|path| path.join(FILE).exists()).collect();
    above.reverse();
    let mut refusal = None;
    for path in above {
        let step = Dir::open(path).and_then(|dir| {
            let (offered, enabled) = (dir.read("cgroup.controllers")?, dir.read(FILE)?);
            let has = |text: &str, name: &str| text.split_whitespace().any(|word| word == name);
            let missing = offered.split_whitespace().filter(|name| match wanted {
                Some(wanted) => wanted == *name,
                None => !has(&enabled, name),
            });
            let missing: Vec<_> = missing.map(|name| format!("+{name}")).collect();
            if missing.is_empty()
                || missing.len() > 1 && dir.write(FILE, &missing.join(" ")).is_ok()
            {
                return Ok(());
            }
            // One that can't be had must not keep the others away.
            let refused = missing.iter().filter_map(|name| dir.write(FILE, name).err());
            // All are tried before the first refusal is told.
            refused.collect::<Vec<_>>().into_iter().next().map_or(Ok(()), Err)
        });
        if let Err(error) = step {
            refusal.get_or_insert(error);
        }
    }
    refusal
}

#[cfg(test)]
mod tests;
