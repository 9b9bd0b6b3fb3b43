//! The kernel's door: raw system calls, their numbers, and `clone3` onto a fresh stack.
//!
//! Shared by the library and by the init, which links nothing: no libc, no `errno` in thread-local
//! storage, no allocation. That also makes every function here callable between `clone3` and
//! `execveat`, while a child still shares the embedder's memory.

use core::arch::asm;

use super::abi::CloneArgs;

/// An error number as the kernel returned it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

impl Errno {
    pub const EPERM: Errno = Errno(1);
    pub const ECHILD: Errno = Errno(10);
    pub const ENOENT: Errno = Errno(2);
    pub const ESRCH: Errno = Errno(3);
    pub const EINTR: Errno = Errno(4);
    pub const EBADF: Errno = Errno(9);
    pub const EAGAIN: Errno = Errno(11);
    pub const EBUSY: Errno = Errno(16);
    pub const ENXIO: Errno = Errno(6);
    pub const EACCES: Errno = Errno(13);
    pub const EEXIST: Errno = Errno(17);
    pub const ENOTDIR: Errno = Errno(20);
    pub const EISDIR: Errno = Errno(21);
    pub const ENODEV: Errno = Errno(19);
    pub const EINVAL: Errno = Errno(22);
    pub const ENOTTY: Errno = Errno(25);
    pub const EMFILE: Errno = Errno(24);
    pub const EPIPE: Errno = Errno(32);
    pub const ERANGE: Errno = Errno(34);
    pub const ENAMETOOLONG: Errno = Errno(36);
    pub const ENOSYS: Errno = Errno(38);
    pub const ELOOP: Errno = Errno(40);
}

/// One row per system call: its number on x86-64, its number on aarch64.
macro_rules! syscalls {
    ($($name:ident = $x86_64:literal / $aarch64:literal,)*) => {
        /// System call numbers of the architecture this is compiled for.
        #[allow(missing_docs, non_upper_case_globals, reason = "the names are the kernel's own")]
        pub mod nr {
            $(
                #[cfg(target_arch = "x86_64")]
                pub const $name: usize = $x86_64;
                #[cfg(target_arch = "aarch64")]
                pub const $name: usize = $aarch64;
            )*
        }

        /// The name of a system call that this file knows, for error texts.
        #[must_use]
        pub fn name(number: usize) -> &'static str {
            match number {
                $(nr::$name => stringify!($name),)*
                _ => "unknown call",
            }
        }
    };
}

syscalls! {
    read = 0 / 63,
    write = 1 / 64,
    close = 3 / 57,
    mmap = 9 / 222,
    munmap = 11 / 215,
    rt_sigaction = 13 / 134,
    rt_sigprocmask = 14 / 135,
    ioctl = 16 / 29,
    pread64 = 17 / 67,
    sendfile = 40 / 71,
    socket = 41 / 198,
    socketpair = 53 / 199,
    recvfrom = 45 / 207,
    getpid = 39 / 172,
    sendmsg = 46 / 211,
    recvmsg = 47 / 212,
    clone = 56 / 220,
    execve = 59 / 221,
    wait4 = 61 / 260,
    kill = 62 / 129,
    fcntl = 72 / 25,
    getcwd = 79 / 17,
    chdir = 80 / 49,
    fchdir = 81 / 50,
    umask = 95 / 166,
    setsid = 112 / 157,
    setgroups = 116 / 159,
    fstatfs = 138 / 44,
    setresuid = 117 / 147,
    setresgid = 119 / 149,
    capget = 125 / 90,
    capset = 126 / 91,
    pivot_root = 155 / 41,
    chroot = 161 / 51,
    prctl = 157 / 167,
    mount = 165 / 40,
    umount2 = 166 / 39,
    sethostname = 170 / 161,
    setdomainname = 171 / 162,
    getdents64 = 217 / 61,
    exit_group = 231 / 94,
    openat = 257 / 56,
    mkdirat = 258 / 34,
    mknodat = 259 / 33,
    fchownat = 260 / 54,
    readlinkat = 267 / 78,
    fchmodat = 268 / 53,
    symlinkat = 266 / 36,
    ppoll = 271 / 73,
    unshare = 272 / 97,
    setns = 308 / 268,
    signalfd4 = 289 / 74,
    dup3 = 292 / 24,
    personality = 135 / 92,
    sched_setaffinity = 203 / 122,
    set_mempolicy = 238 / 237,
    keyctl = 250 / 219,
    ioprio_set = 251 / 30,
    ioprio_get = 252 / 31,
    prlimit64 = 302 / 261,
    sched_setattr = 314 / 274,
    sched_getattr = 315 / 275,
    seccomp = 317 / 277,
    bpf = 321 / 280,
    execveat = 322 / 281,
    statx = 332 / 291,
    open_tree = 428 / 428,
    move_mount = 429 / 429,
    fsopen = 430 / 430,
    fsconfig = 431 / 431,
    fsmount = 432 / 432,
    pidfd_open = 434 / 434,
    clone3 = 435 / 435,
    close_range = 436 / 436,
    openat2 = 437 / 437,
    faccessat2 = 439 / 439,
    mount_setattr = 442 / 442,
}

/// Makes one system call and returns the kernel's answer, a negative number being `-errno`.
///
/// # Safety
/// The arguments must be what the call `number` expects; pointers among them must be valid for
/// what the kernel reads and writes through them.
#[cfg(target_arch = "x86_64")]
#[inline]
pub unsafe fn raw_syscall(number: usize, args: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the instruction clobbers rcx and r11 only; the rest is the caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// Makes one system call and returns the kernel's answer, a negative number being `-errno`.
///
/// # Safety
/// The arguments must be what the call `number` expects; pointers among them must be valid for
/// what the kernel reads and writes through them.
#[cfg(target_arch = "aarch64")]
#[inline]
pub unsafe fn raw_syscall(number: usize, args: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the instruction clobbers nothing but x0; the rest is the caller's promise.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") args[0] as isize => answer,
            in("x1") args[1], in("x2") args[2],
            in("x3") args[3], in("x4") args[4], in("x5") args[5],
            options(nostack),
        );
    }
    answer
}

/// Ends the process by an instruction that no processor has.
pub fn trap() -> ! {
    // SAFETY: the instruction does nothing but fault.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("ud2", options(noreturn));
        #[cfg(target_arch = "aarch64")]
        asm!("udf #0", options(noreturn));
    }
}

/// Makes a system call with up to six arguments; `Err` carries the kernel's errno.
///
/// # Safety
/// As for [`raw_syscall`].
#[inline]
pub unsafe fn syscall<const N: usize>(number: usize, args: [usize; N]) -> Result<usize, Errno> {
    let mut all = [0; 6];
    let mut index = 0;
    while index < N {
        all[index] = args[index];
        index += 1;
    }
    // SAFETY: forwarded to the caller.
    let answer = unsafe { raw_syscall(number, all) };
    if answer < 0 { Err(Errno(-answer as i32)) } else { Ok(answer as usize) }
}

/// What a child of [`clone3`] starts in: it gets `argument` and never returns.
pub type Entry = extern "C" fn(argument: usize) -> !;

/// Goes on as `entry(argument)` on the stack below `top`, and never comes back.
///
/// # Safety
/// `top` must be aligned to 16 bytes, and the memory below it enough for `entry` and nobody else's.
pub unsafe fn go_on(top: usize, entry: Entry, argument: usize) -> ! {
    // SAFETY: `entry` never returns, so nothing of this frame is used again.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov rsp, rax",
            "xor ebp, ebp",
            "call rcx",
            "ud2",
            in("rax") top, in("rcx") entry, in("rdi") argument,
            options(noreturn),
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "mov sp, x1",
            "mov x29, xzr",
            "blr x2",
            "brk 1",
            in("x1") top, in("x2") entry, in("x0") argument,
            options(noreturn),
        );
    }
}

/// `clone3`: the child runs `entry(argument)` on the stack that `args` names.
///
/// Written in assembly because the child must not come back through this function's frame: with
/// `CLONE_VM` the parent is going to use that frame too.
///
/// # Safety
/// `args.stack` must be memory that nobody else uses until the child has exec'd or exited, which
/// `CLONE_VFORK` guarantees when this returns. Under `CLONE_VM`, `entry` must neither allocate nor
/// touch thread-local storage, and must write only where the parent expects it.
#[cfg(target_arch = "x86_64")]
pub unsafe fn clone3(args: &CloneArgs, entry: Entry, argument: usize) -> Result<i32, Errno> {
    let answer: isize;
    // SAFETY: the child leaves through `entry` on its own stack and never reaches label 2; the
    // parent comes out at label 2 with only rax, rcx and r11 changed.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") nr::clone3 as isize => answer,
            in("rdi") args, in("rsi") size_of::<CloneArgs>(),
            in("r12") entry, in("r13") argument,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    if answer < 0 { Err(Errno(-answer as i32)) } else { Ok(answer as i32) }
}

/// `clone3`: the child runs `entry(argument)` on the stack that `args` names.
///
/// # Safety
/// As on x86-64: the stack is the child's alone, and under `CLONE_VM` `entry` must neither
/// allocate nor touch thread-local storage.
#[cfg(target_arch = "aarch64")]
pub unsafe fn clone3(args: &CloneArgs, entry: Entry, argument: usize) -> Result<i32, Errno> {
    let answer: isize;
    // SAFETY: the child leaves through `entry` on its own stack and never reaches label 2; the
    // parent comes out at label 2 with only x0 changed.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x21",
            "blr x20",
            "brk 1",
            "2:",
            in("x8") nr::clone3,
            inlateout("x0") args as *const CloneArgs as isize => answer,
            in("x1") size_of::<CloneArgs>(),
            in("x20") entry, in("x21") argument,
        );
    }
    if answer < 0 { Err(Errno(-answer as i32)) } else { Ok(answer as i32) }
}
