//! The cell's file system: scratch space and root, mounts below it, what is hidden, the pivot.
//!
//! Before the pivot a path is either the host's (trusted: the embedder's configuration named it) or
//! "in root" (hostile: an image made it), and each function says which. In-root targets are opened
//! once and mounted on by descriptor, or by the "." of a directory just entered, so nothing can be
//! swapped between the look and the mount.

use core::ffi::CStr;

use super::cell::Cell;
use super::cover;
use super::files::{self, Kind};
use super::kernel::{self, Fault, Fd, Outcome, Text};
use super::links;
use super::plan::Plan;
use super::wire::{
    BEHIND_LINKS, COPY_UP, IN_TRAY, KEEP_MODE, MAKE_DIR, MAKE_FILE, NO_SYMLINKS, Step,
};
use crate::sys::abi::*;
use crate::sys::raw::{Errno, nr};

const HERE: &CStr = c".";
/// What nobody needs on a file system that holds nothing.
const BARE: u64 = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
const NULL: Kind = Kind { bits: S_IFCHR, device: (1, 3) };

/// Enters the namespace that holds nothing of the host's, and leaves it for a copy.
pub(crate) fn enter_cradle(cradle: Fd) -> Outcome {
    kernel::enter_namespace(&cradle, CLONE_NEWNS)?;
    kernel::unshare(CLONE_NEWNS)
}

/// Sets the propagation of the mount at `path`, with `MS_REC` of all below it too.
pub(crate) fn set_propagation(path: &'static CStr, propagation: u64) -> Outcome {
    kernel::mount(Text::NONE, Text::literal(path), Text::NONE, propagation as usize, Text::NONE)
}

/// Mounts a tmpfs on a host directory and enters it. The mount exists in this namespace only. If it is
/// `shared`, other things that the cell needs are made in it too.
pub(crate) fn scratch(cell: &mut Cell, target: Text, options: Text, shared: bool) -> Outcome {
    let tmpfs = Text::literal(c"tmpfs");
    kernel::mount(tmpfs, target, tmpfs, MS_NOSUID | MS_NODEV | MS_NOEXEC, options)?;
    let scratch = files::open(target, O_PATH)?;
    kernel::fchdir(&scratch)?;
    cell.scratch = shared.then_some(scratch);
    Ok(())
}

/// Attaches a mount that the parent made at a new directory here.
pub(crate) fn tree_here(plan: &mut Plan, step: &Step) -> Outcome {
    let tree = plan.tree(step.number[0])?;
    let name = plan.text(step.text[0])?;
    kernel::mkdir_at(AT_FDCWD, name, 0o700)?;
    kernel::move_mount_at(&tree, AT_FDCWD, name)
}

/// Attaches a mount that the parent made on a directory of this namespace and takes it for the root.
pub(crate) fn tree_as_root(cell: &mut Cell, plan: &mut Plan, step: &Step) -> Outcome {
    let tree = plan.tree(step.number[0])?;
    kernel::move_mount_at(&tree, AT_FDCWD, plan.text(step.text[0])?)?;
    cell.enter(tree)
}

/// Attaches a mount that the parent made in root, or in the tray, where all names are ours.
pub(crate) fn tree(cell: &mut Cell, plan: &mut Plan, step: &Step) -> Outcome {
    let tree = plan.tree(step.number[0])?;
    if step.flags & IN_TRAY == 0 {
        return kernel::move_mount(&tree, &target(cell, plan, step)?);
    }
    let tray = cell.tray.as_ref().ok_or(Fault::new(nr::mkdirat, Errno::ENOENT))?;
    let name = plan.text(step.text[0])?;
    kernel::mkdir_at(tray.0, name, 0o755)?;
    kernel::move_mount_at(&tree, tray.0, name)
}

/// Mounts an overlay; relative paths in its options start at the current directory.
pub(crate) fn overlay(cell: &mut Cell, target: Text, options: Text) -> Outcome {
    if cell.scratch.is_some() {
        cell.ground = Some(files::open(target, O_PATH)?);
    }
    let overlay = Text::literal(c"overlay");
    kernel::mount(overlay, target, overlay, 0, options)
}

/// Opens the step's target in root, made first when the step says so; behind a link that leads to what
/// is not there, if it says that too.
fn target(cell: &mut Cell, plan: &Plan, step: &Step) -> Outcome<Fd> {
    let path = plan.text(step.text[0])?;
    let no_symlinks = step.flags & NO_SYMLINKS != 0;
    cell.cover(path, no_symlinks);
    let make = |path: Text| {
        match step.flags & MAKE_DIR != 0 {
            true => cell.make_dir(path)?,
            false => cell.make_file(path)?,
        }
        cell.locate(path, no_symlinks)
    };
    match cell.locate(path, no_symlinks) {
        Err(fault) if fault.is(Errno::ENOENT) && step.flags & (MAKE_DIR | MAKE_FILE) != 0 => {
            match step.flags & BEHIND_LINKS != 0 && !no_symlinks {
                true => links::resolve(cell.root(), path, make),
                false => make(path),
            }
        }
        found => found,
    }
}

/// Mounts a new file system on a directory in root. It needs no propagation: nothing above it is
/// shared but a volume that asked for it.
pub(crate) fn mount(cell: &mut Cell, plan: &Plan, step: &Step) -> Outcome {
    if step.flags & (KEEP_MODE | COPY_UP) != 0 {
        let path = plan.text(step.text[0])?;
        match cell.locate(path, step.flags & NO_SYMLINKS != 0) {
            Ok(covered) => {
                cell.cover(path, step.flags & NO_SYMLINKS != 0);
                return cover::mount(&covered, plan, step);
            }
            // A directory that is made for it has nothing to keep.
            Err(fault) if fault.is(Errno::ENOENT) => {}
            Err(fault) => return Err(fault),
        }
    }
    let (source, kind) = (plan.text(step.text[1])?, plan.text(step.text[2])?);
    if kind.bytes() == b"proc"
        && let Some(begun) = &cell.begun_proc
    {
        cover::configure_all(begun, plan.text(step.text[3])?)?;
        let made = files::create(begun, step.number[1])?;
        return kernel::move_mount(&made, &target(cell, plan, step)?);
    }
    kernel::fchdir(&target(cell, plan, step)?)?;
    let flags = step.number[0] as usize;
    kernel::mount(source, Text::literal(HERE), kind, flags, plan.text(step.text[3])?)
}

/// Mounts the tray, and keeps it open: a second look at its path could find another mount.
pub(crate) fn tray(cell: &mut Cell, plan: &Plan, step: &Step) -> Outcome {
    let tray = cell.fresh(c"tray", BARE)?;
    kernel::move_mount(&tray, &target(cell, plan, step)?)?;
    cell.tray = Some(tray);
    Ok(())
}

/// Makes the tray read-only once everything stands in it.
pub(crate) fn seal_tray(cell: &mut Cell) -> Outcome {
    let tray = cell.tray.take().ok_or(Fault::new(nr::mount_setattr, Errno::ENOENT))?;
    let attr = MountAttr { attr_set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    files::set_attributes(&tray, &attr, false)
}

/// Makes a device, FIFO or file. One that is there already stays, with its owner and its mode, but
/// it must be the same device.
pub(crate) fn node(cell: &mut Cell, plan: &Plan, step: &Step) -> Outcome {
    let [mode, device, owner] = step.number;
    let parent = cell.parent(plan.text(step.text[0])?)?;
    let name = plan.text(step.text[1])?;
    match kernel::mknod_at(parent.0, name, mode, device) {
        Err(fault) if fault.is(Errno::EEXIST) => {
            let there = files::kind(&files::open_in_root(parent, name, O_PATH, true)?)?;
            let asked = Kind { bits: mode as u32 & S_IFMT, device: split(device) };
            return if there == asked { Ok(()) } else { Err(fault) };
        }
        made => made?,
    }
    match owner {
        0 => Ok(()),
        _ => kernel::chown_at(parent.0, name, (owner >> 32) as u32, owner as u32),
    }
}

/// Major and minor number, as the kernel's `dev_t` for user space holds them.
fn split(device: u64) -> (u32, u32) {
    let major = device >> 8 & 0xfff | device >> 32 & 0xffff_f000;
    let minor = device & 0xff | device >> 12 & 0xffff_ff00;
    (major as u32, minor as u32)
}

/// Makes a symbolic link; one that is there already stays.
pub(crate) fn link(cell: &mut Cell, plan: &Plan, step: &Step) -> Outcome {
    let parent = cell.parent(plan.text(step.text[0])?)?;
    match kernel::symlink_at(plan.text(step.text[2])?, parent.0, plan.text(step.text[1])?) {
        Err(fault) if fault.is(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// Hides a path: a file behind the null device, a directory behind an empty one. A symbolic link
/// hides what it leads to inside the root.
///
/// Whoever owns what hides, owns what is hidden. So the empty directory is one in memory that no path
/// leads to ([`Cell::empty`]), and what hides files was seen to be the null device after it had been
/// opened; both are kept open. All directories share one, for each more makes the
/// cell's death slower.
pub(crate) fn mask(cell: &mut Cell, path: Text) -> Outcome {
    cell.forget();
    let Some(target) = cell.locate_existing(path)? else {
        return Ok(());
    };
    let is_dir = files::kind(&target)?.bits == S_IFDIR;
    let cover = match (is_dir, &cell.empty_dir, &cell.null) {
        (true, Some(cover), _) | (false, _, Some(cover)) => cover,
        (true, None, _) => {
            let empty = cell.empty(BARE | MOUNT_ATTR_RDONLY)?;
            kernel::move_mount(&empty, &target)?;
            cell.empty_dir = Some(empty);
            return Ok(());
        }
        (false, _, None) => {
            let null = null_device(cell, O_PATH)?;
            cell.null.insert(null)
        }
    };
    let tree = files::clone_tree(cover.0, Text::literal(c""), false)?;
    kernel::move_mount(&tree, &target)
}

/// Opens the cell's own null device. An image or a neighbour may have put something else there.
fn null_device(cell: &Cell, flags: usize) -> Outcome<Fd> {
    let null = files::open_in_root(cell.root(), Text::literal(c"/dev/null"), flags, true)?;
    match files::kind(&null)? {
        NULL => Ok(null),
        _ => Err(Fault::new(nr::statx, Errno::ENXIO)),
    }
}

/// Puts a read-only copy of a path on top of itself.
pub(crate) fn read_only(cell: &mut Cell, path: Text) -> Outcome {
    cell.forget();
    let Some(target) = cell.locate_existing(path)? else {
        return Ok(());
    };
    let tree = files::clone_tree(target.0, Text::literal(c""), true)?;
    let attr = MountAttr {
        attr_set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
        ..MountAttr::default()
    };
    files::set_attributes(&tree, &attr, true)?;
    kernel::move_mount(&tree, &target)
}

/// Changes the attributes of a mount in root.
pub(crate) fn attributes(cell: &mut Cell, plan: &Plan, step: &Step) -> Outcome {
    let [attr_set, attr_clr, recursive] = step.number;
    let mount = target(cell, plan, step)?;
    let attr = MountAttr { attr_set, attr_clr, ..MountAttr::default() };
    files::set_attributes(&mount, &attr, recursive != 0)
}

/// Changes the attributes of the root mount.
pub(crate) fn root_attributes(cell: &Cell, attr_set: u64) -> Outcome {
    let attr = MountAttr { attr_set, ..MountAttr::default() };
    files::set_attributes(cell.root(), &attr, false)
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

/// Makes the new root the root without letting go of the old, which takes the kernel long: it lies
/// below, with nothing of the host's in it but a read-only copy of the cell's own root and the cell's
/// own layer. Nobody gets there who may not change mounts.
pub(crate) fn cover(cell: &Cell) -> Outcome {
    kernel::move_mount_at(cell.root(), AT_FDCWD, Text::literal(c"/"))?;
    kernel::fchdir(cell.root())?;
    kernel::chroot(Text::literal(HERE))
}

/// Makes the cell's own null device a standard stream: the host's inode must not be reachable
/// through /proc/self/fd, where root could change its mode.
pub(crate) fn null_stream(cell: &mut Cell, number: u64) -> Outcome {
    let null = match &cell.null_stream {
        Some(null) => null,
        None => cell.null_stream.insert(null_device(cell, O_RDWR)?),
    };
    kernel::duplicate_onto(null, number as usize)
}

/// Writes to a file of a proc file system of the init's own. The one in root will not do: what lies
/// there an image or another mount may have redirected (CVE-2025-52881).
pub(crate) fn write_proc(cell: &mut Cell, path: Text, value: Text) -> Outcome {
    let proc = match &cell.proc {
        Some(proc) => proc,
        None => cell.proc.insert(files::detached_proc(BARE)?),
    };
    let file = files::open_in_root(proc, path, O_WRONLY, false)?;
    match kernel::write(&file, value.bytes())? {
        count if count == value.bytes().len() => Ok(()),
        _ => Err(Fault::new(nr::write, Errno::EINVAL)),
    }
}

/// Enters the task's working directory, made first if it may be, and makes sure that it is below the
/// root.
pub(crate) fn working_dir(cell: &Cell, path: Text, make: bool) -> Outcome {
    let dir = match cell.locate(path, false) {
        Err(fault) if fault.is(Errno::ENOENT) && make => {
            cell.make_dir(path)?;
            cell.locate(path, false)?
        }
        found => found?,
    };
    kernel::fchdir(&dir)?;
    match files::inside_root()? {
        true => Ok(()),
        false => Err(Fault::new(nr::getcwd, Errno::ENOENT)),
    }
}
