//! hotcell's own profile: what a function may ask of the kernel when nobody says otherwise.
//!
//! What is not named here is refused. `docs/seccomp.md` says why, and where this is stricter than
//! Docker's profile.

use std::sync::OnceLock;

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Op,
    LinuxSyscall,
};

use super::profile::{Architectures, Conditions, Profile, Rule, argument};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// What everybody may call, sorted by what it is for.
#[rustfmt::skip]
const ALLOWED: [(&str, &[&str]); 17] = [
    (
        "memory",
        &[
            "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "mincore", "msync", "mlock",
            "mlock2", "mlockall", "munlock", "munlockall", "mseal", "membarrier", "memfd_create",
            "memfd_secret", "pkey_alloc", "pkey_free", "pkey_mprotect", "map_shadow_stack",
        ],
    ),
    (
        "reading and writing",
        &[
            "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev",
            "preadv2", "pwritev2", "lseek", "sendfile", "splice", "tee", "copy_file_range",
            "readahead", "fadvise64", "sync", "syncfs", "fsync", "fdatasync", "sync_file_range",
            "io_setup", "io_destroy", "io_submit", "io_cancel", "io_getevents", "io_pgetevents",
        ],
    ),
    (
        "files and descriptors",
        &[
            "open", "openat", "openat2", "creat", "close", "close_range", "dup", "dup2", "dup3",
            "fcntl", "ioctl", "flock", "truncate", "ftruncate", "fallocate", "pipe", "pipe2",
            "umask", "name_to_handle_at",
        ],
    ),
    (
        "directories and names",
        &[
            "getcwd", "chdir", "fchdir", "getdents", "getdents64", "mkdir", "mkdirat", "rmdir",
            "link", "linkat", "symlink", "symlinkat", "readlink", "readlinkat", "unlink",
            "unlinkat", "rename", "renameat", "renameat2", "mknod", "mknodat",
        ],
    ),
    (
        "what files are, and whose",
        &[
            "stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access",
            "faccessat", "faccessat2", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown",
            "fchown", "lchown", "fchownat", "utime", "utimes", "utimensat", "futimesat",
            "statmount", "listmount",
        ],
    ),
    (
        "extended attributes",
        &[
            "getxattr", "lgetxattr", "fgetxattr", "getxattrat", "setxattr", "lsetxattr",
            "fsetxattr", "setxattrat", "listxattr", "llistxattr", "flistxattr", "listxattrat",
            "removexattr", "lremovexattr", "fremovexattr", "removexattrat",
        ],
    ),
    (
        "waiting for events",
        &[
            "select", "pselect6", "poll", "ppoll", "epoll_create", "epoll_create1", "epoll_ctl",
            "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "signalfd",
            "signalfd4", "inotify_init", "inotify_init1", "inotify_add_watch",
            "inotify_rm_watch",
        ],
    ),
    (
        "processes and threads",
        &[
            "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid",
            "getpid", "getppid", "gettid", "getpgid", "setpgid", "getpgrp", "getsid", "setsid",
            "prctl", "arch_prctl", "set_tid_address", "rseq", "pidfd_open", "pidfd_send_signal",
            "process_mrelease", "restart_syscall",
        ],
    ),
    (
        "locks between threads",
        &[
            "futex", "futex_wait", "futex_wake", "futex_waitv", "futex_requeue",
            "set_robust_list", "get_robust_list",
        ],
    ),
    (
        "signals",
        &[
            "rt_sigaction", "rt_sigprocmask", "rt_sigpending", "rt_sigsuspend",
            "rt_sigtimedwait", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "rt_sigreturn",
            "sigaltstack", "kill", "tkill", "tgkill", "pause",
        ],
    ),
    (
        "users and groups",
        &[
            "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups",
            "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid",
            "setfsgid", "setgroups", "capget", "capset",
        ],
    ),
    (
        "time",
        &[
            "time", "gettimeofday", "clock_gettime", "clock_getres", "clock_nanosleep",
            "nanosleep", "clock_adjtime", "adjtimex", "alarm", "getitimer", "setitimer",
            "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
            "timer_settime", "timerfd_create", "timerfd_gettime", "timerfd_settime", "times",
        ],
    ),
    (
        "scheduling and limits",
        &[
            "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getattr",
            "sched_setattr", "sched_getparam", "sched_setparam", "sched_getscheduler",
            "sched_setscheduler", "sched_get_priority_max", "sched_get_priority_min",
            "sched_rr_get_interval", "getpriority", "setpriority", "ioprio_get", "ioprio_set",
            "getrlimit", "setrlimit", "prlimit64", "getrusage", "getcpu", "sysinfo", "uname",
            "getrandom",
        ],
    ),
    (
        "sockets, but for making them",
        &[
            "bind", "connect", "listen", "accept", "accept4", "getsockname", "getpeername",
            "getsockopt", "setsockopt", "shutdown", "sendto", "recvfrom", "sendmsg", "recvmsg",
            "sendmmsg", "recvmmsg",
        ],
    ),
    (
        "shared memory, semaphores, messages: divided by the namespace",
        &[
            "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semctl", "semtimedop",
            "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "mq_timedsend",
            "mq_timedreceive", "mq_notify", "mq_getsetattr",
        ],
    ),
    (
        "giving up rights",
        &["seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"],
    ),
    (
        "looking into one's own processes: debuggers, leak checkers, the host's probes",
        &["ptrace", "process_vm_readv", "process_vm_writev", "uretprobe"],
    ),
];

/// What needs a capability. Calls that several give stand at each.
#[rustfmt::skip]
const WITH_A_CAPABILITY: [(Capability, &[&str]); 14] = [
    (Capability::DacReadSearch, &["open_by_handle_at"]),
    (
        Capability::SysAdmin,
        &[
            "bpf", "clone", "clone3", "fanotify_init", "fanotify_mark", "fsconfig", "fsmount",
            "fsopen", "fspick", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr",
            "mount", "mount_setattr", "move_mount", "open_tree", "perf_event_open", "quotactl",
            "quotactl_fd", "setdomainname", "sethostname", "setns", "syslog", "umount2",
            "unshare",
        ],
    ),
    (Capability::SysBoot, &["reboot"]),
    (Capability::SysChroot, &["chroot"]),
    (Capability::SysModule, &["delete_module", "init_module", "finit_module"]),
    (Capability::SysPacct, &["acct"]),
    (Capability::SysPtrace, &["kcmp", "pidfd_getfd", "process_madvise"]),
    (Capability::SysRawio, &["iopl", "ioperm"]),
    (Capability::SysTime, &["settimeofday", "clock_settime"]),
    (Capability::SysTtyConfig, &["vhangup"]),
    (
        Capability::SysNice,
        &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"],
    ),
    (Capability::Syslog, &["syslog"]),
    (Capability::Perfmon, &["perf_event_open"]),
    (Capability::Bpf, &["bpf"]),
];

const AF_UNIX: u64 = 1;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const AF_NETLINK: u64 = 16;
const AF_PACKET: u64 = 17;

/// Netlink's protocols for addresses and routes, sockets, device events, and the one that carries
/// many; and the audit log's, which logins write to.
const NETLINK: [u64; 4] = [0, 4, 15, 16];
const NETLINK_AUDIT: u64 = 9;

/// `CLONE_NEWCGROUP`, `NEWIPC`, `NEWNET`, `NEWNS`, `NEWPID`, `NEWUSER` and `NEWUTS`.
const NAMESPACES: u64 = 0x7e02_0000;

/// Linux, Linux with 32-bit names, each with an old version's number, and the question which it is.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

impl Profile {
    /// hotcell's own.
    #[must_use]
    pub fn hotcell() -> &'static Profile {
        static PROFILE: OnceLock<Profile> = OnceLock::new();
        PROFILE.get_or_init(build)
    }
}

fn build() -> Profile {
    let everybody: Vec<&str> = ALLOWED.iter().flat_map(|(_, names)| *names).copied().collect();
    let mut rules = vec![allow(&everybody, vec![])];
    for (capability, names) in WITH_A_CAPABILITY {
        rules.push(with(capability, allow(names, vec![])));
    }
    // The flags of the one lie in a register, those of the other in memory, where no filter looks;
    // every libc takes the first when there is no second.
    rules.push(without(Capability::SysAdmin, allow(&["clone"], vec![no_bits(NAMESPACES)])));
    let mut clone3 = allow(&["clone3"], vec![]);
    clone3.rule.set_action(Action::ScmpActErrno).set_errno_ret(Some(ENOSYS));
    rules.push(without(Capability::SysAdmin, clone3));
    for family in [AF_UNIX, AF_INET, AF_INET6] {
        rules.push(allow(&["socket"], vec![equal(0, family)]));
    }
    for protocol in NETLINK {
        rules.push(allow(&["socket"], vec![equal(0, AF_NETLINK), equal(2, protocol)]));
    }
    let audit = allow(&["socket"], vec![equal(0, AF_NETLINK), equal(2, NETLINK_AUDIT)]);
    rules.push(with(Capability::AuditWrite, audit));
    for family in [AF_NETLINK, AF_PACKET] {
        let socket = allow(&["socket"], vec![equal(0, family)]);
        rules.push(with(Capability::NetAdmin, socket));
    }
    rules.push(allow(&["socketpair"], vec![equal(0, AF_UNIX)]));
    for personality in PERSONALITIES {
        rules.push(allow(&["personality"], vec![equal(0, personality)]));
    }
    Profile {
        default_action: Action::ScmpActErrno,
        default_errno: Some(EPERM),
        // None but the native one: not i386, not x32.
        architectures: Architectures::Map(vec![
            (Arch::ScmpArchX86_64, vec![]),
            (Arch::ScmpArchAarch64, vec![]),
        ]),
        flags: Vec::new(),
        rules,
    }
}

fn allow(names: &[&str], args: Vec<LinuxSeccompArg>) -> Rule {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.iter().map(|name| (*name).to_owned()).collect());
    rule.set_action(Action::ScmpActAllow);
    rule.set_args(Some(args).filter(|args| !args.is_empty()));
    Rule { rule, includes: Conditions::default(), excludes: Conditions::default() }
}

fn with(capability: Capability, mut rule: Rule) -> Rule {
    rule.includes.capabilities = vec![capability];
    rule
}

fn without(capability: Capability, mut rule: Rule) -> Rule {
    rule.excludes.capabilities = vec![capability];
    rule
}

fn equal(index: usize, value: u64) -> LinuxSeccompArg {
    argument(index, Op::ScmpCmpEq, value, None)
}

fn no_bits(mask: u64) -> LinuxSeccompArg {
    argument(0, Op::ScmpCmpMaskedEq, mask, Some(0))
}

#[cfg(test)]
#[path = "default_tests.rs"]
mod tests;
