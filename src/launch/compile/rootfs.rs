//! The root: a directory of the cell's own, a shared one read-only, or shared ones under a writable
//! layer.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::super::cradle::SCRATCH;
use super::super::mount_plan::{Mapped, Tree};
use super::super::{Error, Step, options};
use super::layers::Lower;
use super::{Place, annotated, capabilities};
use crate::bundle::{Bundle, annotation};
use crate::sys::abi::*;

/// A directory of every host on which an init that is not in the cradle mounts. It is covered in the
/// cell's mount namespace only, and gone when the cell has pivoted.
const OPEN_DIR: &str = "/proc";

/// What is left to do about the root when everything below it is mounted.
pub(super) struct Root {
    /// Mount points may still have to be made in it.
    pub(super) read_only_at_last: bool,
    /// `linux.rootfsPropagation`, where it says more than how the root was bound.
    pub(super) propagation_at_last: Option<u64>,
}

/// The steps that make `root.path` the place where later steps resolve; with `in_place` it is mounted
/// at that very path, where hooks look for it.
pub(super) fn compile(
    bundle: &Bundle,
    place: &Place,
    own_ids: bool,
    in_place: bool,
    steps: &mut Vec<Step>,
) -> Result<Root, Error> {
    let spec = bundle.spec();
    let missing_root = || Error::Invalid {
        field: "root".into(),
        why: "is missing, or its path is relative and the bundle has no directory".into(),
    };
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
    let lower = Lower::of(spec, &rootfs)?;
    let propagation = propagation(spec)?;
    let root = |read_only_at_last| Root { read_only_at_last, propagation_at_last: propagation.1 };
    let stage = Stage::of(spec, place, own_ids);
    match annotated(spec, annotation::ROOTFS) {
        Some(_) if in_place => Err(Error::Unsupported {
            field: format!("annotation {} beside hooks", annotation::ROOTFS),
            detail: String::new(),
        }),
        None if lower.layered => {
            let field = format!("annotation {}", annotation::LAYERS);
            Err(Error::Invalid { field, why: format!("needs {}", annotation::ROOTFS) })
        }
        None => {
            own(&rootfs)?;
            let target = if in_place { path.clone() } else { stage.dir.to_owned() };
            steps.push(stage.bind(path, target, 0, propagation.0, true));
            Ok(root(read_only))
        }
        // Through an overlay the host's own sockets and FIFOs are dead; through a bind they live.
        Some(annotation::SHARED)
            if rootfs != Path::new("/")
                && !lower.layered
                && !capabilities::may_get_behind_mounts(spec)
                && has_mount_points(&rootfs, spec) =>
        {
            let target = stage.dir.to_owned();
            steps.push(stage.bind(path, target, MOUNT_ATTR_RDONLY, propagation.0, false));
            Ok(root(false))
        }
        // A mount point has to be made, in a layer above the shared directory, or several directories
        // are the root. Or the cell could get at what a mount keeps from it.
        Some(annotation::SHARED) => {
            stage.overlay_in_memory(lower, mode, steps);
            Ok(root(true))
        }
        Some(annotation::COPY_ON_WRITE_TMPFS) => {
            if own_ids && !tmpfs_keeps_attributes() {
                // Whatever is removed and made again would show the layer below.
                let field = "linux.namespaces: user, over a layer in memory,".to_owned();
                let detail = " by this kernel (before 6.6); take one on disk".to_owned();
                return Err(Error::Unsupported { field, detail });
            }
            stage.overlay_in_memory(lower, mode, steps);
            Ok(root(false))
        }
        Some(annotation::COPY_ON_WRITE_DISK) => {
            let Some(disk) = &place.disk else {
                let field = format!("annotation {}", annotation::ROOTFS);
                return Err(Error::Invalid { field, why: "no data directory is set".into() });
            };
            stage.overlay_on_disk(lower, disk, steps);
            Ok(root(false))
        }
        Some(other) => {
            let field = format!("annotation {}", annotation::ROOTFS);
            Err(Error::Unsupported { field, detail: format!(": {other:?}") })
        }
    }
}

/// Refuses a root that is a link: mount points are made in a directory of the cell's own, and where
/// the link leads nobody said that it is.
fn own(rootfs: &Path) -> Result<(), Error> {
    // Without what makes a path lead through a link at its end.
    let path: PathBuf = rootfs.components().collect();
    match path.is_symlink() {
        true => Err(Error::Invalid {
            field: "root.path".into(),
            why: format!("{} is a symbolic link", path.display()),
        }),
        false => Ok(()),
    }
}

/// `linux.rootfsPropagation` in two parts: how the root is bound, and what it becomes after the
/// pivot, which a shared root would not allow. Nothing mounted in the cell ever reaches the host;
/// "slave" and "shared" let in what the host mounts below the root.
fn propagation(spec: &Spec) -> Result<(u64, Option<u64>), Error> {
    let asked = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref());
    let asked = asked.filter(|text| !text.is_empty()).map(options::root_propagation).transpose()?;
    let is = |kind: usize| asked.is_some_and(|asked| asked & kind as u64 != 0);
    let bound = if is(MS_SLAVE) || is(MS_SHARED) { MS_SLAVE } else { MS_PRIVATE };
    Ok((bound as u64, asked.filter(|_| is(MS_SHARED) || is(MS_UNBINDABLE))))
}

/// Where the root is put together: a directory of the init's mount namespace.
#[derive(Clone, Copy)]
struct Stage {
    dir: &'static str,
    own_ids: bool,
    /// Whether the cell can get at all of a file system of which it sees a part.
    behind: bool,
}

impl Stage {
    fn of(spec: &Spec, place: &Place, own_ids: bool) -> Stage {
        let dir = if own_ids || place.only { OPEN_DIR } else { SCRATCH };
        Stage { dir, own_ids, behind: capabilities::may_get_behind_mounts(spec) }
    }

    /// Makes the directory the root: with the cell's ids if it is shared, and as it is if it is the
    /// cell's own, for then it belongs to them.
    fn bind(
        self,
        path: String,
        target: String,
        set: u64,
        propagation: u64,
        recursive: bool,
    ) -> Step {
        let shared = set & MOUNT_ATTR_RDONLY != 0;
        let mapped = if self.own_ids && shared { Mapped::All } else { Mapped::No };
        let propagation = propagation | MS_REC as u64;
        let (own, tree, peer) = ([0, 0], [set, 0], false);
        let tree = Tree { path, own, tree, propagation, peer, recursive, mapped, ids: None };
        Step::TreeAsRoot { tree: Box::new(tree), target }
    }

    /// What the layer is in holds other things of the cell's as well, where it can't get at the layer by
    /// them.
    fn scratch(self) -> Step {
        Step::Scratch { target: self.dir, shared: !self.behind }
    }

    fn overlay_in_memory(self, lower: Lower, mode: u32, steps: &mut Vec<Step>) {
        steps.push(self.scratch());
        // The upper directory's mode is what the cell sees as the mode of "/".
        for (name, mode) in [("upper", mode), ("work", 0o700), ("root", 0o755)] {
            steps.push(Step::MakeHere { name, mode });
        }
        self.overlay(lower, "upperdir=upper,workdir=work", steps);
    }

    /// Nothing on the disk outlives the cell, so nothing needs to get there in order: it is volatile.
    fn overlay_on_disk(self, lower: Lower, disk: &Path, steps: &mut Vec<Step>) {
        steps.push(self.scratch());
        steps.push(Step::MakeHere { name: "root", mode: 0o755 });
        let disk = self.layer(disk.to_string_lossy().into_owned(), 0);
        steps.push(Step::TreeHere { tree: disk, name: "disk" });
        self.overlay(lower, "upperdir=disk/upper,workdir=disk/work,volatile", steps);
    }

    /// With ids of its own, what the overlay notes for itself stands in attributes that the init may
    /// write.
    fn overlay(self, lower: Lower, upper: &str, steps: &mut Vec<Step>) {
        let tree = self.layer(lower.tree, MOUNT_ATTR_RDONLY);
        steps.push(Step::TreeHere { tree, name: "lower" });
        let notes = if self.own_ids { ",userxattr" } else { "" };
        // Where the host has exports on by default, whoever may open file handles gets at every file of
        // the file system that a layer lies on.
        let options = format!("lowerdir={},{upper},nfs_export=off{notes}", lower.dirs);
        steps.push(Step::Overlay { target: "root", options });
        steps.push(Step::EnterRoot("root"));
    }

    fn layer(self, path: String, set: u64) -> Box<Tree> {
        let propagation = (MS_PRIVATE | MS_REC) as u64;
        let mapped = if self.own_ids { Mapped::All } else { Mapped::No };
        let (own, tree, peer, recursive) = ([0, 0], [set, 0], false, false);
        Box::new(Tree { path, own, tree, propagation, peer, recursive, mapped, ids: None })
    }
}

/// Whether a tmpfs of this kernel takes the attributes in which an overlay notes what is hidden.
pub(crate) fn tmpfs_keeps_attributes() -> bool {
    use rustix::fs::{MemfdFlags, XattrFlags, fsetxattr, memfd_create};
    static KEEPS: OnceLock<bool> = OnceLock::new();
    *KEEPS.get_or_init(|| {
        let file = memfd_create("hotcell-probe", MemfdFlags::CLOEXEC);
        let set = |file| fsetxattr(file, "user.hotcell", b"1", XattrFlags::empty());
        file.and_then(set).is_ok()
    })
}

/// Whether every mount finds its target in the directory as it is, and no device has to be made in
/// it. Targets below another mount's are made on that mount.
fn has_mount_points(rootfs: &Path, spec: &Spec) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let Ok(root) = rustix::fs::open(rootfs, flags | OFlags::DIRECTORY, Mode::empty()) else {
        return false;
    };
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let on_a_mount = |path: &Path| mounts.iter().any(|mount| path.starts_with(mount.destination()));
    let devices = spec.linux().as_ref().and_then(|linux| linux.devices().as_deref());
    if !devices.unwrap_or_default().iter().all(|device| on_a_mount(device.path())) {
        return false;
    }
    mounts.iter().enumerate().all(|(at, mount)| {
        let target = mount.destination();
        mounts[..at].iter().any(|above| target.starts_with(above.destination()))
            || openat2(&root, target, flags, Mode::empty(), ResolveFlags::IN_ROOT).is_ok()
    })
}
