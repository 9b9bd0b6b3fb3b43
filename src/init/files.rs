//! The system calls about files and mounts: opening in root, looking, detached mounts.

use core::ffi::CStr;

use super::kernel::{Argument, EMPTY, Fault, Fd, Outcome, Text, call};
use crate::sys::abi::*;
use crate::sys::raw::{Errno, nr};

/// Opens `path` below `dir` and nowhere else: a symbolic link is followed inside `dir`, never
/// through a magic link, and not at all with `no_symlinks`.
pub(crate) fn open_in_root(dir: &Fd, path: Text, flags: usize, no_symlinks: bool) -> Outcome<Fd> {
    let links = if no_symlinks { RESOLVE_NO_SYMLINKS } else { 0 };
    let how = OpenHow {
        flags: (flags | O_CLOEXEC) as u64,
        mode: 0,
        resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | links,
    };
    let mut tries = 0;
    loop {
        let args = [dir.0 as usize, path.argument(), &raw const how as usize, size_of_val(&how)];
        // SAFETY: `how` outlives the call and its size is given.
        match unsafe { call(nr::openat2, args) } {
            // The kernel gives up when a rename elsewhere may have raced with "..".
            Err(fault) if fault.is(Errno::EAGAIN) && tries < 128 => tries += 1,
            other => return other.map(|fd| Fd(fd as i32)),
        }
    }
}

/// Opens `path` from the current directory, or the host's root when it is absolute.
pub(crate) fn open(path: Text, flags: usize) -> Outcome<Fd> {
    let args = [AT_FDCWD as usize, path.argument(), flags | O_CLOEXEC, 0];
    // SAFETY: a NUL-terminated path and numbers.
    unsafe { call(nr::openat, args) }.map(|fd| Fd(fd as i32))
}

/// A detached copy of the mount at `path` (from `dir` when relative or empty).
pub(crate) fn clone_tree(dir: i32, path: Text, recursive: bool) -> Outcome<Fd> {
    let mut flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
    if recursive {
        flags |= AT_RECURSIVE;
    }
    // SAFETY: a NUL-terminated path and numbers.
    unsafe { call(nr::open_tree, [dir as usize, path.argument(), flags]) }.map(|fd| Fd(fd as i32))
}

/// Changes attributes and propagation of an open mount, or of its whole tree.
pub(crate) fn set_attributes(mount: &Fd, attr: &MountAttr, recursive: bool) -> Outcome {
    let flags = if recursive { AT_EMPTY_PATH | AT_RECURSIVE } else { AT_EMPTY_PATH };
    let empty = c"".as_ptr() as usize;
    let args =
        [mount.0 as usize, empty, flags, core::ptr::from_ref(attr) as usize, size_of_val(attr)];
    // SAFETY: `attr` outlives the call and its size is given.
    unsafe { call(nr::mount_setattr, args) }.map(drop)
}

/// An empty memory file system that is mounted nowhere yet; its root has mode 755.
pub(crate) fn detached_tmpfs(attributes: u64) -> Outcome<Fd> {
    detached(c"tmpfs", Some((c"mode", c"755")), attributes)
}

/// A proc file system that is mounted nowhere: nobody has put anything on top of its files.
pub(crate) fn detached_proc(attributes: u64) -> Outcome<Fd> {
    detached(c"proc", None, attributes)
}

fn detached(
    kind: &'static CStr,
    option: Option<(&'static CStr, &'static CStr)>,
    attributes: u64,
) -> Outcome<Fd> {
    let context = new_file_system(Text::literal(kind))?;
    if let Some((name, value)) = option {
        configure(&context, Text::literal(name), Text::literal(value))?;
    }
    create(&context, attributes)
}

/// Begins a file system of a type.
pub(crate) fn new_file_system(kind: Text) -> Outcome<Fd> {
    // SAFETY: a NUL-terminated string and a number.
    unsafe { call(nr::fsopen, [kind.slot(), FSOPEN_CLOEXEC]) }.map(|fd| Fd(fd as i32))
}

/// Gives a file system that has begun an option; one without a value has none.
pub(crate) fn configure(context: &Fd, name: Text, value: Text) -> Outcome {
    let command = if value.slot() == 0 { FSCONFIG_SET_FLAG } else { FSCONFIG_SET_STRING };
    // SAFETY: NUL-terminated strings and numbers.
    unsafe { call(nr::fsconfig, [context.slot(), command, name.slot(), value.slot(), 0]) }.map(drop)
}

/// Makes what has been begun, mounted nowhere.
pub(crate) fn create(context: &Fd, attributes: u64) -> Outcome<Fd> {
    // SAFETY: numbers only, here and below.
    unsafe { call(nr::fsconfig, [context.slot(), FSCONFIG_CMD_CREATE, 0, 0, 0]) }?;
    let args = [context.slot(), FSMOUNT_CLOEXEC, attributes as usize];
    // SAFETY: as above.
    unsafe { call(nr::fsmount, args) }.map(|fd| Fd(fd as i32))
}

/// What an open file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kind {
    /// The type bits of its mode.
    pub(crate) bits: u32,
    /// The device that it stands for, if it is a node of one: major and minor number.
    pub(crate) device: (u32, u32),
}

/// Looks at an open file.
pub(crate) fn kind(fd: &Fd) -> Outcome<Kind> {
    look(fd).map(|look| look.kind)
}

/// What a copy of a file has to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) kind: Kind,
    /// The permission bits of its mode.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Looks at an open file, its mode and its owner.
pub(crate) fn look(fd: &Fd) -> Outcome<Look> {
    look_at(fd.slot(), EMPTY, AT_EMPTY_PATH)
}

/// The same at a path from `dir`.
fn look_at(dir: usize, path: Text, flags: usize) -> Outcome<Look> {
    const STATX_TYPE_MODE_UID_GID: usize = 0x1b;
    const UID_AT: usize = 20;
    const GID_AT: usize = 24;
    const MODE_AT: usize = 28;
    const DEVICE_AT: usize = 128;
    let mut answer = [0u8; 256];
    let args = [dir, path.slot(), flags, STATX_TYPE_MODE_UID_GID, answer.as_mut_ptr() as usize];
    // SAFETY: `struct statx` is 256 bytes.
    unsafe { call(nr::statx, args) }?;
    let word = |at: usize| {
        u32::from_ne_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]])
    };
    let mode = u32::from(u16::from_ne_bytes([answer[MODE_AT], answer[MODE_AT + 1]]));
    let kind = Kind { bits: mode & S_IFMT, device: (word(DEVICE_AT), word(DEVICE_AT + 4)) };
    Ok(Look { kind, mode: mode & 0o7777, uid: word(UID_AT), gid: word(GID_AT) })
}

/// Sees that `path` leads to a file that this process may execute. It opens none: its limit on
/// descriptors may be the task's already.
pub(crate) fn executable(path: Text) -> Outcome {
    let here = AT_FDCWD as usize;
    if look_at(here, path, 0)?.kind.bits == S_IFDIR {
        return Err(Fault::new(nr::statx, Errno::EISDIR));
    }
    // SAFETY: a NUL-terminated string and numbers.
    unsafe { call(nr::faccessat2, [here, path.slot(), X_OK, AT_EACCESS]) }.map(drop)
}

/// The magic number of the file system that an open file lies on.
pub(crate) fn file_system(fd: &Fd) -> Outcome<u64> {
    // `struct statfs` is 120 bytes and starts with the type.
    let mut answer = [0u64; 15];
    // SAFETY: the kernel writes 120 bytes.
    unsafe { call(nr::fstatfs, [fd.slot(), answer.as_mut_ptr() as usize]) }?;
    Ok(answer[0])
}

/// Whether the current directory lies below the root: the kernel marks the others.
pub(crate) fn inside_root() -> Outcome<bool> {
    match starts_at_root(&mut [0; 128]) {
        Err(fault) if fault.is(Errno::ERANGE) => starts_far_from_root(),
        other => other,
    }
}

#[cold]
#[inline(never)]
fn starts_far_from_root() -> Outcome<bool> {
    starts_at_root(&mut [0; 4096])
}

fn starts_at_root(path: &mut [u8]) -> Outcome<bool> {
    // SAFETY: the kernel writes at most the length given.
    let length = unsafe { call(nr::getcwd, [path.as_mut_ptr() as usize, path.len()]) }?;
    Ok(length > 0 && path[0] == b'/')
}
