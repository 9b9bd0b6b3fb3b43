//! The system calls the init makes, each once, each naming itself when it fails.

use super::wire::MOST_TREES;
use crate::sys::abi::*;
use crate::sys::raw::{self, Errno, nr};

/// A system call that failed: which one, and the kernel's errno.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) call: u16,
    pub(crate) errno: Errno,
}

impl Fault {
    /// A refusal of our own, reported in the name of `call`.
    pub(crate) fn new(call: usize, errno: Errno) -> Fault {
        Fault { call: call as u16, errno }
    }

    pub(crate) fn is(self, errno: Errno) -> bool {
        self.errno == errno
    }
}

pub(crate) type Outcome<T = ()> = Result<T, Fault>;

/// A file descriptor that closes itself.
#[derive(Debug)]
pub(crate) struct Fd(pub(crate) i32);

impl Drop for Fd {
    fn drop(&mut self) {
        if self.0 >= 0 {
            // SAFETY: the number is this value's own; nobody uses it after the drop.
            let _ = unsafe { raw::syscall(nr::close, [self.0 as usize]) };
        }
    }
}

/// A NUL-terminated string inside the plan, or a literal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text(*const u8);

impl Text {
    pub(crate) const NONE: Text = Text(core::ptr::null());

    pub(crate) fn literal(text: &'static core::ffi::CStr) -> Text {
        Text(text.as_ptr().cast())
    }

    /// The string that starts at `bytes[0]`; `None` without a terminating NUL.
    pub(crate) fn within(bytes: &[u8]) -> Option<Text> {
        bytes.contains(&0).then_some(Text(bytes.as_ptr()))
    }

    /// The string at an address taken from an array that [`super::plan::Plan`] relocated.
    pub(crate) fn from_pointer(pointer: usize) -> Option<Text> {
        (pointer != 0).then_some(Text(pointer as *const u8))
    }

    pub(super) fn argument(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn bytes(self) -> &'static [u8] {
        if self.0.is_null() {
            return &[];
        }
        // SAFETY: both constructors saw the terminating NUL, and the plan lives as long as the
        // process.
        unsafe { core::ffi::CStr::from_ptr(self.0.cast()).to_bytes() }
    }
}

/// Makes the call and wraps its errno with the call's number.
///
/// # Safety
/// As for [`raw::raw_syscall`].
pub(crate) unsafe fn call<const N: usize>(number: usize, args: [usize; N]) -> Outcome<usize> {
    loop {
        // SAFETY: forwarded to the caller.
        match unsafe { raw::syscall(number, args) } {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Fault::new(number, errno)),
            Ok(value) => return Ok(value),
        }
    }
}

/// What goes into a register.
pub(super) trait Argument {
    fn slot(&self) -> usize;
}

impl Argument for Text {
    fn slot(&self) -> usize {
        self.argument()
    }
}

impl Argument for Fd {
    fn slot(&self) -> usize {
        self.0 as usize
    }
}

impl Argument for &Fd {
    fn slot(&self) -> usize {
        self.0 as usize
    }
}

macro_rules! number_arguments {
    ($($kind:ty)*) => {
        $(impl Argument for $kind {
            fn slot(&self) -> usize {
                *self as usize
            }
        })*
    };
}

number_arguments!(i32 u32 u64 usize);

/// Turns a call with numbers, descriptors and [`Text`]s into a function without an answer.
macro_rules! plain_calls {
    ($($(#[$doc:meta])*
       fn $name:ident($($arg:ident: $kind:ty),*) = $call:ident [$($slot:expr),*];)*) => {
        $($(#[$doc])* pub(crate) fn $name($($arg: $kind),*) -> Outcome {
            // SAFETY: numbers and NUL-terminated strings only; the kernel writes nothing back.
            unsafe { call(nr::$call, [$(Argument::slot(&$slot)),*]) }.map(drop)
        })*
    };
}

pub(super) const EMPTY: Text = Text(c"".as_ptr().cast());

plain_calls! {
    fn unshare(flags: u64) = unshare [flags];
    fn enter_namespace(fd: &Fd, kind: u64) = setns [fd, kind];
    fn chroot(path: Text) = chroot [path];
    fn chdir(path: Text) = chdir [path];
    fn fchdir(fd: &Fd) = fchdir [fd];
    fn umask(mask: u64) = umask [mask];
    fn mkdir_at(dir: i32, path: Text, mode: u64) = mkdirat [dir, path, mode];
    fn symlink_at(content: Text, dir: i32, path: Text) = symlinkat [content, dir, path];
    fn mknod_at(dir: i32, path: Text, mode: u64, device: u64) = mknodat [dir, path, mode, device];
    fn chmod_at(dir: i32, path: Text, mode: u32) = fchmodat [dir, path, mode];
    fn chown_at(dir: i32, path: Text, uid: u32, gid: u32)
        = fchownat [dir, path, uid, gid, AT_SYMLINK_NOFOLLOW];
    fn mount(source: Text, target: Text, kind: Text, flags: usize, data: Text)
        = mount [source, target, kind, flags, data];
    fn detach(target: Text) = umount2 [target, MNT_DETACH];
    fn pivot_root(new: Text, old: Text) = pivot_root [new, old];
    /// Attaches the detached tree on top of the open target.
    fn move_mount(tree: &Fd, target: &Fd)
        = move_mount [tree, EMPTY, target, EMPTY, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH];
    /// The same, the target being a path below the open directory `dir`.
    fn move_mount_at(tree: &Fd, dir: i32, target: Text)
        = move_mount [tree, EMPTY, dir, target, MOVE_MOUNT_F_EMPTY_PATH];
    fn set_hostname(name: Text) = sethostname [name, name.bytes().len()];
    fn set_domainname(name: Text) = setdomainname [name, name.bytes().len()];
    fn set_gids(gid: u64) = setresgid [gid, gid, gid];
    fn set_uids(uid: u64) = setresuid [uid, uid, uid];
    fn prctl(option: usize, first: usize, second: usize) = prctl [option, first, second, 0, 0];
    fn close_on_exec_from(first: usize) = close_range [first, u32::MAX, CLOSE_RANGE_CLOEXEC];
    fn duplicate_onto(fd: &Fd, number: usize) = dup3 [fd, number, 0];
    /// Makes the number of one descriptor stand for another, closed on exec.
    fn replace(old: &Fd, new: &Fd) = dup3 [new, old, O_CLOEXEC];
    fn duplicate_number(from: usize, to: usize) = dup3 [from, to, 0];
    fn close_number(number: usize) = close [number];
    fn close_from(first: usize) = close_range [first, u32::MAX, 0usize];
    fn chown_open(fd: &Fd, uid: u32, gid: u32) = fchownat [fd, EMPTY, uid, gid, AT_EMPTY_PATH];
    /// Gives this session, which has no terminal, this one to be controlled by.
    fn control_terminal(terminal: &Fd) = ioctl [terminal, TIOCSCTTY, 0usize];
    fn set_session() = setsid [];
    fn kill(pid: i32, signal: i32) = kill [pid, signal];
}

/// A copy of the descriptor with the lowest free number from `least` on, closed on exec.
pub(crate) fn duplicate_above(fd: &Fd, least: usize) -> Outcome<Fd> {
    // SAFETY: numbers only.
    unsafe { call(nr::fcntl, [fd.slot(), F_DUPFD_CLOEXEC, least]) }.map(|fd| Fd(fd as i32))
}

pub(crate) fn write(fd: &Fd, bytes: &[u8]) -> Outcome<usize> {
    // SAFETY: the kernel reads the slice only.
    unsafe { call(nr::write, [fd.0 as usize, bytes.as_ptr() as usize, bytes.len()]) }
}

pub(crate) fn read(fd: &Fd, bytes: &mut [u8]) -> Outcome<usize> {
    // SAFETY: the kernel writes into the slice only.
    unsafe { call(nr::read, [fd.0 as usize, bytes.as_mut_ptr() as usize, bytes.len()]) }
}

/// Reads from a socket, and takes the descriptors that come along: how many bytes, how many
/// descriptors.
pub(crate) fn receive(socket: &Fd, bytes: &mut [u8], fds: &mut [i32]) -> Outcome<(usize, usize)> {
    // `struct cmsghdr` is two words, and the descriptors follow.
    const HEAD: usize = 16;
    let mut control = [0u64; (HEAD + 4 * MOST_TREES).div_ceil(8)];
    let part = IoVec { base: bytes.as_mut_ptr(), length: bytes.len() };
    let mut message = MsgHdr {
        name: 0,
        name_length: 0,
        parts: &raw const part,
        part_count: 1,
        control: control.as_mut_ptr().cast(),
        control_length: size_of_val(&control),
        flags: 0,
    };
    let args = [socket.0 as usize, &raw mut message as usize, MSG_CMSG_CLOEXEC];
    // SAFETY: all buffers outlive the call, and their sizes are given.
    let count = unsafe { call(nr::recvmsg, args) }?;
    if message.flags & MSG_CTRUNC != 0 {
        // A limit on descriptors cut them off.
        return Err(Fault::new(nr::recvmsg, Errno::EMFILE));
    }
    if message.control_length < HEAD {
        return Ok((count, 0));
    }
    let (length, kind) = (control[0] as usize, control[1]);
    let rights = SOL_SOCKET as u64 | (SCM_RIGHTS as u64) << 32;
    let came = length.saturating_sub(HEAD) / 4;
    if kind != rights || came > fds.len() {
        return Err(Fault::new(nr::recvmsg, Errno::EINVAL));
    }
    for (at, fd) in fds.iter_mut().take(came).enumerate() {
        let pair = control[HEAD / 8 + at / 2];
        *fd = (pair >> (32 * (at % 2))) as i32;
    }
    Ok((count, came))
}

/// Sends `bytes` through a socket, and a descriptor along.
pub(crate) fn send_with(socket: &Fd, bytes: &[u8], along: &Fd) -> Outcome {
    // `struct cmsghdr` is a length, two words for what it is called, and the descriptor.
    const LENGTH: usize = 16 + 4;
    let rights = SOL_SOCKET as u64 | (SCM_RIGHTS as u64) << 32;
    let mut control = [LENGTH as u64, rights, along.0 as u64];
    let part = IoVec { base: bytes.as_ptr().cast_mut(), length: bytes.len() };
    let message = MsgHdr {
        name: 0,
        name_length: 0,
        parts: &raw const part,
        part_count: 1,
        control: control.as_mut_ptr().cast(),
        control_length: size_of_val(&control),
        flags: 0,
    };
    let args = [socket.slot(), &raw const message as usize, MSG_NOSIGNAL];
    // SAFETY: all buffers outlive the call, which only reads them, and their sizes are given.
    unsafe { call(nr::sendmsg, args) }.map(drop)
}

/// A pidfd of this very process.
pub(crate) fn own_pidfd() -> Outcome<Fd> {
    // SAFETY: no arguments.
    let own = unsafe { call::<0>(nr::getpid, []) }?;
    // SAFETY: numbers only.
    unsafe { call(nr::pidfd_open, [own, 0]) }.map(|fd| Fd(fd as i32))
}

/// Lets the terminal that belongs to a master be opened.
pub(crate) fn unlock_terminal(master: &Fd) -> Outcome {
    let unlock = 0i32;
    // SAFETY: the kernel reads one int.
    unsafe { call(nr::ioctl, [master.slot(), TIOCSPTLCK, &raw const unlock as usize]) }.map(drop)
}

/// The terminal that belongs to a master, by no name.
pub(crate) fn terminal_of(master: &Fd) -> Outcome<Fd> {
    let flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
    // SAFETY: numbers only.
    unsafe { call(nr::ioctl, [master.slot(), TIOCGPTPEER, flags]) }.map(|fd| Fd(fd as i32))
}

/// Sets rows and columns.
pub(crate) fn set_window_size(terminal: &Fd, [rows, columns]: [u16; 2]) -> Outcome {
    let size = [rows, columns, 0, 0];
    // SAFETY: `struct winsize` is four 16-bit numbers.
    unsafe { call(nr::ioctl, [terminal.slot(), TIOCSWINSZ, size.as_ptr() as usize]) }.map(drop)
}

pub(crate) fn set_groups(groups: &[u8]) -> Outcome {
    // SAFETY: the kernel copies `len / 4` ids, at any alignment.
    unsafe { call(nr::setgroups, [groups.len() / 4, groups.as_ptr() as usize]) }.map(drop)
}

pub(crate) fn set_rlimit(resource: u64, limit: Rlimit64) -> Outcome {
    let args = [0, resource as usize, &raw const limit as usize, 0];
    // SAFETY: `limit` outlives the call; no old value is asked for.
    unsafe { call(nr::prlimit64, args) }.map(drop)
}

pub(crate) fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> Outcome {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let half = |shift: u32| CapData {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    let args = [&raw const header as usize, data.as_ptr() as usize];
    // SAFETY: version 3 reads exactly two halves.
    unsafe { call(nr::capset, args) }.map(drop)
}

/// Takes the capabilities in `halves`, the low one and the high one, out of all of this process's
/// sets.
pub(crate) fn give_up(halves: [u32; 2]) -> Outcome {
    if halves == [0, 0] {
        return Ok(());
    }
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [CapData::default(); 2];
    let args = [&raw const header as usize, data.as_mut_ptr() as usize];
    // SAFETY: version 3 writes exactly two halves.
    unsafe { call(nr::capget, args) }?;
    for (data, half) in data.iter_mut().zip(halves) {
        data.effective &= !half;
        data.permitted &= !half;
        data.inheritable &= !half;
    }
    // SAFETY: version 3 reads exactly two halves.
    unsafe { call(nr::capset, args) }.map(drop)
}

/// Brings `lo` up in the current network namespace.
pub(crate) fn loopback_up() -> Outcome {
    // SAFETY: plain numbers.
    let socket = unsafe { call(nr::socket, [AF_INET, SOCK_DGRAM_CLOEXEC, 0]) };
    let socket = Fd(socket? as i32);
    // `struct ifreq`: 16 bytes of name, then the flags.
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    let args = [socket.0 as usize, SIOCGIFFLAGS, request.as_mut_ptr() as usize];
    // SAFETY: `struct ifreq` is 40 bytes.
    unsafe { call(nr::ioctl, args) }?;
    let flags = u16::from_ne_bytes([request[16], request[17]]) | IFF_UP;
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    let args = [socket.0 as usize, SIOCSIFFLAGS, request.as_mut_ptr() as usize];
    // SAFETY: `struct ifreq` is 40 bytes.
    unsafe { call(nr::ioctl, args) }.map(drop)
}

/// Replaces the set of blocked signals.
pub(crate) fn set_signal_mask(mask: u64) -> Outcome {
    let args = [SIG_SETMASK, &raw const mask as usize, 0, 8];
    // SAFETY: the kernel's signal set is 8 bytes; no old set is asked for.
    unsafe { call(nr::rt_sigprocmask, args) }.map(drop)
}

/// A system call filter, as `struct sock_fprog` has it.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) length: u16,
    /// In the plan, which lives as long as the process.
    pub(crate) code: *const u8,
}

/// Binds this process, and what it executes, to the filter.
pub(crate) fn set_filter(filter: &Filter, flags: u32) -> Outcome {
    const SET_MODE_FILTER: usize = 1;
    if filter.length == 0 {
        return Ok(());
    }
    let args = [SET_MODE_FILTER, flags as usize, core::ptr::from_ref(filter) as usize];
    // SAFETY: `struct sock_fprog`, whose instructions lie in the plan.
    unsafe { call(nr::seccomp, args) }.map(drop)
}

/// The same, and answers with the filter's listener, which is closed on exec.
pub(crate) fn set_listened_filter(filter: &Filter, flags: u32) -> Outcome<Fd> {
    const SET_MODE_FILTER: usize = 1;
    const NEW_LISTENER: u32 = 8;
    let flags = (flags | NEW_LISTENER) as usize;
    let args = [SET_MODE_FILTER, flags, core::ptr::from_ref(filter) as usize];
    // SAFETY: `struct sock_fprog`, whose instructions lie in the plan.
    unsafe { call(nr::seccomp, args) }.map(|fd| Fd(fd as i32))
}

/// Puts every signal back to its default action. `CLONE_CLEAR_SIGHAND` did so for those with a
/// handler; ignored ones stay ignored across exec, and Rust's own runtime ignores SIGPIPE.
pub(crate) fn default_signals() {
    let default = [0u64; 4];
    for signal in 1..=64 {
        if signal != SIGKILL && signal != SIGSTOP {
            let args = [signal as usize, default.as_ptr() as usize, 0, 8];
            // SAFETY: `struct sigaction` is 32 bytes; all zero is SIG_DFL. A signal number
            // that the kernel refuses has nothing to reset.
            let _ = unsafe { call(nr::rt_sigaction, args) };
        }
    }
}

/// A descriptor from which every blocked signal can be read.
pub(crate) fn signal_fd() -> Outcome<Fd> {
    let all = u64::MAX;
    let args = [usize::MAX, &raw const all as usize, 8, O_CLOEXEC];
    // SAFETY: the kernel's signal set is 8 bytes.
    unsafe { call(nr::signalfd4, args) }.map(|fd| Fd(fd as i32))
}

/// Waits without a deadline until one of `fds` has something.
pub(crate) fn poll(fds: &mut [PollFd; 2]) -> Outcome {
    let args = [fds.as_mut_ptr() as usize, fds.len(), 0, 0, 0];
    // SAFETY: two `struct pollfd`; neither a time-out nor a signal mask.
    unsafe { call(nr::ppoll, args) }.map(drop)
}

/// A new process in a copy of this memory, a child of this one's: its number, and 0 in itself.
pub(crate) fn fork() -> Outcome<i32> {
    // SAFETY: numbers only; without CLONE_VM nothing is shared, and nothing else runs in this memory.
    unsafe { call(nr::clone, [SIGCHLD as usize, 0, 0, 0, 0]) }.map(|pid| pid as i32)
}

/// Waits until the child has ended.
pub(crate) fn wait_for(pid: i32) -> Outcome {
    // SAFETY: nothing is written back.
    unsafe { call(nr::wait4, [pid as usize, 0, 0, 0]) }.map(drop)
}

/// Two sockets that are connected.
pub(crate) fn socket_pair() -> Outcome<(Fd, Fd)> {
    let mut pair = [-1i32; 2];
    let args = [AF_UNIX, SOCK_SEQPACKET_CLOEXEC, 0, pair.as_mut_ptr() as usize];
    // SAFETY: the kernel writes two ints.
    unsafe { call(nr::socketpair, args) }?;
    Ok((Fd(pair[0]), Fd(pair[1])))
}

/// One child that has ended, `(pid, status)`; `None` while none has.
pub(crate) fn reap() -> Outcome<Option<(i32, i32)>> {
    let mut status = 0i32;
    let args = [usize::MAX, &raw mut status as usize, WNOHANG, 0];
    // SAFETY: the kernel writes one int.
    let pid = unsafe { call(nr::wait4, args) }?;
    Ok((pid != 0).then_some((pid as i32, status)))
}

/// Executes `path`; returns only when that failed.
pub(crate) fn exec(path: Text, argv: *const usize, envp: *const usize) -> Errno {
    // SAFETY: both arrays are NULL-terminated and point at strings in the plan.
    match unsafe { raw::syscall(nr::execve, [path.argument(), argv as usize, envp as usize]) } {
        Err(errno) => errno,
        Ok(_) => Errno::EINVAL,
    }
}

pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: ends the process.
    let _ = unsafe { raw::syscall(nr::exit_group, [code as usize]) };
    // A filter in force refuses even that.
    raw::trap()
}
