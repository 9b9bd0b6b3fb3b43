//! `linux.namespaces`: which are the cell's own, which are another's, and which are the host's.

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::super::joined::entered_by_init;
use super::super::plan::{Given, Joined};
use super::super::{Error, Step};
use crate::bundle::annotation;
use crate::init::wire::CRADLE_FD;
use crate::sys::abi::*;

/// What a specification says of namespaces.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Namespaces {
    /// `CLONE_NEW*` of those that are made.
    pub(super) new: u64,
    /// Those that are joined.
    pub(super) joined: Vec<Joined>,
}

/// How a cell gets a proc file system of a PID namespace that it joins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Proc {
    /// It gets none.
    None,
    /// Its init has the cradle at hand for that alone.
    Apart,
    /// Its init builds on the cradle, later.
    OnCradle,
}

impl Proc {
    /// What the specification's mounts say.
    pub(super) fn of(spec: &Spec, namespaces: &Namespaces, apart: bool) -> Result<Proc, Error> {
        let mounts = spec.mounts().as_deref().unwrap_or_default();
        let count = mounts.iter().filter(|mount| mount.typ().as_deref() == Some("proc")).count();
        match (namespaces.joins(CLONE_NEWPID), count) {
            (false, _) | (_, 0) => Ok(Proc::None),
            (true, 1) if apart => Ok(Proc::Apart),
            (true, 1) => Ok(Proc::OnCradle),
            (true, _) => {
                let field = "mounts: more than one of type proc".to_owned();
                let detail = " beside a pid namespace with a path to join".to_owned();
                Err(Error::Unsupported { field, detail })
            }
        }
    }
}

impl Namespaces {
    /// Reads them, and refuses what a cell can't have.
    pub(super) fn of(spec: &Spec) -> Result<Namespaces, Error> {
        let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref());
        let mut found = Namespaces::default();
        for namespace in listed.unwrap_or_default() {
            let kind = namespace.typ();
            let (flag, name) = known(kind);
            let field = || format!("linux.namespaces: {name}");
            if found.has(flag) {
                return Err(Error::Invalid { field: field(), why: "is there twice".to_owned() });
            }
            let path = namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty());
            match (kind, path) {
                (LinuxNamespaceType::Mount, Some(_)) => {
                    let detail = " with a path to join".to_owned();
                    return Err(Error::Unsupported { field: field(), detail });
                }
                (_, Some(path)) if !path.is_absolute() => {
                    let why = format!("{} is not an absolute path", path.display());
                    return Err(Error::Invalid { field: field(), why });
                }
                (_, Some(path)) => {
                    found.joined.push(Joined { flag, name, path: path.clone() });
                }
                (_, None) => found.new |= flag,
            }
        }
        if found.new & CLONE_NEWNS == 0 {
            // A cell's mounts die with its mount namespace.
            let field = "linux.namespaces".to_owned();
            return Err(Error::Invalid { field, why: "a mount namespace is required".to_owned() });
        }
        Ok(found)
    }

    /// Whether it is not the host's.
    pub(super) fn has(&self, flag: u64) -> bool {
        self.new & flag != 0 || self.joins(flag)
    }

    /// Whether it is another's.
    pub(super) fn joins(&self, flag: u64) -> bool {
        self.joined.iter().any(|joined| joined.flag == flag)
    }

    /// The steps for those that the init enters by itself, once it is in its cgroup: with the rights
    /// that it starts with, so the user namespace, in which it has others, comes last.
    pub(super) fn enter(&self, given: &mut Vec<Given>, proc: Proc) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        let mut entered: Vec<&Joined> = self.joined.iter().collect();
        entered.retain(|joined| entered_by_init(joined.flag));
        entered.sort_by_key(|joined| joined.flag == CLONE_NEWUSER);
        for Joined { flag, name, .. } in entered {
            if self.new & CLONE_NEWUSER != 0 {
                let field = format!("linux.namespaces: {name} with a path to join");
                let detail = " beside a user namespace of the cell's own".to_owned();
                return Err(Error::Unsupported { field, detail });
            }
            let descriptor = Given::Namespace(*flag).to(given);
            if *flag == CLONE_NEWPID && proc != Proc::None {
                let keep = proc == Proc::OnCradle;
                steps.push(Step::BeginProc { descriptor, mounts: CRADLE_FD, keep });
            }
            steps.push(Step::EnterNamespace { name, flag: *flag, descriptor });
        }
        Ok(steps)
    }

    /// The steps for those that the init makes inside a user namespace that it has entered.
    pub(super) fn make_inside(&self) -> Vec<Step> {
        if !self.joins(CLONE_NEWUSER) {
            return Vec::new();
        }
        let made = self.new & !(CLONE_NEWCGROUP | CLONE_NEWTIME);
        let birth = (made & CLONE_NEWPID != 0).then_some(Step::Birth);
        [Step::Unshare(made)].into_iter().chain(birth).collect()
    }

    /// The step for a new time namespace with its offsets.
    pub(super) fn time(&self, spec: &Spec) -> Result<Option<Step>, Error> {
        let field = || "linux.timeOffsets".to_owned();
        let linux = spec.linux().as_ref();
        let offsets = linux.and_then(|linux| linux.time_offsets().as_ref());
        if self.new & CLONE_NEWTIME == 0 {
            return match offsets.is_some_and(|offsets| !offsets.is_empty()) {
                true => {
                    let why = "need a time namespace of the cell's own".to_owned();
                    Err(Error::Invalid { field: field(), why })
                }
                false => Ok(None),
            };
        }
        let mut text = String::new();
        for (clock, offset) in offsets.into_iter().flatten() {
            if clock != "monotonic" && clock != "boottime" {
                let why = format!("{clock:?} is no clock that can be offset");
                return Err(Error::Invalid { field: field(), why });
            }
            let (secs, nanos) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
            text.push_str(&format!("{clock} {secs} {nanos}\n"));
        }
        Ok(Some(Step::TimeNamespace(text)))
    }

    /// Refuses an init that stays where it would not be the first process of a PID namespace, to which
    /// orphans go and with which all others end.
    pub(super) fn refuse_init(&self) -> Result<(), Error> {
        match self.new & CLONE_NEWPID {
            0 => {
                let field = format!("annotation {}", annotation::INIT);
                let why = "an init needs a pid namespace of the cell's own".to_owned();
                Err(Error::Invalid { field, why })
            }
            _ => Ok(()),
        }
    }
}

/// The kernel's flag for a kind, and the specification's name.
fn known(kind: LinuxNamespaceType) -> (u64, &'static str) {
    match kind {
        LinuxNamespaceType::Mount => (CLONE_NEWNS, "mount"),
        LinuxNamespaceType::Pid => (CLONE_NEWPID, "pid"),
        LinuxNamespaceType::Ipc => (CLONE_NEWIPC, "ipc"),
        LinuxNamespaceType::Uts => (CLONE_NEWUTS, "uts"),
        LinuxNamespaceType::Network => (CLONE_NEWNET, "network"),
        LinuxNamespaceType::Cgroup => (CLONE_NEWCGROUP, "cgroup"),
        LinuxNamespaceType::User => (CLONE_NEWUSER, "user"),
        LinuxNamespaceType::Time => (CLONE_NEWTIME, "time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(listed: &str) -> Result<Namespaces, Error> {
        let json = format!(r#"{{"ociVersion": "1.0.2", "linux": {{"namespaces": [{listed}]}}}}"#);
        Namespaces::of(&serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn some_are_made_and_some_are_joined() {
        let found = of(r#"{"type": "mount"}, {"type": "pid", "path": "/proc/7/ns/pid"},
            {"type": "uts", "path": ""}"#);
        let found = found.unwrap();
        assert_eq!(found.new, CLONE_NEWNS | CLONE_NEWUTS);
        let pid = (CLONE_NEWPID, "pid", "/proc/7/ns/pid".into());
        let joined = found.joined.iter().map(|j| (j.flag, j.name, j.path.clone()));
        assert_eq!(joined.collect::<Vec<_>>(), [pid]);
        assert!(
            found.has(CLONE_NEWPID) && found.refuse_init().is_err() && !found.has(CLONE_NEWNET)
        );
    }

    #[test]
    fn what_a_cell_cannot_have_is_refused_by_name() {
        for (listed, refusal) in [
            ("", "linux.namespaces: a mount namespace is required"),
            (r#"{"type": "pid"}"#, "linux.namespaces: a mount namespace is required"),
            (r#"{"type": "mount", "path": "/x"}"#, "mount is not supported with a path to join"),
            (r#"{"type": "network", "path": "x"}"#, "network: x is not an absolute path"),
            (r#"{"type": "ipc"}, {"type": "ipc", "path": "/x"}"#, "ipc: is there twice"),
        ] {
            let error = of(listed).unwrap_err().to_string();
            assert!(error.ends_with(refusal), "{error}");
        }
    }
}
