//! A cell with ids of its own: its user namespace's maps, and what its init has to leave to others.
//!
//! The init of such a cell is root in its namespace and nobody on the host. What it can't open, it is
//! given as a mount that the driver made; what it can't make, it takes from the host.

use oci_spec::runtime::{Capability, LinuxIdMapping, Mount, Spec};

use super::super::mount_plan::{Mapped, Tree};
use super::super::plan::IdMaps;
use super::super::{Error, Step};
use crate::bundle::without_id;
use crate::init::wire::{MAKE_FILE, NO_SYMLINKS};
use crate::sys::abi::*;

/// The maps that the specification gives the namespace.
pub(super) fn maps(spec: &Spec) -> Result<IdMaps, Error> {
    if let Some((what, id)) = without_id(spec) {
        let why = format!("{what} {id} is nobody in linux.uidMappings and gidMappings");
        return Err(Error::Invalid { field: "process.user".to_owned(), why });
    }
    let linux = spec.linux().as_ref();
    let text = |field: &str, mappings: Option<&Vec<LinuxIdMapping>>| {
        let invalid = |why: &str| Error::Invalid { field: field.to_owned(), why: why.to_owned() };
        let mappings = mappings.filter(|mappings| !mappings.is_empty());
        let mappings = mappings.ok_or_else(|| invalid("a user namespace needs at least one"))?;
        if !mappings.iter().any(|mapping| mapping.container_id() == 0 && mapping.size() > 0) {
            return Err(invalid("must map id 0, which sets the cell up"));
        }
        Ok(lines(mappings))
    };
    Ok(IdMaps {
        uid: text("linux.uidMappings", linux.and_then(|linux| linux.uid_mappings().as_ref()))?,
        gid: text("linux.gidMappings", linux.and_then(|linux| linux.gid_mappings().as_ref()))?,
    })
}

/// Mappings as the kernel reads them.
fn lines(mappings: &[LinuxIdMapping]) -> String {
    let line = |mapping: &LinuxIdMapping| {
        format!("{} {} {}\n", mapping.container_id(), mapping.host_id(), mapping.size())
    };
    mappings.iter().map(line).collect()
}

/// The ids that a mount of the specification gives its files.
pub(super) fn of_mount(mount: &Mount, target: &str) -> Result<Option<IdMaps>, Error> {
    let given = |list: &Option<Vec<LinuxIdMapping>>| lines(list.as_deref().unwrap_or_default());
    let maps = IdMaps { uid: given(mount.uid_mappings()), gid: given(mount.gid_mappings()) };
    match (maps.uid.is_empty(), maps.gid.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(maps)),
        _ => {
            let field = format!("uidMappings and gidMappings of the mount on {target}");
            Err(Error::Invalid { field, why: "go together".to_owned() })
        }
    }
}

/// Refuses maps that nobody would read.
pub(super) fn refuse_maps(spec: &Spec) -> Result<(), Error> {
    let linux = spec.linux().as_ref();
    let mappings = linux.map(|linux| [linux.uid_mappings(), linux.gid_mappings()]);
    let any = mappings.iter().flatten().any(|list| list.as_ref().is_some_and(|l| !l.is_empty()));
    match any {
        true => Err(Error::Invalid {
            field: "linux.uidMappings and gidMappings".to_owned(),
            why: "need a user namespace".to_owned(),
        }),
        false => Ok(()),
    }
}

/// Refuses to map the files of a cell that has no ids of its own.
pub(super) fn refuse_mapped(steps: &[Step]) -> Result<(), Error> {
    let target = steps.iter().find_map(|step| match step {
        Step::Tree { tree, target, .. } if tree.mapped != Mapped::No && tree.ids.is_none() => {
            Some(target)
        }
        _ => None,
    });
    match target {
        None => Ok(()),
        Some(target) => Err(Error::Invalid {
            field: format!("option idmap of the mount on {target}"),
            why: "needs a user namespace".to_owned(),
        }),
    }
}

/// Turns what such an init may not do into what it may: a device is the host's own node.
pub(super) fn adapt(steps: &mut [Step], may_mount: bool) -> Result<(), Error> {
    for step in steps {
        match step {
            // A FIFO is no device: everybody may make one, and the host's is nobody else's.
            Step::Node { dir, name, mode, device, uid, gid } if *mode & S_IFMT != S_IFIFO => {
                let path = format!("{}/{name}", dir.trim_end_matches('/'));
                *step = device_of_the_host(path, *device, (*mode, *uid, *gid))?;
            }
            Step::Tree { tree, target, .. }
                if may_mount && read_only(tree) && tree.mapped != Mapped::No =>
            {
                let field = format!("mounts: {target} read-only");
                let detail = ": with ids of its own and CAP_SYS_ADMIN the cell could undo it";
                return Err(Error::Unsupported { field, detail: detail.to_owned() });
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_only(tree: &Tree) -> bool {
    (tree.own[0] | tree.tree[0]) & MOUNT_ATTR_RDONLY != 0
}

/// Whether a process of the cell can come to hold `CAP_SYS_ADMIN`, and so change the mounts of its own
/// namespace.
pub(crate) fn may_mount(spec: &Spec) -> bool {
    let capabilities = spec.process().as_ref().and_then(|process| process.capabilities().as_ref());
    let bounding = capabilities.and_then(|sets| sets.bounding().as_ref());
    bounding.is_some_and(|set| set.contains(&Capability::SysAdmin))
}

/// The host's node of the same name, or the one that its device manager names after the number, as
/// long as it is the same device. It comes with the host's owner and mode, and read-only: that is the
/// node's times and not what can be written to the device.
fn device_of_the_host(
    path: String,
    device: u64,
    (mode, uid, gid): (u32, u32, u32),
) -> Result<Step, Error> {
    use std::os::unix::fs::MetadataExt;
    const PLAIN: (u32, u32, u32) = (0o666, 0, 0);
    let kind = if mode & S_IFMT == S_IFBLK { "block" } else { "char" };
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let named = [path.clone(), format!("/dev/{kind}/{major}:{minor}")];
    let same = |source: &String| {
        std::fs::metadata(source)
            .is_ok_and(|found| (found.mode() & S_IFMT, found.rdev()) == (mode & S_IFMT, device))
    };
    let Some(source) = named.iter().find(|source| same(source)) else {
        let field = format!("linux.devices: {path}");
        let why = format!(
            "neither {} nor {} is this device on the host, and a cell with ids of its own can't \
             make one",
            named[0], named[1]
        );
        return Err(Error::Invalid { field, why });
    };
    let asked = (mode & 0o7777, uid, gid);
    let given = |found: std::fs::Metadata| (found.mode() & 0o7777, found.uid(), found.gid());
    if asked != PLAIN && !std::fs::metadata(source).is_ok_and(|found| given(found) == asked) {
        let field = format!("linux.devices: {path}: fileMode, uid and gid");
        let why = "must be the host's in a cell with ids of its own".to_owned();
        return Err(Error::Invalid { field, why });
    }
    let tree = Tree {
        path: source.clone(),
        own: [0, 0],
        tree: [MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0],
        propagation: (MS_PRIVATE | MS_REC) as u64,
        peer: false,
        recursive: false,
        mapped: Mapped::No,
        ids: None,
    };
    Ok(Step::Tree { tree: Box::new(tree), target: path, how: MAKE_FILE | NO_SYMLINKS })
}
