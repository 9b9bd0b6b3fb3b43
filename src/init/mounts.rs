//! The cell's file system: scratch space and root, mounts below it, what is hidden, the pivot.
//!
//! Before the pivot a path is either the host's (trusted: the embedder's configuration named it) or
//! "in root" (hostile: an image made it), and each function says which. In-root targets are opened
//! once and mounted on by descriptor, or by the "." of a directory just entered, so nothing can be
//! swapped between the look and the mount.

use core::ffi::CStr;

use super::cell::Cell;
use super::kernel::{self, Fault, Fd, Outcome, Text};
use super::plan::Plan;
use super::wire::{MAKE_DIR, MAKE_FILE, NO_SYMLINKS, RECURSIVE, Step};
use crate::sys::abi::*;
use crate::sys::raw::{Errno, nr};

const HERE: &CStr = c".";
const S_IFDIR: u32 = 0o040_000;

/// Sets the propagation of the mount at `path` and of all below it.
pub(crate) fn set_propagation(path: &'static CStr, propagation: u64) -> Outcome {
    let flags = propagation as usize | MS_REC;
    kernel::mount(Text::NONE, Text::literal(path), Text::NONE, flags, Text::NONE)
}

/// Mounts a tmpfs on a host directory and enters it. The mount exists in this namespace only.
pub(crate) fn scratch(target: Text, options: Text) -> Outcome {
    let tmpfs = Text::literal(c"tmpfs");
    kernel::mount(tmpfs, target, tmpfs, MS_NOSUID | MS_NODEV | MS_NOEXEC, options)?;
    kernel::chdir(target)
}

/// Attaches a mount that the parent made at a new directory here.
pub(crate) fn tree_here(plan: &mut Plan, step: &Step) -> Outcome {
    let tree = plan.tree(step.number[0])?;
    let name = plan.text(step.text[0])?;
    kernel::mkdir_at(AT_FDCWD, name, 0o700)?;
    kernel::move_mount(&tree, &kernel::open(name, O_PATH)?)
}

/// Attaches a mount that the parent made on a host directory and takes it for the root.
pub(crate) fn tree_as_root(cell: &mut Cell, plan: &mut Plan, step: &Step) -> Outcome {
    let tree = plan.tree(step.number[0])?;
    let target = plan.text(step.text[0])?;
    kernel::move_mount(&tree, &kernel::open(target, O_PATH)?)?;
    cell.enter(target)
}

/// Attaches a mount that the parent made in root.
pub(crate) fn tree(cell: &Cell, plan: &mut Plan, step: &Step) -> Outcome {
    let tree = plan.tree(step.number[0])?;
    kernel::move_mount(&tree, &target(cell, plan, step)?)
}

/// Mounts an overlay; relative paths in its options start at the current directory.
pub(crate) fn overlay(target: Text, options: Text) -> Outcome {
    let overlay = Text::literal(c"overlay");
    kernel::mount(overlay, target, overlay, 0, options)
}

/// Makes a host directory a mount of its own, so that the namespace can pivot to it. Not on top of
/// itself: were it "/", nobody could name what lies on top.
pub(crate) fn bind_root(plan: &Plan, step: &Step) -> Outcome {
    let [attr_set, propagation, _] = step.number;
    let recursive = step.flags & RECURSIVE != 0;
    let tree = kernel::clone_tree(AT_FDCWD, plan.text(step.text[0])?, recursive)?;
    let attr = MountAttr { attr_set, propagation, ..MountAttr::default() };
    kernel::set_attributes(&tree, &attr, recursive)?;
    kernel::move_mount(&tree, &kernel::open(plan.text(step.text[1])?, O_PATH)?)
}

/// Opens the step's target in root, made first when the step says so.
fn target(cell: &Cell, plan: &Plan, step: &Step) -> Outcome<Fd> {
    let path = plan.text(step.text[0])?;
    let no_symlinks = step.flags & NO_SYMLINKS != 0;
    match cell.locate(path, no_symlinks) {
        Err(fault) if fault.is(Errno::ENOENT) && step.flags & MAKE_DIR != 0 => {
            cell.make_dir(path)?
        }
        Err(fault) if fault.is(Errno::ENOENT) && step.flags & MAKE_FILE != 0 => {
            cell.make_file(path)?;
        }
        found => return found,
    }
    cell.locate(path, no_symlinks)
}

/// Mounts a new file system on a directory in root.
pub(crate) fn mount(cell: &Cell, plan: &Plan, step: &Step) -> Outcome {
    let [flags, propagation, _] = step.number;
    let (source, kind) = (plan.text(step.text[1])?, plan.text(step.text[2])?);
    kernel::fchdir(&target(cell, plan, step)?)?;
    let here = Text::literal(HERE);
    kernel::mount(source, here, kind, flags as usize, plan.text(step.text[3])?)?;
    if propagation == 0 {
        return Ok(());
    }
    let mounted = cell.locate(plan.text(step.text[0])?, step.flags & NO_SYMLINKS != 0)?;
    let attr = MountAttr { propagation, ..MountAttr::default() };
    kernel::set_attributes(&mounted, &attr, false)
}

/// Clones a host mount, settles its attributes while nobody sees it, and attaches it in root.
pub(crate) fn bind(cell: &Cell, plan: &Plan, step: &Step) -> Outcome {
    let [attr_set, attr_clr, propagation] = step.number;
    let recursive = step.flags & RECURSIVE != 0;
    let tree = kernel::clone_tree(AT_FDCWD, plan.text(step.text[1])?, recursive)?;
    let attr = MountAttr { attr_set, attr_clr, propagation, ..MountAttr::default() };
    kernel::set_attributes(&tree, &attr, recursive)?;
    kernel::move_mount(&tree, &target(cell, plan, step)?)
}

/// Changes the attributes of a mount made earlier.
pub(crate) fn set_attributes(cell: &Cell, path: Text, set: u64, clear: u64) -> Outcome {
    let attr = MountAttr { attr_set: set, attr_clr: clear, ..MountAttr::default() };
    kernel::set_attributes(&cell.locate(path, true)?, &attr, false)
}

/// Makes a device, FIFO or file.
pub(crate) fn node(cell: &mut Cell, plan: &Plan, step: &Step) -> Outcome {
    let [mode, device, owner] = step.number;
    let parent = cell.parent(step.text[0], plan.text(step.text[0])?)?;
    let name = plan.text(step.text[1])?;
    kernel::mknod_at(parent, name, mode, device)?;
    match owner {
        0 => Ok(()),
        _ => kernel::chown_at(parent, name, (owner >> 32) as u32, owner as u32),
    }
}

/// Makes a symbolic link; one that is there already stays.
pub(crate) fn link(cell: &mut Cell, plan: &Plan, step: &Step) -> Outcome {
    let parent = cell.parent(step.text[0], plan.text(step.text[0])?)?;
    match kernel::symlink_at(plan.text(step.text[2])?, parent, plan.text(step.text[1])?) {
        Err(fault) if fault.is(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// Hides a path: a file behind the cell's own null device, a directory behind an empty one. All
/// directories share one tmpfs, for each superblock makes the cell's death slower.
pub(crate) fn mask(cell: &mut Cell, path: Text) -> Outcome {
    let Some(target) = cell.locate_existing(path)? else {
        return Ok(());
    };
    if kernel::file_type(&target)? != S_IFDIR {
        let null = cell.locate(Text::literal(c"/dev/null"), true)?;
        let tree = kernel::clone_tree(null.0, Text::literal(c""), false)?;
        return kernel::move_mount(&tree, &target);
    }
    if let Some(empty) = &cell.empty_dir {
        let tree = kernel::clone_tree(empty.0, Text::literal(c""), false)?;
        return kernel::move_mount(&tree, &target);
    }
    kernel::fchdir(&target)?;
    let tmpfs = Text::literal(c"tmpfs");
    let flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    kernel::mount(tmpfs, Text::literal(HERE), tmpfs, flags, Text::literal(c"mode=755"))?;
    cell.empty_dir = Some(cell.locate(path, false)?);
    Ok(())
}

/// Puts a read-only copy of a path on top of itself.
pub(crate) fn read_only(cell: &Cell, path: Text) -> Outcome {
    let Some(target) = cell.locate_existing(path)? else {
        return Ok(());
    };
    let tree = kernel::clone_tree(target.0, Text::literal(c""), true)?;
    let attr = MountAttr {
        attr_set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
        ..MountAttr::default()
    };
    kernel::set_attributes(&tree, &attr, true)?;
    kernel::move_mount(&tree, &target)
}

/// Changes the attributes of the root mount.
pub(crate) fn root_attributes(cell: &Cell, attr_set: u64) -> Outcome {
    let attr = MountAttr { attr_set, ..MountAttr::default() };
    kernel::set_attributes(cell.root(), &attr, false)
}

/// Makes the new root the root. The old one is stacked on "." by the pivot and let go at once, so
/// no directory has to exist for it, and nothing of the host stays reachable.
pub(crate) fn pivot(cell: &Cell) -> Outcome {
    kernel::fchdir(cell.root())?;
    let here = Text::literal(HERE);
    kernel::pivot_root(here, here)?;
    kernel::detach(here)?;
    kernel::chdir(Text::literal(c"/"))
}

/// Opens the cell's own null device as a standard stream: the host's inode must not be reachable
/// through /proc/self/fd, where root could change its mode.
pub(crate) fn null_stream(cell: &Cell, number: u64) -> Outcome {
    let null = kernel::open_in_root(cell.root(), Text::literal(c"/dev/null"), O_RDWR, true)?;
    kernel::duplicate_onto(&null, number as usize)
}

/// Enters the task's working directory and makes sure that it is below the root.
pub(crate) fn working_dir(cell: &Cell, path: Text) -> Outcome {
    let dir = match cell.locate(path, false) {
        Err(fault) if fault.is(Errno::ENOENT) => {
            cell.make_dir(path)?;
            cell.locate(path, false)?
        }
        found => found?,
    };
    kernel::fchdir(&dir)?;
    match kernel::inside_root()? {
        true => Ok(()),
        false => Err(Fault::new(nr::getcwd, Errno::ENOENT)),
    }
}
