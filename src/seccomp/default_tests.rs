//! The own profile against what Docker's allowed in November 2026: nothing more, and what is less is
//! listed and documented.

use std::collections::{BTreeSet, HashSet};

use oci_spec::runtime::Capability as Cap;

use super::super::{Answer, Architecture, Kernel, Program, compile, number, table};
use super::*;

/// What Docker's profile lets everybody call, whatever the arguments (moby/profiles, 2026-11; ptrace
/// and its two companions since Linux 4.8; the calls of 64-bit ARM and x86-64 at its end).
#[rustfmt::skip]
const DOCKERS: &str = "
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32
    clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2
    dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat
    fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64
    fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64
    futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32
    geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp
    getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit
    get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday
    getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents io_pgetevents_time64
    ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
    listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise
    map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock
    mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget
    msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect
    open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
    pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease
    pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
    recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat
    rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending
    rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam
    sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
    sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile
    sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
    setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32
    setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt
    set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget
    shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat
    stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo
    tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
    timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write
    writev
    process_vm_readv process_vm_writev ptrace
    arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls
    arch_prctl modify_ldt";

/// What it lets those call who hold a capability.
#[rustfmt::skip]
const DOCKERS_WITH: [(Cap, &str); 14] = [
    (Cap::DacReadSearch, "open_by_handle_at"),
    (Cap::SysAdmin, "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
        open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog
        umount umount2 unshare"),
    (Cap::SysBoot, "reboot"),
    (Cap::SysChroot, "chroot"),
    (Cap::SysModule, "delete_module init_module finit_module"),
    (Cap::SysPacct, "acct"),
    (Cap::SysPtrace, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    (Cap::SysRawio, "iopl ioperm"),
    (Cap::SysTime, "settimeofday stime clock_settime clock_settime64"),
    (Cap::SysTtyConfig, "vhangup"),
    (Cap::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Cap::Syslog, "syslog"),
    (Cap::Bpf, "bpf"),
    (Cap::Perfmon, "perf_event_open"),
];

/// The families that sockets may be of.
const DOCKERS_FAMILIES: [u64; 36] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31,
    32, 33, 35, 36, 39, 41, 42, 43, 44, 45,
];

/// What Docker lets those pass who hold some capabilities.
struct Docker(HashSet<&'static str>);

impl Docker {
    fn with(held: &[Cap]) -> Docker {
        let more = DOCKERS_WITH.iter().filter(|(cap, _)| held.contains(cap)).map(|(_, list)| *list);
        Docker(more.chain([DOCKERS]).flat_map(str::split_whitespace).collect())
    }

    fn passes(&self, name: &str, args: [u64; 6]) -> bool {
        self.0.contains(name)
            || match name {
                "socket" => args[0] == 0 || DOCKERS_FAMILIES.contains(&args[0]),
                "personality" => PERSONALITIES.contains(&args[0]),
                "clone" => args[0] & 0x7e02_0000 == 0,
                _ => false,
            }
    }
}

fn program(held: &[Cap], native: Architecture) -> Program {
    compile(&Profile::hotcell().resolve(held, native, Kernel(6, 18)), native).unwrap()
}

/// No capability, Docker's own, each alone, and all of them.
fn sets() -> Vec<Vec<Cap>> {
    let mut sets: Vec<Vec<Cap>> = caps::all().iter().map(|cap| vec![oci(*cap)]).collect();
    sets.push(caps::all().iter().map(|cap| oci(*cap)).collect());
    sets.extend([vec![], crate::bundle::CAPABILITIES.to_vec()]);
    sets
}

fn oci(capability: caps::Capability) -> Cap {
    capability.to_string().trim_start_matches("CAP_").parse().unwrap()
}

/// Arguments that rules ask for, and others.
fn arguments() -> Vec<[u64; 6]> {
    let mut all: Vec<_> = (0..64).map(|first| [first, 1, 0, 0, 0, 0]).collect();
    all.extend((0..24).map(|protocol| [16, 2, protocol, 0, 0, 0]));
    all.extend((0..33).map(|bit| [1 << bit | 17, 0, 0, 0, 0, 0]));
    all.extend(PERSONALITIES.map(|first| [first, 0, 0, 0, 0, 0]));
    all.extend([0x1_0000_0000, 0x1_0000_0001, u64::MAX].map(|first| [first, 0, 0, 0, 0, 0]));
    all
}

#[test]
fn nothing_passes_that_docker_refuses() {
    for native in [Architecture::X86_64, Architecture::Aarch64] {
        for held in sets() {
            let (program, docker) = (program(&held, native), Docker::with(&held));
            for name in table::names() {
                let Some(nr) = number(name, native) else { continue };
                for args in arguments() {
                    let answer = program.answer(native, nr, args);
                    let passes = answer.lets_pass();
                    assert!(!passes || docker.passes(name, args), "{name} {args:x?} {held:?}");
                    assert!(passes || matches!(answer, Answer::Errno(1 | 38)), "{name} {answer}");
                }
            }
        }
    }
}

/// The names of calls that Docker lets pass with some arguments that are refused here.
fn stricter(held: &[Cap], native: Architecture) -> BTreeSet<&'static str> {
    let (program, docker) = (program(held, native), Docker::with(held));
    let less = |name: &&'static str| {
        number(name, native).is_some_and(|nr| {
            let passes = |args| program.answer(native, nr, args).lets_pass();
            arguments().into_iter().any(|args| docker.passes(name, args) && !passes(args))
        })
    };
    table::names().filter(less).collect()
}

#[test]
fn what_is_stricter_is_known_and_documented() {
    let x86 = Architecture::X86_64;
    let common =
        ["cachestat", "fanotify_mark", "remap_file_pages", "socket", "socketpair", "vmsplice"];
    let of_x86 =
        ["epoll_ctl_old", "epoll_wait_old", "get_thread_area", "modify_ldt", "set_thread_area"];
    let expected: BTreeSet<_> = common.into_iter().chain(of_x86).collect();
    assert_eq!(stricter(&[], x86), expected);
    assert_eq!(stricter(&[], Architecture::Aarch64), common.into());
    assert_eq!(stricter(&crate::bundle::CAPABILITIES, x86), expected);
    let admin = stricter(&[Cap::SysAdmin], x86);
    assert!(admin.contains("lookup_dcookie") && !admin.contains("fanotify_mark"));

    let page = include_str!("../../docs/seccomp.md");
    let section = page.split("## Stricter than Docker's").nth(1).unwrap();
    for name in expected.iter().chain(&["lookup_dcookie"]) {
        assert!(section.contains(&format!("`{name}`")), "docs/seccomp.md does not tell of {name}");
    }
}

#[test]
fn what_escapes_have_used_is_refused() {
    let program = program(&crate::bundle::CAPABILITIES, Architecture::NATIVE);
    let answer = |name: &str, args: [u64; 6]| {
        program.answer(Architecture::NATIVE, number(name, Architecture::NATIVE).unwrap(), args)
    };
    let refused = Answer::Errno(1);
    for name in [
        "add_key",
        "keyctl",
        "request_key",
        "io_uring_setup",
        "io_uring_enter",
        "userfaultfd",
        "bpf",
        "perf_event_open",
        "unshare",
        "setns",
        "mount",
        "umount2",
        "pivot_root",
        "fsopen",
        "open_tree",
        "move_mount",
        "open_by_handle_at",
        "quotactl",
        "move_pages",
        "kexec_load",
        "init_module",
        "swapon",
        "reboot",
        "syslog",
        "nfsservctl",
    ] {
        assert_eq!(answer(name, [0; 6]), refused, "{name}");
    }
    // AF_KEY, AF_PACKET, AF_RXRPC, AF_ALG, AF_VSOCK, AF_XDP; XFRM and netfilter.
    for family in [15, 17, 33, 38, 40, 44] {
        assert_eq!(answer("socket", [family, 2, 0, 0, 0, 0]), refused, "family {family}");
    }
    for protocol in [6, 12] {
        assert_eq!(answer("socket", [16, 3, protocol, 0, 0, 0]), refused, "netlink {protocol}");
    }
    for family in [1, 2, 10] {
        assert_eq!(answer("socket", [family, 1, 0, 0, 0, 0]), Answer::Allow, "family {family}");
    }
    assert_eq!(answer("clone", [0x1000_0011, 0, 0, 0, 0, 0]), refused);
    assert_eq!(answer("clone", [0x003d_0f00, 0, 0, 0, 0, 0]), Answer::Allow);
    assert_eq!(answer("clone3", [0; 6]), Answer::ENOSYS);
    assert_eq!(program.answer(Architecture::NATIVE, 471, [0; 6]), Answer::ENOSYS);
}

#[test]
fn no_foreign_program_runs() {
    let program = program(&[Cap::SysAdmin], Architecture::X86_64);
    for nr in [0, 1, 11, 102, 359] {
        assert_eq!(program.answer(Architecture::I386, nr, [0; 6]), Answer::KillProcess);
        let x32 = nr | 0x4000_0000;
        assert_eq!(program.answer(Architecture::X32, x32, [0; 6]), Answer::KillProcess);
    }
}

#[test]
fn every_name_is_one_and_stands_once() {
    let all = ALLOWED.iter().flat_map(|(_, names)| *names);
    let mut seen = BTreeSet::new();
    for name in all {
        assert!(table::is_known(name) && seen.insert(name), "{name}");
    }
    for (_, names) in WITH_A_CAPABILITY {
        assert!(
            names.iter().all(|name| table::is_known(name) && !seen.contains(name)),
            "{names:?}"
        );
    }
}
