//! What is mounted below the root, what is made in /dev, what is hidden.

use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Mount as SpecMount};

use super::super::mount_plan::{Bind, Mapped, Mount};
use super::super::options::{self, Attributes, MountOptions};
use super::super::{Error, Step};
use super::{Place, clean};
use crate::bundle::Bundle;
use crate::init::wire::{IN_TRAY, MAKE_DIR, MAKE_FILE, NO_SYMLINKS, RECURSIVE};
use crate::sys::abi::*;

const DEV: &str = "/dev";

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
    bundle: &Bundle,
    place: &Place,
    own_ids: bool,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let spec = bundle.spec();
    let mut dev_is_there = false;
    for mount in spec.mounts().as_deref().unwrap_or_default() {
        one(mount, bundle, place, steps)?;
        if let (Some(Step::Bind(bind)), false) = (steps.last(), own_ids)
            && bind.mapped != Mapped::No
        {
            let field = format!("option idmap of the mount on {}", bind.target);
            return Err(Error::Invalid { field, why: "needs a user namespace".to_owned() });
        }
        // At once, while nothing can have been bound over it: a /dev bound from elsewhere is
        // somebody's directory.
        match steps.last() {
            Some(Step::Mount(m)) if m.target == DEV => {
                steps.extend(default_devices());
                dev_is_there = true;
            }
            Some(Step::Bind(bind)) if bind.target == DEV => dev_is_there = true,
            _ => {}
        }
    }
    if !dev_is_there {
        steps.extend(default_devices());
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
    bundle: &Bundle,
    place: &Place,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let target = target(mount.destination())?;
    let kind = mount.typ().clone().unwrap_or_default();
    let options = options::parse(&target, &kind, mount.options().as_deref().unwrap_or_default())?;
    // An image decides what lies at these paths; a link there would redirect what is written to
    // them later.
    let own = ["/proc", "/sys", DEV];
    let strict = own.iter().any(|own| Path::new(&target).starts_with(own));
    let how = if strict { NO_SYMLINKS } else { 0 };
    if options.bind {
        steps.push(bind(mount, bundle, target, &options, how)?);
        return Ok(());
    }
    let how = how | MAKE_DIR;
    if kind == "cgroup" || kind == "cgroup2" {
        cgroup_view(target, &options, place, how, steps);
        return Ok(());
    }
    let source = mount.source().as_ref().map(|source| source.to_string_lossy().into_owned());
    steps.push(Step::Mount(Box::new(Mount {
        source: source.filter(|source| !source.is_empty()).unwrap_or_else(|| kind.clone()),
        target,
        kind,
        flags: options.flags(),
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

/// A part of the host's tree. A relative source is the bundle's.
fn bind(
    mount: &SpecMount,
    bundle: &Bundle,
    target: String,
    options: &MountOptions,
    how: u16,
) -> Result<Step, Error> {
    let source = mount.source().clone().unwrap_or_default();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let missing =
        |path, error| Error::Missing { what: "volume source", path: text(path), source: error };
    if source.as_os_str().is_empty() {
        return Err(missing(&source, std::io::ErrorKind::InvalidInput.into()));
    }
    let source = bundle.dir().join(source);
    let metadata = std::fs::metadata(&source).map_err(|error| missing(&source, error))?;
    let how = how | if metadata.is_dir() { MAKE_DIR } else { MAKE_FILE };
    Ok(attach(text(&source), target, options, how))
}

/// The step for a bind mount: as few changes to it as say what `options` say.
fn attach(source: String, target: String, options: &MountOptions, how: u16) -> Step {
    let halves = |attributes: Attributes| [attributes.set, attributes.clear];
    let private = (MS_PRIVATE | MS_REC) as u64;
    let propagation = if options.propagation == 0 { private } else { options.propagation };
    let (own, tree, how) = match options.recursive {
        true => (halves(options.own), halves(options.tree), how | RECURSIVE),
        // Nothing comes along, so the mount itself is the whole tree.
        false => ([0, 0], halves(options.top()), how),
    };
    let propagation = propagation | if options.recursive { 0 } else { MS_REC as u64 };
    let mapped = options.mapped;
    Step::Bind(Box::new(Bind { source, target, own, tree, propagation, how, mapped }))
}

/// The cell's own cgroup, where programs look for their limits. On a hybrid host each hierarchy
/// stands in a directory of its own, as programs expect there.
fn cgroup_view(
    target: String,
    options: &MountOptions,
    place: &Place,
    how: u16,
    steps: &mut Vec<Step>,
) {
    // What is cleared was never set.
    let tree = Attributes { set: options.top().set, clear: 0 };
    let options = MountOptions { tree, bind: true, ..MountOptions::default() };
    let source = |path: &Path| path.to_string_lossy().into_owned();
    if let [view] = &place.views[..]
        && view.name.is_empty()
    {
        steps.push(attach(source(&view.path), target, &options, how));
        return;
    }
    steps.push(Step::Tray { target, how });
    steps.extend(place.views.iter().map(|view| {
        attach(source(&view.path), view.name.to_owned(), &options, MAKE_DIR | IN_TRAY)
    }));
    if options.read_only() {
        steps.push(Step::SealTray);
    }
}

/// The devices and links of every cell.
fn default_devices() -> impl Iterator<Item = Step> {
    let nodes = DEVICES.into_iter().map(|(name, major, minor)| {
        device(DEV, name, S_IFCHR | 0o666, rustix::fs::makedev(major, minor), 0, 0)
    });
    let links = LINKS.into_iter().map(|(name, content)| Step::Link {
        dir: DEV.to_owned(),
        name: name.to_owned(),
        content: content.to_owned(),
    });
    nodes.chain(links)
}

/// Every device of a cell is made here.
fn device(dir: &str, name: &str, mode: u32, device: u64, uid: u32, gid: u32) -> Step {
    Step::Node { dir: dir.to_owned(), name: name.to_owned(), mode, device, uid, gid }
}

/// One of `linux.devices`; `None` for one that is there anyway.
fn node(entry: &LinuxDevice) -> Result<Option<Step>, Error> {
    let path = target(entry.path())?;
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let bad = |what: &str, why: &str| Error::Invalid {
        field: format!("linux.devices: {path}: {what}"),
        why: why.to_owned(),
    };
    let kind = match entry.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => S_IFCHR,
        LinuxDeviceType::B => S_IFBLK,
        LinuxDeviceType::P => S_IFIFO,
        LinuxDeviceType::A => return Err(bad("type", "must be c, b, u or p")),
    };
    // The kernel would take the low bits of a larger number, and so another device.
    let number = |value: i64, bits: u32| {
        let number = u32::try_from(value).ok().filter(|number| *number < 1 << bits);
        number.ok_or_else(|| bad(&value.to_string(), "is no device number"))
    };
    let (major, minor) = match kind {
        S_IFIFO => (0, 0),
        _ => (number(entry.major(), 12)?, number(entry.minor(), 20)?),
    };
    if dir == DEV && DEVICES.iter().any(|(known, ..)| *known == name) {
        return match (kind, DEVICES.contains(&(name, major, minor))) {
            (S_IFCHR, true) => Ok(None),
            _ => Err(bad("this name", "is another device's")),
        };
    }
    Ok(Some(device(
        if dir.is_empty() { "/" } else { dir },
        name,
        kind | entry.file_mode().unwrap_or(0o666) & 0o7777,
        rustix::fs::makedev(major, minor),
        entry.uid().unwrap_or(0),
        entry.gid().unwrap_or(0),
    )))
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
