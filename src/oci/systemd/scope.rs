//! A container's scope: its name and its slice, from the specification's `cgroupsPath`, and its start.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::super::id::Id;
use super::bus::Bus;
use super::message::{Argument, Property, Value};
use super::{Error, Placeholder, annotation, reset};

/// Where a container is that names no slice.
const SLICE: &str = "system.slice";
/// What the name of a scope begins with, if the container chooses none.
const PREFIX: &str = "hotcell";
/// Systemd takes no longer name of a unit.
const LONGEST: usize = 255;

/// A transient unit of systemd's for one container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in super::super) struct Scope {
    slice: String,
    unit: String,
}

impl Scope {
    /// The scope that a specification asks for.
    pub(in super::super) fn of(id: &Id, spec: &Spec) -> Result<Scope, Error> {
        let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
        let path = path.unwrap_or(Path::new("")).to_string_lossy();
        Scope::parse(&path, id.as_str())
    }

    fn parse(path: &str, id: &str) -> Result<Scope, Error> {
        let (slice, prefix, name) = match path.split(':').collect::<Vec<_>>()[..] {
            [""] => ("", PREFIX, id),
            [slice, prefix, name] if !name.is_empty() => (slice, prefix, name),
            _ => return Err(Error::Form { path: path.to_owned() }),
        };
        let slice = if slice.is_empty() { SLICE } else { slice };
        let wrong = |name: &str, why| Err(Error::Name { name: name.to_owned(), why });
        if name.ends_with(".slice") {
            return wrong(name, "a slice holds no processes");
        }
        if slices(slice).is_none() {
            return wrong(slice, "is no name of a slice");
        }
        let unit = match prefix {
            "" => format!("{name}.scope"),
            prefix => format!("{prefix}-{name}.scope"),
        };
        match is_unit(&unit) {
            true => Ok(Scope { slice: slice.to_owned(), unit }),
            false => wrong(&unit, "is no name of a unit"),
        }
    }

    /// The unit's name.
    pub(in super::super) fn unit(&self) -> &str {
        &self.unit
    }

    /// Its cgroup, below the root.
    pub(in super::super) fn path(&self) -> PathBuf {
        let slices = slices(&self.slice).unwrap_or_default();
        Path::new("/").join(slices).join(&self.unit)
    }

    /// Starts it. Until the placeholder is dropped the scope is there; if nothing else is in it then,
    /// it is gone.
    pub(in super::super) fn start(&self, id: &str, spec: &Spec) -> Result<Placeholder, Error> {
        let none = HashMap::new();
        let wanted = annotation::properties(spec.annotations().as_ref().unwrap_or(&none))?;
        let placeholder = Placeholder::start(&self.unit)?;
        let properties = self.properties(id, placeholder.pid(), wanted);
        let arguments = [
            Argument::Text(&self.unit),
            Argument::Text("replace"),
            Argument::Properties(&properties),
            Argument::NoMoreUnits,
        ];
        let mut bus = Bus::connect()?;
        let mut started = bus.run("StartTransientUnit", &arguments);
        // It may be a container's of that name that failed, and is not there any more.
        if started.as_ref().is_err_and(|error| error.is("UnitExists")) {
            reset(&mut bus, &self.unit)?;
            started = bus.run("StartTransientUnit", &arguments);
        }
        match started?.as_str() {
            "done" => self.check(&placeholder).map(|()| placeholder),
            result => Err(Error::Job { unit: self.unit.clone(), result: result.to_owned() }),
        }
    }

    fn properties(&self, id: &str, pid: u32, wanted: Vec<Property>) -> Vec<Property> {
        let mut properties = vec![
            ("Description", Value::Text(format!("hotcell container {id}"))),
            ("Slice", Value::Text(self.slice.clone())),
            ("PIDs", Value::Numbers(vec![pid])),
            // What is below is ours: systemd keeps out of it, and gives it every controller.
            ("Delegate", Value::Bool(true)),
            ("DefaultDependencies", Value::Bool(false)),
            ("CPUAccounting", Value::Bool(true)),
            ("IOAccounting", Value::Bool(true)),
            ("MemoryAccounting", Value::Bool(true)),
            ("TasksAccounting", Value::Bool(true)),
        ];
        properties.retain(|(name, _)| wanted.iter().all(|(other, _)| other != name));
        let own = properties.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(wanted).collect()
    }

    /// Makes sure that systemd's tree is the one seen here.
    fn check(&self, placeholder: &Placeholder) -> Result<(), Error> {
        let path = format!("/proc/{}/cgroup", placeholder.pid());
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Socket {
            op: "read",
            path: path.into(),
            source,
        })?;
        let found = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
        let expected = self.path();
        match Path::new(found) == expected {
            true => Ok(()),
            false => Err(Error::Misplaced {
                unit: self.unit.clone(),
                found: found.to_owned(),
                expected: expected.to_string_lossy().into_owned(),
            }),
        }
    }
}

/// Whether systemd could have a unit of that name.
pub(in super::super) fn is_scope(name: &str) -> bool {
    name.ends_with(".scope") && is_unit(name)
}

fn is_unit(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\".contains(&byte);
    name.len() <= LONGEST && !name.starts_with('.') && name.bytes().all(known)
}

/// The directories of a slice, which its name says: `a-b.slice` is in `a.slice`.
fn slices(name: &str) -> Option<PathBuf> {
    let stem = name.strip_suffix(".slice")?;
    if stem == "-" {
        return Some(PathBuf::new());
    }
    if !is_unit(name) || stem.split('-').any(str::is_empty) {
        return None;
    }
    let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
    Some(ends.map(|end| format!("{}.slice", &stem[..end])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_slice_prefix_and_scope() {
        for (path, want) in [
            ("", "/system.slice/hotcell-c1.scope"),
            ("::x", "/system.slice/x.scope"),
            (":libpod:x", "/system.slice/libpod-x.scope"),
            ("-.slice:a:b", "/a-b.scope"),
            ("machine.slice:libpod:x", "/machine.slice/libpod-x.scope"),
            (
                "kubepods-besteffort-pod1_2.slice:cri-containerd:x",
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/\
                 cri-containerd-x.scope",
            ),
        ] {
            let scope = Scope::parse(path, "c1").unwrap();
            assert_eq!(scope.path(), Path::new(want), "{path:?}");
            assert!(is_scope(scope.unit()), "{path:?}");
        }
    }

    #[test]
    fn what_names_no_scope_is_refused() {
        for path in [
            "/a/b",
            "a:b",
            "a.slice:b:c:d",
            "a.slice:b:",
            "a:b:c",
            "a--b.slice:b:c",
            "-a.slice:b:c",
            ".slice:b:c",
            "a/b.slice:b:c",
            "..slice:b:c",
            "a.slice:b:c.slice",
            "a.slice:b:c/d",
            "a.slice:../b:c",
            "a.slice::c d",
            "a.slice::.c",
        ] {
            assert!(Scope::parse(path, "c1").is_err(), "{path:?}");
        }
        assert!(Scope::parse(&format!("::{}", "x".repeat(250)), "c1").is_err());
        assert!(!is_scope("a.service") && !is_scope("../a.scope"));
    }
}
