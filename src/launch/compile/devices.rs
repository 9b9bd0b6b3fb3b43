//! The devices of a cell: those that every cell has, and `linux.devices`.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, Mount as SpecMount};

use super::super::{Error, Step};
use super::target;
use crate::sys::abi::*;

/// Where they stand.
pub(super) const DEV: &str = "/dev";

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

/// The devices, by the last mount that they lie below.
///
/// They are made as soon as that is there: an image can lead a later mount to anywhere in the root
/// with a link, and a node must not come to stand in somebody's volume.
pub(super) struct Devices {
    nodes: Vec<(Option<usize>, Step)>,
    /// Which mount is /dev, and whether it is a bare one of the cell's own.
    dev: Option<(usize, bool)>,
}

impl Devices {
    pub(super) fn new(mounts: &[SpecMount], linux: Option<&Linux>) -> Result<Devices, Error> {
        let below = |path: &Path| mounts.iter().rposition(|m| path.starts_with(m.destination()));
        let mut nodes = Vec::new();
        for entry in linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default() {
            nodes.extend(node(entry)?.map(|step| (below(entry.path()), step)));
        }
        let dev = mounts.iter().rposition(|mount| mount.destination() == Path::new(DEV));
        let bare = |at: usize| {
            let bind = |option: &String| option == "bind" || option == "rbind";
            let kind = mounts[at].typ().as_deref();
            kind != Some("bind") && !mounts[at].options().iter().flatten().any(bind)
        };
        Ok(Devices { nodes, dev: dev.map(|at| (at, bare(at))) })
    }

    /// Those that lie below the mount `at`, or below none.
    pub(super) fn after(&mut self, at: Option<usize>, steps: &mut Vec<Step>) {
        // A /dev bound from elsewhere is somebody's directory.
        if self.dev.map_or(at.is_none(), |(dev, bare)| bare && at == Some(dev)) {
            steps.extend(default_devices());
        }
        steps.extend(self.nodes.extract_if(.., |(below, _)| *below == at).map(|(_, step)| step));
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
    if !entry.path().is_absolute() {
        let field = format!("linux.devices: {}", entry.path().display());
        return Err(Error::Invalid { field, why: "must be an absolute path".to_owned() });
    }
    let path = target("linux.devices", entry.path())?;
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
    // It is a link to the cell's own terminals in every cell, whatever the host has there.
    if dir == DEV && name == "ptmx" && kind == S_IFCHR {
        return Ok(None);
    }
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

    fn device_entry(json: &str) -> Result<Option<Step>, Error> {
        node(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_number_that_the_kernel_would_cut_is_no_device() {
        let entry = |path: &str, kind: &str, major: i64, minor: i64| {
            let numbers = format!(r#""major":{major},"minor":{minor}"#);
            device_entry(&format!(r#"{{"path":"{path}","type":"{kind}",{numbers}}}"#))
        };
        assert!(entry("/dev/x", "b", 4095, 1_048_575).unwrap().is_some());
        for (major, minor) in [(4096, 0), (0, 1_048_576), (-1, 0), (1 << 32, 0)] {
            assert!(entry("/dev/x", "b", major, minor).is_err(), "{major}:{minor}");
        }
        assert!(entry("/dev/null", "c", 1, 3).unwrap().is_none());
        assert!(entry("/dev/ptmx", "c", 5, 2).unwrap().is_none());
        assert!(entry("/dev/null", "c", 1, 5).is_err());
        assert!(entry("/dev/null", "b", 1, 3).is_err());
        assert!(entry("dev/x", "c", 1, 3).unwrap_err().to_string().contains("absolute"));
    }

    #[test]
    fn devices_are_made_before_anything_can_cover_them() {
        let mounts: Vec<SpecMount> = serde_json::from_str(
            r#"[{"destination":"/dev","type":"tmpfs"},{"destination":"/dev/in","type":"tmpfs"},
                {"destination":"/data","type":"bind","options":["rbind"]}]"#,
        )
        .unwrap();
        let linux = serde_json::from_str(
            r#"{"devices":[{"path":"/dev/in/a","type":"c","major":1,"minor":3},
                {"path":"/dev/b","type":"c","major":1,"minor":3},
                {"path":"/c","type":"c","major":1,"minor":3}]}"#,
        )
        .unwrap();
        let mut devices = Devices::new(&mounts, Some(&linux)).unwrap();
        let names = [Some(0), Some(1), Some(2), None].map(|at| {
            let mut steps = Vec::new();
            devices.after(at, &mut steps);
            let names = steps.into_iter().filter_map(|step| match step {
                Step::Node { name, .. } => Some(name),
                _ => None,
            });
            names.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(names, ["null zero full random urandom tty b", "a", "", "c"]);
    }
}
