//! Specification to plan: everything the init will do, decided before there is a child.
//!
//! The order is the launch's: join the cgroup, build the file system, name things, pivot, give up
//! privilege. What a specification asks for and hotcell doesn't do is refused by name.

mod capabilities;
mod devices;
mod ending;
mod enter;
mod layers;
mod mounts;
mod namespaces;
mod own_ids;
mod paths;
mod process;
mod rootfs;
mod standing;
mod sysctl;
mod terminal;
mod unsupported;

pub use capabilities::held_capabilities;
pub(super) use capabilities::{check_held, keep_from_shared_root};
pub(super) use enter::{Entry, enter, may_trace_at_all, traces};
#[cfg(feature = "cli")]
pub(crate) use own_ids::may_mount;
#[cfg(feature = "cli")]
pub(crate) use rootfs::tmpfs_keeps_attributes;

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use self::ending::{ending, refuse_hooks_inside};
use self::namespaces::{Namespaces, Proc};
use self::paths::{clean, target};
use super::inside::{self, InsidePoint};
use super::plan::Given;
use super::{Error, Latch, Plan, Step, Tasks, hooks};
use crate::bundle::{Bundle, annotation};
use crate::cgroup::View;
use crate::init::wire::MOST_TREES;
use crate::sys::abi::*;

/// What the plan needs to know about this host and this cell, besides the bundle.
#[derive(Default, Debug)]
pub struct Place {
    /// A host directory of the cell's own on a disk, for [`annotation::COPY_ON_WRITE_DISK`]; it
    /// holds empty `upper`, `work` and `root`.
    pub disk: Option<PathBuf>,
    /// The v1 hierarchies whose cgroups the child joins by itself, by their controllers.
    pub joins: Vec<Cow<'static, str>>,
    /// What it sees of them.
    pub views: Vec<View>,
    /// Those cgroups are still to be made: the child waits for them when it needs them. For [`launch`] to
    /// say.
    ///
    /// [`launch`]: super::launch
    pub later: bool,
    /// Which standard streams are the null device.
    pub null_streams: [bool; 3],
    /// Where the task waits for its start; without one it is executed at once.
    pub latch: Option<Latch>,
    /// A connected unix socket, through which the master of the task's terminal goes to whoever will
    /// show it. For a `process.terminal`.
    pub console: Option<OwnedFd>,
    /// The cell's name for its hooks, from who runs those for `poststart` and `poststop`. Without one
    /// there are no hooks.
    pub id: Option<String>,
    /// How many descriptors of this process, from 3 on, the task gets under the same numbers. Only
    /// what this program was executed with counts.
    pub preserved: u32,
    /// Whether what is mounted in a bind mount that is `shared` or `rshared` reaches the host, as with
    /// other runtimes; else the host's reaches the cell alone. Never from a user namespace.
    pub peers: bool,
    /// This process starts no other cell: what pays with the second is not made.
    pub only: bool,
}

/// What the init does for a bundle, and the namespaces (`CLONE_NEW*`) it is born in.
///
/// # Errors
/// [`Error::Unsupported`] or [`Error::Invalid`] with the field, [`Error::Missing`] with a path.
pub fn compile(bundle: &Bundle, place: &Place) -> Result<(Plan, u64), Error> {
    let spec = bundle.spec();
    unsupported::refuse(spec)?;
    if place.id.is_none() {
        unsupported::refuse_hooks(spec)?;
    }
    let before_root = inside::steps(spec, InsidePoint::CreateContainer)?;
    let paused = hooks::any_while_made(spec);
    let hooked = paused || !before_root.is_empty();
    let found = Namespaces::of(spec)?;
    refuse_hooks_inside(spec, &found, !before_root.is_empty())?;
    let namespaces = found.new;
    let own_ids = found.has(CLONE_NEWUSER);
    // Born with a copy of the host's mounts: an init with ids of its own may not enter the cradle,
    // hooks look for the root where it is, and for one cell a cradle costs more than the copy. Nothing
    // mounted here reaches the host.
    let apart = own_ids || hooked || place.only;
    let ids = match own_ids {
        // A namespace that is joined has them; they stand in the specification by now.
        true => Some(own_ids::maps(spec)?).filter(|_| !found.joins(CLONE_NEWUSER)),
        false => own_ids::refuse_maps(spec).map(|()| None)?,
    };
    let mut given = Vec::with_capacity(16);
    let (mut steps, join) = beginning(spec, place, &found, apart, &mut given)?;
    let root = rootfs::compile(bundle, place, own_ids, hooked, &mut steps)?;
    mounts::compile(bundle, place, join, &mut steps)?;
    match own_ids {
        true => own_ids::adapt(&mut steps, own_ids::may_mount(spec))?,
        false => own_ids::refuse_mapped(&steps)?,
    }
    if place.peers && !own_ids {
        mounts::let_out(&mut steps);
    }
    if namespaces & CLONE_NEWNET != 0 {
        steps.push(Step::Loopback);
    }
    // Before the pivot: in a user namespace a proc file system is given to those alone who see one whole.
    sysctl::compile(spec, &mut steps)?;
    let terminal = terminal::compile(spec, place, &mut given)?;
    let streams = if terminal.is_some() { [false; 3] } else { place.null_streams };
    // After all that is mounted and hidden, and before the root may become read-only.
    steps.extend(terminal);
    names(spec, &found, &mut steps)?;
    if paused {
        steps.push(Step::Pause);
    }
    inside::add(before_root, &mut given, &mut steps);
    // Hooks may still write to it.
    if root.read_only_at_last {
        steps.push(Step::RootAttributes(MOUNT_ATTR_RDONLY));
    }
    // Who may change mounts could get below a cover; and a namespace of its own lets nobody move
    // what came with it.
    let pivot = apart || own_ids::may_mount(spec);
    steps.push(if pivot { Step::Pivot } else { Step::Cover });
    // Private or a slave it is already; a shared root could not be pivoted to.
    steps.extend(root.propagation_at_last.map(Step::Propagation));
    for (number, null) in (0..).zip(streams) {
        if null {
            steps.push(Step::NullStream(number));
        }
    }
    let mut plan = process::compile(bundle, steps)?;
    if own_ids {
        standing::label_before(&mut plan.steps, |step| matches!(step, Step::Pivot | Step::Cover));
        if namespaces & CLONE_NEWPID == 0 {
            standing::keep_proc(&mut plan.steps);
        }
    }
    plan.stay = annotated(spec, annotation::INIT) == Some("true");
    ending(spec, place, &found, &mut given, &mut plan)?;
    plan.ids = ids;
    plan.given = given;
    limit_sent(&plan)?;
    if plan.stay {
        capabilities::keep_from_init(spec)?;
        found.refuse_init()?;
    }
    plan.joined = found.joined;
    let born = born_in(namespaces, own_ids, apart, &mut plan);
    Ok((plan, born))
}

/// The namespaces that the cell is born in; the others its init makes.
fn born_in(new: u64, own_ids: bool, apart: bool, plan: &mut Plan) -> u64 {
    if plan.joins(CLONE_NEWUSER) {
        // They are to belong to that one: the init makes them in there.
        return 0;
    }
    // The cgroup namespace is unshared by the init, from inside the cgroup.
    let mut born = new & !(CLONE_NEWCGROUP | CLONE_NEWTIME);
    if !own_ids {
        // It takes longest to make.
        plan.unshare = born & CLONE_NEWNET;
        born &= !CLONE_NEWNET;
    }
    if !apart {
        // Its mounts come from the cradle.
        born &= !CLONE_NEWNS;
    }
    born
}

/// What comes before the file system, and what comes when the cell's cgroups are needed.
fn beginning(
    spec: &Spec,
    place: &Place,
    namespaces: &Namespaces,
    apart: bool,
    given: &mut Vec<Given>,
) -> Result<(Vec<Step>, Vec<Step>), Error> {
    let mut steps = Vec::with_capacity(64);
    steps.push(process::oom_score(spec)?);
    let proc = Proc::of(spec, namespaces, apart)?;
    if !apart || proc != Proc::None {
        Given::Cradle.to(given);
    }
    let mut join = join(place, given);
    if !place.later {
        steps.append(&mut join);
    }
    steps.extend(namespaces.enter(given, proc)?);
    steps.extend(namespaces.time(spec)?);
    if namespaces.new & CLONE_NEWCGROUP != 0 {
        // Only now: the namespace's root is where the process is when it is made.
        if place.later { &mut join } else { &mut steps }.push(Step::UnshareCgroup);
    }
    steps.extend(namespaces.make_inside());
    if namespaces.has(CLONE_NEWUSER) {
        steps.push(Step::BecomeRoot);
    }
    steps.push(match apart {
        true => Step::Propagation((MS_SLAVE | MS_REC) as u64),
        false => Step::Cradle,
    });
    Ok((steps, join))
}

/// The steps into the cell's v1 cgroups.
fn join(place: &Place, given: &mut Vec<Given>) -> Vec<Step> {
    let wait = place.later.then_some(Step::Cgroups);
    let steps = place.joins.iter().map(|hierarchy| {
        let hierarchy = hierarchy.clone();
        let tasks = match place.later {
            true => Tasks::Sent,
            false => Tasks::Given(Given::Tasks(hierarchy.clone()).to(given)),
        };
        Step::JoinTasks { hierarchy, tasks }
    });
    wait.into_iter().chain(steps).collect()
}

/// The kinds of file systems that stand on no device.
const ON_NO_DEVICE: [&str; 7] = ["cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs", "tmpfs"];
/// Each mount takes memory of the kernel's for as long as it is there.
const FEW_MOUNTS: usize = 64;

/// Whether the file system may be built outside of the v1 cgroups. What that takes of memory is the
/// caller's then, for as long as the cell is there: some pages of the kernel's, unless there are many
/// mounts, or an image's files are copied. Which devices may be used is not said yet. And in namespaces
/// that it has entered the child may not have the rights to join any more.
pub(super) fn may_join_late(spec: &Spec) -> bool {
    let linux = spec.linux().as_ref();
    let mut namespaces =
        linux.and_then(|linux| linux.namespaces().as_deref()).into_iter().flatten();
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    namespaces.all(|one| one.path().is_none() && one.typ() != LinuxNamespaceType::User)
        && mounts.len() <= FEW_MOUNTS
        && mounts.iter().all(|mount| {
            let has = |word: &str| mount.options().iter().flatten().any(|option| option == word);
            let kind = mount.typ().as_deref().unwrap_or_default();
            let on_no_device = has("bind") || has("rbind") || ON_NO_DEVICE.contains(&kind);
            on_no_device && !has("tmpcopyup")
        })
}

/// The cell's names in its uts namespace.
fn names(spec: &Spec, namespaces: &Namespaces, steps: &mut Vec<Step>) -> Result<(), Error> {
    for (field, name, step) in [
        ("hostname", spec.hostname(), Step::Hostname as fn(String) -> Step),
        ("domainname", spec.domainname(), Step::Domainname),
    ] {
        let Some(name) = name.as_ref().filter(|name| !name.is_empty()) else {
            continue;
        };
        if !namespaces.has(CLONE_NEWUTS) {
            // It would be the host's.
            let why = "needs a uts namespace".to_owned();
            return Err(Error::Invalid { field: field.to_owned(), why });
        }
        steps.push(step(name.clone()));
    }
    Ok(())
}

/// The init has room for so many descriptors that are sent, and one message carries as many.
fn limit_sent(plan: &Plan) -> Result<(), Error> {
    let is_sent = |step: &&Step| matches!(step, Step::JoinTasks { tasks: Tasks::Sent, .. });
    let count = plan.trees().count() + plan.steps.iter().filter(is_sent).count();
    if count <= MOST_TREES {
        return Ok(());
    }
    let why = format!("{count} are the host's, and a cell takes {MOST_TREES} of them at most");
    Err(Error::Invalid { field: "mounts".to_owned(), why })
}

/// The value of one of hotcell's annotations.
fn annotated<'a>(spec: &'a Spec, key: &str) -> Option<&'a str> {
    spec.annotations().as_ref()?.get(key).map(String::as_str)
}

/// Whether the cell has a namespace of this kind that is not this process's own.
fn namespace_is_own(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    use std::os::unix::fs::MetadataExt;
    let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let Some(found) = listed.into_iter().flatten().find(|one| one.typ() == kind) else {
        return false;
    };
    let Some(path) = found.path() else { return true };
    let file = match kind {
        LinuxNamespaceType::Network => "net",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::User => "user",
        _ => return false,
    };
    let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
    let ours = identity(&Path::new("/proc/self/ns").join(file));
    // One that can't be looked at may be the host's.
    matches!((identity(path), ours), (Ok(theirs), Ok(ours)) if theirs != ours)
}

#[cfg(test)]
mod any_tests;
#[cfg(test)]
mod tests;
