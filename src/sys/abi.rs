//! The kernel's structures and constants, as its user-space headers give them.
//!
//! Shared by the library and by the init, which links neither libc nor a bindings crate. A unit
//! test compares every value with the `linux-raw-sys` crate.

/// `struct clone_args`, its first published 88 bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default, Debug)]
pub struct CloneArgs {
    pub flags: u64,
    pub pidfd: u64,
    pub child_tid: u64,
    pub parent_tid: u64,
    pub exit_signal: u64,
    pub stack: u64,
    pub stack_size: u64,
    pub tls: u64,
    pub set_tid: u64,
    pub set_tid_size: u64,
    pub cgroup: u64,
}

/// `struct open_how` of `openat2`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct OpenHow {
    pub flags: u64,
    pub mode: u64,
    pub resolve: u64,
}

/// `struct mount_attr` of `mount_setattr`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct MountAttr {
    pub attr_set: u64,
    pub attr_clr: u64,
    pub propagation: u64,
    pub userns_fd: u64,
}

/// `struct rlimit64` of `prlimit64`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Rlimit64 {
    pub soft: u64,
    pub hard: u64,
}

/// `struct __user_cap_header_struct` of `capset`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CapHeader {
    pub version: u32,
    pub pid: i32,
}

/// `struct __user_cap_data_struct` of `capset`: one half of the 64-bit sets.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct CapData {
    pub effective: u32,
    pub permitted: u32,
    pub inheritable: u32,
}

/// `struct sched_attr` of `sched_setattr`, its first published 48 bytes.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SchedAttr {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

impl SchedAttr {
    /// The bytes that the kernel reads.
    #[must_use]
    pub fn to_bytes(self) -> [u8; size_of::<SchedAttr>()] {
        let mut bytes = [0; size_of::<SchedAttr>()];
        bytes[..4].copy_from_slice(&self.size.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.policy.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[16..20].copy_from_slice(&self.nice.to_ne_bytes());
        bytes[20..24].copy_from_slice(&self.priority.to_ne_bytes());
        bytes[24..32].copy_from_slice(&self.runtime.to_ne_bytes());
        bytes[32..40].copy_from_slice(&self.deadline.to_ne_bytes());
        bytes[40..].copy_from_slice(&self.period.to_ne_bytes());
        bytes
    }
}

/// `struct pollfd` of `ppoll`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct PollFd {
    pub fd: i32,
    pub events: i16,
    pub revents: i16,
}

/// `struct iovec` and `struct msghdr` of `recvmsg` and `sendmsg`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IoVec {
    pub base: *mut u8,
    pub length: usize,
}

#[repr(C)]
#[derive(Debug)]
pub struct MsgHdr {
    pub name: usize,
    pub name_length: usize,
    pub parts: *const IoVec,
    pub part_count: usize,
    pub control: *mut u8,
    pub control_length: usize,
    pub flags: usize,
}

/// Every constant below, once: the test walks the same list.
macro_rules! constants {
    ($($name:ident : $kind:ty = $value:literal,)*) => {
        $(#[allow(missing_docs, reason = "the names are the kernel's own")] pub const $name: $kind = $value;)*

        #[cfg(test)]
        mod tests {
            use linux_raw_sys::{general as g, prctl as p};

            #[test]
            fn every_constant_is_the_headers() {
                #[allow(unused_imports, reason = "two modules hold the headers' names")]
                use {g::*, p::*};
                $(assert_eq!(super::$name as u64, { $name } as u64, stringify!($name));)*
            }
        }
    };
}

constants! {
    CLONE_VM: u64 = 0x100,
    CLONE_FILES: u64 = 0x400,
    CLONE_VFORK: u64 = 0x4000,
    CLONE_PIDFD: u64 = 0x1000,
    CLONE_PARENT: u64 = 0x8000,
    CLONE_NEWTIME: u64 = 0x80,
    CLONE_NEWNS: u64 = 0x2_0000,
    CLONE_NEWCGROUP: u64 = 0x200_0000,
    CLONE_NEWUTS: u64 = 0x400_0000,
    CLONE_NEWUSER: u64 = 0x1000_0000,
    CLONE_NEWIPC: u64 = 0x800_0000,
    CLONE_NEWPID: u64 = 0x2000_0000,
    CLONE_NEWNET: u64 = 0x4000_0000,
    CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000,
    CLONE_INTO_CGROUP: u64 = 0x2_0000_0000,

    AT_FDCWD: i32 = -100,
    AT_EMPTY_PATH: usize = 0x1000,
    AT_RECURSIVE: usize = 0x8000,
    AT_SYMLINK_NOFOLLOW: usize = 0x100,
    AT_EACCESS: usize = 0x200,
    X_OK: usize = 1,

    F_DUPFD_CLOEXEC: usize = 1030,
    O_WRONLY: usize = 1,
    O_RDWR: usize = 2,
    O_CREAT: usize = 0o100,
    O_EXCL: usize = 0o200,
    O_NONBLOCK: usize = 0o4000,
    O_NOCTTY: usize = 0o400,
    O_CLOEXEC: usize = 0o2_000_000,
    O_PATH: usize = 0o10_000_000,

    RESOLVE_NO_MAGICLINKS: u64 = 0x2,
    RESOLVE_NO_SYMLINKS: u64 = 0x4,
    RESOLVE_IN_ROOT: u64 = 0x10,

    MS_RDONLY: usize = 1,
    MS_NOSUID: usize = 2,
    MS_NODEV: usize = 4,
    MS_NOEXEC: usize = 8,
    MS_REC: usize = 0x4000,
    MS_PRIVATE: usize = 0x4_0000,
    MS_SLAVE: usize = 0x8_0000,
    MS_SHARED: usize = 0x10_0000,
    MS_UNBINDABLE: usize = 0x2_0000,
    MS_STRICTATIME: usize = 0x100_0000,
    MS_NOATIME: usize = 0x400,
    MS_NODIRATIME: usize = 0x800,
    MS_SYNCHRONOUS: usize = 0x10,
    MS_DIRSYNC: usize = 0x80,
    MS_MANDLOCK: usize = 0x40,
    MS_NOSYMFOLLOW: usize = 0x100,
    MS_SILENT: usize = 0x8000,
    MS_I_VERSION: usize = 0x80_0000,
    MS_POSIXACL: usize = 0x1_0000,
    MS_LAZYTIME: usize = 0x200_0000,
    MNT_DETACH: usize = 2,

    OPEN_TREE_CLONE: usize = 1,
    OPEN_TREE_CLOEXEC: usize = 0o2_000_000,
    MOVE_MOUNT_F_EMPTY_PATH: usize = 0x4,
    MOVE_MOUNT_T_EMPTY_PATH: usize = 0x40,

    MOUNT_ATTR_RDONLY: u64 = 0x1,
    MOUNT_ATTR_NOSUID: u64 = 0x2,
    MOUNT_ATTR_NODEV: u64 = 0x4,
    MOUNT_ATTR_NOEXEC: u64 = 0x8,
    MOUNT_ATTR__ATIME: u64 = 0x70,
    MOUNT_ATTR_NOATIME: u64 = 0x10,
    MOUNT_ATTR_STRICTATIME: u64 = 0x20,
    MOUNT_ATTR_NODIRATIME: u64 = 0x80,
    MOUNT_ATTR_IDMAP: u64 = 0x10_0000,
    MOUNT_ATTR_NOSYMFOLLOW: u64 = 0x20_0000,

    FSOPEN_CLOEXEC: usize = 0x1,
    FSMOUNT_CLOEXEC: usize = 0x1,

    S_IFMT: u32 = 0o170_000,
    S_IFDIR: u32 = 0o040_000,
    S_IFCHR: u32 = 0o020_000,
    S_IFBLK: u32 = 0o060_000,
    S_IFLNK: u32 = 0o120_000,
    S_IFREG: u32 = 0o100_000,
    S_IFIFO: u32 = 0o010_000,

    SIG_SETMASK: usize = 2,
    SIGCHLD: i32 = 17,
    SIGKILL: i32 = 9,
    SIGSTOP: i32 = 19,
    WNOHANG: usize = 1,

    PR_SET_DUMPABLE: usize = 4,
    PR_SET_KEEPCAPS: usize = 8,
    PR_CAPBSET_DROP: usize = 24,
    PR_GET_SECUREBITS: usize = 27,
    PR_SET_SECUREBITS: usize = 28,
    PR_SET_TIMERSLACK: usize = 29,
    PR_SET_CHILD_SUBREAPER: usize = 36,
    PR_SET_NO_NEW_PRIVS: usize = 38,
    PR_SET_THP_DISABLE: usize = 41,
    PR_CAP_AMBIENT: usize = 47,
    PR_CAP_AMBIENT_RAISE: usize = 2,
    PR_CAP_AMBIENT_CLEAR_ALL: usize = 4,
}

/// `open`: directories only, and no symbolic link at the end. Their numbers are each architecture's.
#[cfg(target_arch = "x86_64")]
pub const O_DIRECTORY: usize = 0o200_000;
#[cfg(target_arch = "x86_64")]
pub const O_NOFOLLOW: usize = 0o400_000;
#[cfg(target_arch = "aarch64")]
pub const O_DIRECTORY: usize = 0o40_000;
#[cfg(target_arch = "aarch64")]
pub const O_NOFOLLOW: usize = 0o100_000;
/// `close_range`: mark instead of closing.
pub const CLOSE_RANGE_UNSHARE: usize = 2;
pub const CLOSE_RANGE_CLOEXEC: usize = 4;
/// `fsconfig`: a key alone; a value under a key; the file system is to be made.
pub const FSCONFIG_SET_FLAG: usize = 0;
pub const FSCONFIG_SET_STRING: usize = 1;
pub const FSCONFIG_CMD_CREATE: usize = 6;
/// `_LINUX_CAPABILITY_VERSION_3`: 64-bit sets in two halves.
pub const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
/// `AF_INET`, `SOCK_DGRAM | SOCK_CLOEXEC` and the two interface requests that bring a link up.
pub const AF_INET: usize = 2;
pub const SOCK_DGRAM_CLOEXEC: usize = 2 | 0o2_000_000;
/// `AF_UNIX` and `SOCK_SEQPACKET | SOCK_CLOEXEC`.
pub const AF_UNIX: usize = 1;
pub const SOCK_SEQPACKET_CLOEXEC: usize = 5 | 0o2_000_000;
pub const SIOCGIFFLAGS: usize = 0x8913;
pub const SIOCSIFFLAGS: usize = 0x8914;
pub const IFF_UP: u16 = 1;
/// Terminals: the file system that they stand in, and what is asked of them.
pub const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;
pub const TIOCSCTTY: usize = 0x540e;
pub const TIOCSWINSZ: usize = 0x5414;
pub const TIOCSPTLCK: usize = 0x4004_5431;
pub const TIOCGPTPEER: usize = 0x5441;
/// `recvmsg`: descriptors that come along are closed on exec. And what their message is called.
pub const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
pub const MSG_CTRUNC: usize = 0x8;
pub const MSG_NOSIGNAL: usize = 0x4000;
pub const SOL_SOCKET: i32 = 1;
pub const SCM_RIGHTS: i32 = 1;
pub const POLLIN: i16 = 1;
pub const PROT_READ_WRITE: usize = 3;
pub const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
pub const MAP_SHARED_ANONYMOUS: usize = 0x21;
