//! The root: a directory of the cell's own, a shared one read-only, or a shared one under a
//! writable layer.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::super::{Error, Step, Tree};
use super::{Place, annotated};
use crate::bundle::{Bundle, annotation};
use crate::sys::abi::*;

/// A directory of every host that an init may mount on which can't reach the driver's. It is covered
/// in the cell's mount namespace only, and gone when the cell has pivoted.
const OPEN_DIR: &str = "/proc";

/// What is left to do about the root when everything below it is mounted.
pub(super) struct Root {
    /// Mount points may still have to be made in it.
    pub(super) read_only_at_last: bool,
}

/// The steps that make `root.path` the place where later steps resolve.
pub(super) fn compile(
    bundle: &Bundle,
    place: &Place,
    own_ids: bool,
    steps: &mut Vec<Step>,
) -> Result<Root, Error> {
    let spec = bundle.spec();
    let missing_root = || Error::Invalid { field: "root".into(), why: "is missing".into() };
    let rootfs = bundle.rootfs().ok_or_else(missing_root)?;
    let read_only =
        spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false);
    let path = rootfs.to_string_lossy().into_owned();
    let missing = |source| Error::Missing { what: "rootfs", path: path.clone(), source };
    let metadata = std::fs::metadata(&rootfs).map_err(missing)?;
    if !metadata.is_dir() {
        return Err(missing(std::io::ErrorKind::NotADirectory.into()));
    }
    let mode = metadata.mode() & 0o7777;
    match annotated(spec, annotation::ROOTFS) {
        None => {
            bind(path, place, own_ids, 0, true, steps);
            Ok(Root { read_only_at_last: read_only })
        }
        // Through an overlay the host's own sockets and FIFOs are dead; through a bind they live.
        Some(annotation::SHARED) if rootfs != Path::new("/") && has_mount_points(&rootfs, spec) => {
            bind(path, place, own_ids, MOUNT_ATTR_RDONLY, false, steps);
            Ok(Root { read_only_at_last: false })
        }
        // A mount point has to be made, in a layer above the shared directory.
        Some(annotation::SHARED) => {
            overlay_in_memory(&path, mode, place, own_ids, steps);
            Ok(Root { read_only_at_last: true })
        }
        Some(annotation::COPY_ON_WRITE_TMPFS) => {
            if own_ids && !tmpfs_keeps_attributes() {
                // Whatever is removed and made again would show the layer below.
                let field = "linux.namespaces: user, over a layer in memory,".to_owned();
                let detail = " by this kernel (before 6.6); take one on disk".to_owned();
                return Err(Error::Unsupported { field, detail });
            }
            overlay_in_memory(&path, mode, place, own_ids, steps);
            Ok(Root { read_only_at_last: false })
        }
        Some(annotation::COPY_ON_WRITE_DISK) => {
            let Some(disk) = &place.disk else {
                let field = format!("annotation {}", annotation::ROOTFS);
                return Err(Error::Invalid { field, why: "no data directory is set".into() });
            };
            overlay_on_disk(&path, disk, own_ids, steps);
            Ok(Root { read_only_at_last: false })
        }
        Some(other) => {
            let field = format!("annotation {}", annotation::ROOTFS);
            Err(Error::Unsupported { field, detail: format!(": {other:?}") })
        }
    }
}

fn bind(
    path: String,
    place: &Place,
    own_ids: bool,
    set: u64,
    recursive: bool,
    steps: &mut Vec<Step>,
) {
    let propagation = MS_PRIVATE as u64;
    if own_ids {
        // A shared root belongs to its own ids; one of the cell's own to whom it was given.
        let mapped = set & MOUNT_ATTR_RDONLY != 0;
        let tree = Tree { path, set, clear: 0, propagation, recursive, mapped };
        return steps.push(Step::TreeAsRoot { tree: Box::new(tree), target: OPEN_DIR });
    }
    let target = place.scratch.to_string_lossy().into_owned();
    steps.push(Step::BindRoot { path, target: target.clone(), set, propagation, recursive });
    steps.push(Step::EnterRoot(target));
}

fn scratch(target: &Path, steps: &mut Vec<Step>) {
    let target = target.to_string_lossy().into_owned();
    steps.push(Step::Scratch { target, options: "mode=700".to_owned() });
}

fn overlay_in_memory(lower: &str, mode: u32, place: &Place, own_ids: bool, steps: &mut Vec<Step>) {
    scratch(if own_ids { Path::new(OPEN_DIR) } else { &place.scratch }, steps);
    // The upper directory's mode is what the cell sees as the mode of "/".
    for (name, mode) in [("upper", mode), ("work", 0o700), ("root", 0o700)] {
        steps.push(Step::MakeHere { name: name.to_owned(), mode });
    }
    match own_ids {
        true => overlay_with_own_ids(lower, "upperdir=upper,workdir=work", steps),
        false => overlay(lower, "upperdir=upper,workdir=work", steps),
    }
}

/// Nothing on the disk outlives the cell, so nothing needs to get there in order: it is volatile.
fn overlay_on_disk(lower: &str, disk: &Path, own_ids: bool, steps: &mut Vec<Step>) {
    let disk = disk.to_string_lossy().into_owned();
    if !own_ids {
        steps.push(Step::HostDir(disk));
        return overlay(lower, "upperdir=upper,workdir=work,volatile", steps);
    }
    scratch(Path::new(OPEN_DIR), steps);
    steps.push(Step::MakeHere { name: "root".to_owned(), mode: 0o700 });
    steps.push(Step::TreeHere { tree: mapped(disk, 0), name: "disk" });
    overlay_with_own_ids(lower, "upperdir=disk/upper,workdir=disk/work,volatile", steps);
}

/// All but the lower directory stands in the current one, so only the lower one's path needs the
/// escapes of the overlay's option parser.
fn overlay(lower: &str, more: &str, steps: &mut Vec<Step>) {
    let mut escaped = String::with_capacity(lower.len());
    for character in lower.chars() {
        if matches!(character, '\\' | ',' | ':') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    let options = format!("lowerdir={escaped},{more}");
    steps.push(Step::Overlay { target: "root".to_owned(), options });
    steps.push(Step::EnterRoot("root".to_owned()));
}

/// The same by an init that is nobody on the host: the lower directory comes along, with the ids
/// that the cell knows, and what the overlay notes for itself stands in attributes that such an init
/// may write.
fn overlay_with_own_ids(lower: &str, more: &str, steps: &mut Vec<Step>) {
    let tree = mapped(lower.to_owned(), MOUNT_ATTR_RDONLY);
    steps.push(Step::TreeHere { tree, name: "lower" });
    overlay("lower", &format!("{more},userxattr"), steps);
}

fn mapped(path: String, set: u64) -> Box<Tree> {
    let propagation = MS_PRIVATE as u64;
    Box::new(Tree { path, set, clear: 0, propagation, recursive: false, mapped: true })
}

/// Whether a tmpfs of this kernel takes the attributes in which an overlay notes what is hidden.
fn tmpfs_keeps_attributes() -> bool {
    use rustix::fs::{MemfdFlags, XattrFlags, fsetxattr, memfd_create};
    static KEEPS: OnceLock<bool> = OnceLock::new();
    *KEEPS.get_or_init(|| {
        let file = memfd_create("hotcell-probe", MemfdFlags::CLOEXEC);
        let set = |file| fsetxattr(file, "user.hotcell", b"1", XattrFlags::empty());
        file.and_then(set).is_ok()
    })
}

/// Whether every mount finds its target in the directory as it is. Targets below another mount's
/// are made on that mount.
fn has_mount_points(rootfs: &Path, spec: &Spec) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let Ok(root) = rustix::fs::open(rootfs, flags | OFlags::DIRECTORY, Mode::empty()) else {
        return false;
    };
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    mounts.iter().enumerate().all(|(at, mount)| {
        let target = mount.destination();
        mounts[..at].iter().any(|above| target.starts_with(above.destination()))
            || openat2(&root, target, flags, Mode::empty(), ResolveFlags::IN_ROOT).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_a_path_are_escaped() {
        let mut steps = Vec::new();
        overlay("/a,b:c\\d", "upperdir=upper", &mut steps);
        let text = steps[0].to_string();
        assert!(text.contains("lowerdir=/a\\,b\\:c\\\\d,upperdir=upper"), "{text}");
    }
}
