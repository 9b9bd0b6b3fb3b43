//! What is mounted below the root, what is made in /dev, what is hidden.

use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Mount as SpecMount, Spec};

use super::super::options::{self, MountOptions};
use super::super::plan::{Bind, Mount};
use super::super::{Error, Step};
use super::{Place, clean};
use crate::init::wire::{MAKE_DIR, MAKE_FILE, NO_SYMLINKS, RECURSIVE};
use crate::sys::abi::*;

/// The devices every cell has: name, major, minor.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// The steps for `mounts`, `linux.devices`, `linux.maskedPaths` and `linux.readonlyPaths`.
pub(super) fn compile(
    spec: &Spec,
    place: &Place,
    own_ids: bool,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    for mount in spec.mounts().as_deref().unwrap_or_default() {
        one(mount, place, own_ids, steps)?;
        // At once, while nothing can have been bound over it: a /dev bound from elsewhere is
        // somebody's directory.
        if steps.last().is_some_and(|step| matches!(step, Step::Mount(m) if m.target == "/dev")) {
            default_devices(steps);
        }
    }
    let linux = spec.linux().as_ref();
    for device in linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default() {
        steps.extend(node(device)?);
    }
    let list = |paths: &Option<Vec<String>>| paths.clone().unwrap_or_default();
    if let Some(linux) = linux {
        steps.extend(list(linux.masked_paths()).into_iter().map(Step::Mask));
        steps.extend(list(linux.readonly_paths()).into_iter().map(Step::ReadOnly));
    }
    Ok(())
}

fn one(
    mount: &SpecMount,
    place: &Place,
    own_ids: bool,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let target = target(mount.destination())?;
    let kind = mount.typ().clone().unwrap_or_default();
    let options = options::parse(&target, &kind, mount.options().as_deref().unwrap_or_default())?;
    if options.bind {
        return bind(mount, target, &options, own_ids, steps);
    }
    // An image decides what lies at these paths; a link there would redirect what is written to
    // them later.
    let own = ["/proc", "/sys", "/dev"];
    let strict = own.iter().any(|own| Path::new(&target).starts_with(own));
    let how = MAKE_DIR | if strict { NO_SYMLINKS } else { 0 };
    if kind == "cgroup" || kind == "cgroup2" {
        cgroup_view(&target, &options, place, how, steps);
        return Ok(());
    }
    let source = mount.source().as_ref().map(|source| source.to_string_lossy().into_owned());
    steps.push(Step::Mount(Box::new(Mount {
        source: source.filter(|source| !source.is_empty()).unwrap_or_else(|| kind.clone()),
        target,
        kind,
        flags: options.flags,
        propagation: options.propagation,
        data: options.data.join(","),
        how,
    })));
    Ok(())
}

/// Where to mount: any place but the root.
fn target(path: &Path) -> Result<String, Error> {
    let field = format!("mount destination {}", path.display());
    let clean = clean(&field, path)?;
    match clean.is_empty() {
        true => Err(Error::Invalid { field, why: "must not be the root".to_owned() }),
        false => Ok(clean),
    }
}

fn bind(
    mount: &SpecMount,
    target: String,
    options: &MountOptions,
    own_ids: bool,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let source = mount.source().as_ref().map(|path| path.to_string_lossy().into_owned());
    let source = source.unwrap_or_default();
    let missing =
        |error| Error::Missing { what: "volume source", path: source.clone(), source: error };
    if !source.starts_with('/') {
        return Err(missing(std::io::ErrorKind::InvalidInput.into()));
    }
    if options.mapped && !own_ids {
        let field = format!("mounts: option idmap on {target}");
        return Err(Error::Invalid { field, why: "needs a user namespace".to_owned() });
    }
    let metadata = std::fs::metadata(&source).map_err(missing)?;
    let make = if metadata.is_dir() { MAKE_DIR } else { MAKE_FILE };
    let recursive = if options.recursive { RECURSIVE } else { 0 };
    let default = MS_PRIVATE as u64;
    steps.push(Step::Bind(Box::new(Bind {
        source,
        target,
        set: options.set,
        clear: options.clear,
        propagation: if options.propagation == 0 { default } else { options.propagation },
        how: make | recursive,
        mapped: options.mapped,
    })));
    Ok(())
}

/// The cell's own cgroup, where programs look for their limits. On a hybrid host each hierarchy
/// stands in a directory of its own, as programs expect there.
fn cgroup_view(
    target: &str,
    options: &MountOptions,
    place: &Place,
    how: u16,
    steps: &mut Vec<Step>,
) {
    let view = |name: &str, source: &Path| {
        let separator = if name.is_empty() { "" } else { "/" };
        Step::Bind(Box::new(Bind {
            source: source.to_string_lossy().into_owned(),
            target: format!("{target}{separator}{name}"),
            set: options.set,
            clear: 0,
            propagation: MS_PRIVATE as u64,
            how,
            mapped: false,
        }))
    };
    let many = place.views.iter().any(|view| !view.name.is_empty());
    if many {
        steps.push(Step::Mount(Box::new(Mount {
            source: "tmpfs".to_owned(),
            target: target.to_owned(),
            kind: "tmpfs".to_owned(),
            flags: (MS_NOSUID | MS_NODEV | MS_NOEXEC) as u64,
            propagation: 0,
            data: "mode=755,size=64k".to_owned(),
            how,
        })));
    }
    steps.extend(place.views.iter().map(|each| view(each.name, &each.path)));
    if many && options.read_only() {
        let set = MOUNT_ATTR_RDONLY;
        steps.push(Step::SetAttributes { target: target.to_owned(), set, clear: 0 });
    }
}

fn default_devices(steps: &mut Vec<Step>) {
    steps.extend(DEVICES.map(|(name, major, minor)| Step::Node {
        dir: "/dev".to_owned(),
        name: name.to_owned(),
        mode: S_IFCHR | 0o666,
        device: rustix::fs::makedev(major, minor),
        uid: 0,
        gid: 0,
    }));
    steps.extend(LINKS.map(|(name, content)| Step::Link {
        dir: "/dev".to_owned(),
        name: name.to_owned(),
        content: content.to_owned(),
    }));
}

/// One of `linux.devices`; `None` for one that is there anyway.
fn node(device: &LinuxDevice) -> Result<Option<Step>, Error> {
    let path = target(device.path())?;
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
    if dir == "/dev" && DEVICES.iter().any(|(known, _, _)| *known == name) {
        return Ok(None);
    }
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => S_IFCHR,
        LinuxDeviceType::B => S_IFBLK,
        LinuxDeviceType::P => S_IFIFO,
        LinuxDeviceType::A => {
            let field = format!("linux.devices: {path}: type");
            return Err(Error::Invalid { field, why: "must be c, b, u or p".into() });
        }
    };
    let number = |value: i64| {
        u32::try_from(value).map_err(|_| Error::Invalid {
            field: format!("linux.devices: {path}"),
            why: format!("{value} is no device number"),
        })
    };
    Ok(Some(Step::Node {
        dir: if dir.is_empty() { "/".to_owned() } else { dir.to_owned() },
        name: name.to_owned(),
        mode: kind | device.file_mode().unwrap_or(0o666) & 0o7777,
        device: rustix::fs::makedev(number(device.major())?, number(device.minor())?),
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_cleaned_and_never_climb() {
        assert_eq!(target(Path::new("/a/./b//c/")).unwrap(), "/a/b/c");
        assert!(target(Path::new("/a/../b")).is_err());
        assert!(target(Path::new("/")).is_err());
    }
}
