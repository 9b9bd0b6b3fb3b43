//! The root: a directory of the cell's own, a shared one read-only, or a shared one under a
//! writable layer.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::super::{Error, Step};
use super::{Place, annotated};
use crate::bundle::{Bundle, annotation};
use crate::sys::abi::*;

/// What is left to do about the root when everything below it is mounted.
pub(super) struct Root {
    /// Mount points may still have to be made in it.
    pub(super) read_only_at_last: bool,
}

/// The steps that make `root.path` the place where later steps resolve.
pub(super) fn compile(
    bundle: &Bundle,
    place: &Place,
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
            bind(path, place, 0, true, steps);
            Ok(Root { read_only_at_last: read_only })
        }
        // Through an overlay the host's own sockets and FIFOs are dead; through a bind they live.
        Some(annotation::SHARED) if rootfs != Path::new("/") && has_mount_points(&rootfs, spec) => {
            bind(path, place, MOUNT_ATTR_RDONLY, false, steps);
            Ok(Root { read_only_at_last: false })
        }
        // A mount point has to be made, in a layer above the shared directory.
        Some(annotation::SHARED) => {
            overlay_in_memory(&path, mode, place, steps);
            Ok(Root { read_only_at_last: true })
        }
        Some(annotation::COPY_ON_WRITE_TMPFS) => {
            overlay_in_memory(&path, mode, place, steps);
            Ok(Root { read_only_at_last: false })
        }
        Some(annotation::COPY_ON_WRITE_DISK) => {
            let Some(disk) = &place.disk else {
                let field = format!("annotation {}", annotation::ROOTFS);
                return Err(Error::Invalid { field, why: "no data directory is set".into() });
            };
            steps.push(Step::HostDir(disk.to_string_lossy().into_owned()));
            // Nothing here outlives the cell, so nothing needs to reach the disk in order.
            overlay(&path, ",volatile", steps);
            Ok(Root { read_only_at_last: false })
        }
        Some(other) => {
            let field = format!("annotation {}", annotation::ROOTFS);
            Err(Error::Unsupported { field, detail: format!(": {other:?}") })
        }
    }
}

fn bind(path: String, place: &Place, set: u64, recursive: bool, steps: &mut Vec<Step>) {
    let target = place.scratch.to_string_lossy().into_owned();
    let propagation = MS_PRIVATE as u64;
    steps.push(Step::BindRoot { path, target: target.clone(), set, propagation, recursive });
    steps.push(Step::EnterRoot(target));
}

fn overlay_in_memory(lower: &str, mode: u32, place: &Place, steps: &mut Vec<Step>) {
    let target = place.scratch.to_string_lossy().into_owned();
    steps.push(Step::Scratch { target, options: "mode=700".to_owned() });
    // The upper directory's mode is what the cell sees as the mode of "/".
    for (name, mode) in [("upper", mode), ("work", 0o700), ("root", 0o700)] {
        steps.push(Step::MakeHere { name: name.to_owned(), mode });
    }
    overlay(lower, "", steps);
}

/// `upper`, `work` and `root` stand in the current directory, so only the lower one's path needs
/// the escapes of the overlay's option parser.
fn overlay(lower: &str, more: &str, steps: &mut Vec<Step>) {
    let mut escaped = String::with_capacity(lower.len());
    for character in lower.chars() {
        if matches!(character, '\\' | ',' | ':') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    let options = format!("lowerdir={escaped},upperdir=upper,workdir=work{more}");
    steps.push(Step::Overlay { target: "root".to_owned(), options });
    steps.push(Step::EnterRoot("root".to_owned()));
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
        overlay("/a,b:c\\d", "", &mut steps);
        let text = steps[0].to_string();
        assert!(text.contains("lowerdir=/a\\,b\\:c\\\\d,upperdir=upper"), "{text}");
    }
}
