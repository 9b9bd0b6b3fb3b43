//! What a helper takes from itself before it reads the first byte of a layer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, unmount,
};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, fchdir, getrlimit, pivot_root, set_dumpable_behavior,
    setrlimit,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use super::super::error::Cause;
use super::super::limits::Limits;
use crate::seccomp::{Architecture, compile};

/// Address space: a zstd window, buffers, and what the allocator reserves for each thread.
const ADDRESS_SPACE: u64 = 2 << 30;
/// Descriptors beside one for each directory on the way and each layer below.
const DESCRIPTORS: u64 = 64;
/// `ENOSYS`: with it, the C library tries an older call.
const NO_SUCH_CALL: u32 = 38;
const CLONE_THREAD: u64 = 0x1_0000;
const PR_SET_NAME: u64 = 15;

/// The calls of reading a stream, making a tree, threads and memory.
const CALLS: &[&str] = &[
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "copy_file_range",
    "exit",
    "exit_group",
    "fchmod",
    "fchown",
    "fchownat",
    "fcntl",
    "fgetxattr",
    "flistxattr",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "ftruncate",
    "futex",
    "getdents64",
    "getpid",
    "getrandom",
    "gettid",
    "linkat",
    "lseek",
    "madvise",
    "membarrier",
    "mkdirat",
    "mknodat",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "newfstatat",
    "openat",
    "openat2",
    "poll",
    "ppoll",
    "pread64",
    "pwrite64",
    "read",
    "readlinkat",
    "recvmsg",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "sendfile",
    "sendmsg",
    "set_robust_list",
    "sigaltstack",
    "statx",
    "symlinkat",
    "unlinkat",
    "utimensat",
    "write",
    "writev",
];

/// Leaves this process nothing but the directories. Whether landlock is part of that is the kernel's
/// to say; all the rest is done or fails.
pub(super) fn confine(
    upper: BorrowedFd<'_>,
    lowers: &[BorrowedFd<'_>],
    limits: &Limits,
) -> Result<bool, Cause> {
    let step = |what: &'static str| move |errno: Errno| Cause::helper(what, errno);
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(step("hide its memory"))?;
    set_no_new_privs(true).map_err(step("set no_new_privs"))?;
    empty_root().map_err(step("take an empty root"))?;
    limit(lowers.len() as u64, limits).map_err(step("set its resource limits"))?;
    let landlock = landlock(upper, lowers)?;
    drop_capabilities().map_err(step("drop capabilities"))?;
    filter()?;
    Ok(landlock)
}

/// An empty file system that can't be written to, in place of all others.
fn empty_root() -> Result<(), Errno> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "mode", "0500")?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let root = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    move_mount(root.as_fd(), c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    fchdir(root)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)
}

fn limit(lowers: u64, limits: &Limits) -> Result<(), Errno> {
    let hard = |resource, most: u64| {
        let most = getrlimit(resource).maximum.map_or(most, |now| now.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
    };
    hard(Resource::Core, 0)?;
    hard(Resource::Memlock, 0)?;
    hard(Resource::Fsize, limits.bytes)?;
    hard(Resource::As, ADDRESS_SPACE)?;
    hard(Resource::Nofile, DESCRIPTORS + limits.depth + lowers)
}

/// The upper directory to make things in, those below to read. Before Linux 5.19 it would forbid hard
/// links from one directory to another, and is left out.
fn landlock(upper: BorrowedFd<'_>, lowers: &[BorrowedFd<'_>]) -> Result<bool, Cause> {
    let all = AccessFs::from_all(ABI::V5);
    let never: BitFlags<AccessFs> =
        AccessFs::Execute | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::IoctlDev;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let restrict = || {
        let rules = Ruleset::default()
            .handle_access(all)?
            .handle_access(AccessNet::from_all(ABI::V5))?
            .scope(Scope::from_all(ABI::V6))?
            .create()?
            .add_rule(PathBeneath::new(upper, all & !never))?;
        let rules = lowers
            .iter()
            .try_fold(rules, |rules, lower| rules.add_rule(PathBeneath::new(lower, read)))?;
        rules.restrict_self()
    };
    let status = restrict().map_err(|error: landlock::RulesetError| {
        Cause::helper("restrict itself by landlock", io::Error::other(error.to_string()))
    })?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// What it takes to make files of any owner and mode.
fn drop_capabilities() -> Result<(), Errno> {
    let kept = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::SETFCAP;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: none })
}

/// No call but those that the work takes; threads, but no process.
fn filter() -> Result<(), Cause> {
    let failed = |error: io::Error| Cause::helper("load its system call filter", error);
    let rules = rules().map_err(|error| failed(io::Error::other(error.to_string())))?;
    let program = compile(&rules, Architecture::NATIVE);
    let program = program.map_err(|error| failed(io::Error::other(error.to_string())))?;
    crate::sys::filter::load(program.instructions(), program.flags()).map_err(failed)
}

fn rules() -> Result<LinuxSeccomp, oci_spec::OciSpecError> {
    let allow = |names: &[&str]| {
        LinuxSyscallBuilder::default()
            .names(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
            .action(LinuxSeccompAction::ScmpActAllow)
    };
    let only = |name: &str,
                mask: Option<u64>,
                value: u64|
     -> Result<LinuxSyscall, oci_spec::OciSpecError> {
        let argument = LinuxSeccompArgBuilder::default().index(0usize);
        let argument = match mask {
            Some(mask) => {
                argument.value(mask).value_two(value).op(LinuxSeccompOperator::ScmpCmpMaskedEq)
            }
            None => argument.value(value).op(LinuxSeccompOperator::ScmpCmpEq),
        };
        allow(&[name]).args(vec![argument.build()?]).build()
    };
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(NO_SUCH_CALL)
        .syscalls(vec![
            allow(CALLS).build()?,
            only("clone", Some(CLONE_THREAD), CLONE_THREAD)?,
            only("prctl", None, PR_SET_NAME)?,
        ])
        .build()
}
