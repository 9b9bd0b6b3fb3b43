//! The five capability sets of a process: in the kernel's bits, and within what this host and this
//! process can give.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::OnceLock;

use oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec};
use rustix::thread::{CapabilitySet, capabilities, capability_is_in_bounding_set};

use super::super::{Error, Plan, Step};
use super::annotated;
use crate::bundle::{CapabilityName, annotation};
use crate::sys::abi::CLONE_NEWUSER;

/// The sets as bits. What the specification leaves out is empty.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Sets {
    bounding: u64,
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
}

impl Sets {
    /// The sets of the specification's process, each capability in them one that the kernel knows.
    pub(super) fn of(spec: &Spec) -> Result<Sets, Error> {
        let process = spec.process().as_ref();
        let Some(given) = process.and_then(|process| process.capabilities().as_ref()) else {
            return Ok(Sets::default());
        };
        let set = |which: fn(&LinuxCapabilities) -> &Option<HashSet<Capability>>| {
            which(given).as_ref().map_or(Ok(0), bits)
        };
        let mut sets = Sets {
            bounding: set(LinuxCapabilities::bounding)?,
            effective: set(LinuxCapabilities::effective)?,
            permitted: set(LinuxCapabilities::permitted)?,
            inheritable: set(LinuxCapabilities::inheritable)?,
            ambient: set(LinuxCapabilities::ambient)?,
        };
        sets.ambient = sets.possible_ambient();
        sets.check(last_capability())?;
        // The command loses them with its execution; an init that stays would not.
        sets.permitted &= sets.bounding;
        sets.effective &= sets.bounding;
        Ok(sets)
    }

    /// The kernel has no ambient capability that is not permitted and inheritable. Other runtimes'
    /// own templates ask for some, and nothing comes of it there either.
    fn possible_ambient(self) -> u64 {
        self.ambient & self.permitted & self.inheritable
    }

    fn all(self) -> u64 {
        self.bounding | self.effective | self.permitted | self.inheritable
    }

    /// What the kernel refuses, whoever asks.
    fn check(self, last: u32) -> Result<(), Error> {
        let rules: [(u64, u64, &'static str); 3] = [
            (self.all(), u64::MAX >> (63 - last.min(63)), "is unknown to this kernel"),
            (self.effective, self.permitted, "is to be effective, and is not permitted"),
            (
                self.inheritable,
                self.bounding,
                "is to be inheritable, and is not in the bounding set",
            ),
        ];
        for (asked, possible, why) in rules {
            if asked & !possible != 0 {
                return Err(refuse((asked & !possible).trailing_zeros(), why));
            }
        }
        Ok(())
    }

    /// Keeps `more` until the command is executed, which ends it; says what of it is not the
    /// command's anyway.
    pub(super) fn borrow(&mut self, more: u64) -> u64 {
        let borrowed = more & !self.permitted;
        self.permitted |= more;
        self.effective |= more;
        borrowed
    }

    /// The steps that set them, in order; those about the user come between.
    pub(super) fn bound(self) -> Step {
        Step::Bounding { keep: self.bounding, last: last_capability() }
    }

    /// Effective, permitted and inheritable, then ambient.
    pub(super) fn set(self) -> [Step; 2] {
        let Sets { effective, permitted, inheritable, ambient, .. } = self;
        [Step::Capabilities { effective, permitted, inheritable }, Step::Ambient(ambient)]
    }
}

/// Refuses an init that its task could take over: the init is no part of the task's filter, and has
/// more capabilities than it. A task with `CAP_SYS_ADMIN` has nothing to gain from that.
pub(super) fn keep_from_init(spec: &Spec) -> Result<(), Error> {
    match may_trace(spec) {
        true => Err(Error::Capability {
            capability: "CAP_SYS_PTRACE".to_owned(),
            why: "reaches for an init that stays; start the task without one",
        }),
        false => Ok(()),
    }
}

/// Whether the process can reach into others for a right that it does not have.
pub(super) fn may_trace(spec: &Spec) -> bool {
    has_ptrace(spec) && !is_bounded_by(spec, Capability::SysAdmin)
}

/// Whether the process can reach into others at all.
pub(super) fn has_ptrace(spec: &Spec) -> bool {
    is_bounded_by(spec, Capability::SysPtrace)
}

/// What gets more of a directory that is mounted than the mount shows: a read-only mount of the own
/// namespace can be made writable, one that covers another be removed, and whatever lies on the same
/// file system be opened by its handle.
const BEHIND_MOUNTS: [Capability; 2] = [Capability::SysAdmin, Capability::DacReadSearch];

/// Whether the process can get behind mounts.
pub(super) fn may_get_behind_mounts(spec: &Spec) -> bool {
    BEHIND_MOUNTS.iter().any(|one| is_bounded_by(spec, *one))
}

/// Refuses a process that could get behind the mounts of a shared root which was not built for that.
pub(in super::super) fn keep_from_shared_root(cell: &Spec, process: &Process) -> Result<(), Error> {
    let has = |one: &Capability| is_in_bounding(process.capabilities().as_ref(), *one);
    let more = BEHIND_MOUNTS.into_iter().find(|one| has(one) && !is_bounded_by(cell, *one));
    match more.filter(|_| annotated(cell, annotation::ROOTFS).is_some()) {
        Some(one) => {
            let why = "reaches behind the mounts of a cell made without it, whose root is shared";
            Err(Error::Capability { capability: format!("CAP_{one}"), why })
        }
        None => Ok(()),
    }
}

fn is_bounded_by(spec: &Spec, capability: Capability) -> bool {
    let process = spec.process().as_ref();
    is_in_bounding(process.and_then(|process| process.capabilities().as_ref()), capability)
}

fn is_in_bounding(sets: Option<&LinuxCapabilities>, capability: Capability) -> bool {
    let bounding = sets.and_then(|sets| sets.bounding().as_ref());
    bounding.is_some_and(|set| set.contains(&capability))
}

/// Refuses the first capability in the plan that this thread does not hold: nobody gives what he has
/// not. In a user namespace of its own a cell has all of them, over what belongs to that namespace.
pub(in super::super) fn check_held(plan: &Plan, namespaces: u64) -> Result<(), Error> {
    if namespaces & CLONE_NEWUSER != 0 || plan.joins(CLONE_NEWUSER) {
        return Ok(());
    }
    let asked = plan.steps.iter().fold(0, |asked, step| match step {
        Step::Bounding { keep, .. } => asked | keep,
        Step::Capabilities { effective, permitted, inheritable } => {
            asked | effective | permitted | inheritable
        }
        _ => asked,
    });
    let permitted = capabilities(None).map_err(|errno| Error::system("capget", errno))?.permitted;
    let lacks = |at: &u32| {
        let one = 1 << at;
        asked & one != 0 && (permitted.bits() & one == 0 || !in_bounding_set(*at))
    };
    match (0..64).find(lacks) {
        Some(at) => Err(refuse(at, "is not held by the process that starts the cell")),
        None => Ok(()),
    }
}

/// All capabilities that this thread can hand to a cell: those it is permitted, and has in its
/// bounding set.
#[must_use]
pub fn held_capabilities() -> Vec<Capability> {
    let permitted = capabilities(None).map_or(0, |sets| sets.permitted.bits());
    let held =
        (0..=last_capability()).filter(|at| permitted >> at & 1 == 1 && in_bounding_set(*at));
    let name = |at| caps::all().into_iter().find(|one| u32::from(one.index()) == at);
    let known = |one: caps::Capability| one.to_string().parse::<CapabilityName>().ok();
    held.filter_map(name)
        .filter_map(known)
        .filter_map(|name| match name {
            CapabilityName::One(capability) => Some(capability),
            CapabilityName::All => None,
        })
        .collect()
}

fn in_bounding_set(at: u32) -> bool {
    let one = CapabilitySet::from_bits_retain(1 << at);
    // A number that the kernel does not know is in no set.
    capability_is_in_bounding_set(one).unwrap_or(false)
}

fn refuse(at: u32, why: &'static str) -> Error {
    let known = caps::all().into_iter().find(|known| u32::from(known.index()) == at);
    let capability = known.map_or_else(|| at.to_string(), |known| known.to_string());
    Error::Capability { capability, why }
}

/// A set of capabilities as the kernel's bits.
fn bits(set: &HashSet<Capability>) -> Result<u64, Error> {
    set.iter().try_fold(0, |bits, capability| {
        let unknown = || Error::Unsupported {
            field: format!("capability {capability}"),
            detail: String::new(),
        };
        Ok(bits | bit(*capability).ok_or_else(unknown)?)
    })
}

/// The kernel's bit of a capability. Names are compared once for each: a start asks seventy times.
fn bit(capability: Capability) -> Option<u64> {
    static BITS: [OnceLock<Option<u64>>; 64] = [const { OnceLock::new() }; 64];
    let look_up = || {
        let name = caps::to_canonical(&capability.to_string());
        caps::Capability::from_str(&name).ok().map(|known| known.bitmask())
    };
    *BITS.get(capability as usize)?.get_or_init(look_up)
}

/// The highest capability this kernel knows.
fn last_capability() -> u32 {
    static LAST: OnceLock<u32> = OnceLock::new();
    *LAST.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap");
        // 40 is CAP_CHECKPOINT_RESTORE, the last one since 5.9, which is older than our floor.
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(40)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{CAPABILITIES, CellConfig, spec};

    fn with(change: impl Fn(&mut LinuxCapabilities)) -> Result<Sets, Error> {
        let mut spec = spec(&CellConfig::new("/srv", ["true"])).unwrap();
        let process = spec.process_mut().as_mut().unwrap();
        let mut sets = process.capabilities().clone().unwrap();
        change(&mut sets);
        process.set_capabilities(Some(sets));
        Sets::of(&spec)
    }

    #[test]
    fn dockers_set_is_the_well_known_number() {
        assert_eq!(bits(&CAPABILITIES.into()).unwrap(), 0xa804_25fb);
    }

    #[test]
    fn a_set_the_kernel_would_refuse_is_named_first() {
        let net = || Some(HashSet::from([Capability::NetAdmin]));
        let error = with(|sets| {
            sets.set_effective(net());
        })
        .unwrap_err()
        .to_string();
        assert_eq!(error, "capability CAP_NET_ADMIN is to be effective, and is not permitted");
        let error = with(|sets| {
            sets.set_inheritable(net());
        })
        .unwrap_err()
        .to_string();
        assert!(error.contains("CAP_NET_ADMIN is to be inheritable"), "{error}");
        let sets = Sets { bounding: 1 << 40, ..Sets::default() };
        let error = sets.check(39).unwrap_err().to_string();
        assert_eq!(error, "capability CAP_CHECKPOINT_RESTORE is unknown to this kernel");
        assert!(sets.check(40).is_ok() && sets.check(63).is_ok());
    }

    #[test]
    fn what_nobody_holds_cannot_be_given_but_in_a_user_namespace() {
        let bounding = Step::Bounding { keep: 1 << 63, last: 40 };
        let plan = Plan { steps: vec![bounding], ..Plan::default() };
        let error = check_held(&plan, 0).unwrap_err().to_string();
        assert_eq!(error, "capability 63 is not held by the process that starts the cell");
        assert!(check_held(&plan, CLONE_NEWUSER).is_ok());
        assert!(check_held(&Plan::default(), 0).is_ok());
    }

    #[test]
    fn what_is_not_inheritable_is_not_ambient() {
        let sets = Sets { permitted: 0b110, inheritable: 0b011, ambient: 0b111, ..Sets::default() };
        assert_eq!(sets.possible_ambient(), 0b010);
    }
}
