//! Starts a program in fresh namespaces and a cgroup, at a cost that does not depend on how big
//! or how threaded this process is.
//!
//! `fork` copies the page tables: about 50 ms for each GB of the embedder. This child shares the
//! memory instead (`CLONE_VM`), the calling thread waits for it (`CLONE_VFORK`), and between
//! `clone3` and `execveat` it makes a handful of system calls on a stack of its own. It allocates
//! nothing, touches no thread-local storage, takes no lock and receives no signal.
//!
//! The wait looks like lost time, and is not to be had back: only a child whose parent waits so is
//! passed over by the kernel's out-of-memory killer. Any other, born at the memory limit of its cell,
//! would be chosen for the memory that it shares, and the embedder be killed along with it.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{FdFlags, fcntl_dupfd_cloexec};

use super::abi::*;
use super::berths::Berth;
use super::raw::{self, Errno, nr};
use crate::fault::{self, Point};

/// Where descriptors are copied to that many children get: above every number that they are moved to.
pub(super) const LOWEST_SOURCE: i32 = 16;
/// The child's frames: one loop and three system calls. The rest is slack for signals that are
/// blocked and for a debug build's appetite.
const STACK: usize = 16 << 10;

/// As the processor wants it aligned.
#[repr(align(16))]
struct Stack([MaybeUninit<u8>; STACK]);

/// What to start.
#[derive(Debug)]
pub(crate) struct Spawn<'a> {
    /// The program, open.
    pub(crate) program: BorrowedFd<'a>,
    /// What it is called, as its first argument; without, it has none.
    pub(crate) name: Option<&'a CStr>,
    /// Its descriptors 0, 1, 2, …; it gets no others.
    pub(crate) descriptors: &'a [BorrowedFd<'a>],
    /// `CLONE_NEW*` flags. With a user namespace the program starts with all capabilities in it, ids
    /// unmapped.
    pub(crate) namespaces: u64,
    /// The cgroup v2 directory it is born in, if not this process's own.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// A started process.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pidfd: OwnedFd,
    pub(crate) pid: i32,
}

/// The system call that failed, in the parent or in the child.
#[derive(Debug)]
pub(crate) struct SpawnError {
    pub(crate) call: &'static str,
    pub(crate) source: io::Error,
}

impl SpawnError {
    fn new(number: usize, errno: Errno) -> SpawnError {
        SpawnError { call: raw::name(number), source: io::Error::from_raw_os_error(errno.0) }
    }
}

/// All that the child reads and writes of its parent's memory.
struct Shared {
    program: i32,
    /// Null if there is none.
    name: *const u8,
    descriptors: *const i32,
    count: usize,
    /// Where the table ends that this child takes for its own; 0 if it has been born with one.
    table_end: usize,
    user_namespace: bool,
    call: usize,
    errno: i32,
}

extern "C" fn child(shared: usize) -> ! {
    let shared = shared as *mut Shared;
    // SAFETY: the parent's thread waits until this child has exec'd or exited, so the structure
    // and the array in it are alive and nobody else's.
    let Err((call, errno)) = unsafe { exec(&*shared) };
    // SAFETY: as above.
    unsafe {
        (&raw mut (*shared).call).write_volatile(call);
        (&raw mut (*shared).errno).write_volatile(errno.0);
    }
    loop {
        // SAFETY: ends this process, which runs nothing of the embedder's exit handlers.
        let _ = unsafe { raw::syscall(nr::exit_group, [127]) };
    }
}

/// Moves the descriptors to their places and executes the program; comes back only on failure.
///
/// # Safety
/// `shared.descriptors` must be valid for `shared.count` reads.
unsafe fn exec(shared: &Shared) -> Result<std::convert::Infallible, (usize, Errno)> {
    if shared.user_namespace {
        keep_capabilities()?;
    }
    if shared.table_end > 0 {
        // Before anything is moved: until here the table is the embedder's.
        let range = [shared.table_end, u32::MAX as usize, CLOSE_RANGE_UNSHARE];
        // SAFETY: numbers only.
        unsafe { raw::syscall(nr::close_range, range) }.map_err(|e| (nr::close_range, e))?;
    }
    for place in 0..shared.count {
        // SAFETY: within the array, as the caller promised.
        let fd = unsafe { shared.descriptors.add(place).read() };
        // SAFETY: numbers only; `fd` lies above all places, so nothing needed is overwritten.
        unsafe { raw::syscall(nr::dup3, [fd as usize, place, 0]) }.map_err(|e| (nr::dup3, e))?;
    }
    let range = [shared.count, u32::MAX as usize, CLOSE_RANGE_CLOEXEC];
    // SAFETY: numbers only.
    unsafe { raw::syscall(nr::close_range, range) }.map_err(|e| (nr::close_range, e))?;
    ordinary_root().map_err(|e| (nr::prctl, e))?;
    let empty: *const u8 = c"".as_ptr().cast();
    let arguments = [shared.name as usize, 0];
    let (arguments, none) = (arguments.as_ptr() as usize, (&raw const arguments[1]) as usize);
    let args = [shared.program as usize, empty as usize, arguments, none, AT_EMPTY_PATH];
    // SAFETY: an empty path, an array of a text of the parent's and null for the arguments, or of
    // null alone, and one of null alone for the environment.
    match unsafe { raw::syscall(nr::execveat, args) } {
        Err(errno) => Err((nr::execveat, errno)),
        Ok(_) => Err((nr::execveat, Errno::EINVAL)),
    }
}

/// Carries the capabilities that come with a new user namespace over the exec: without an id there, a
/// process keeps the ambient ones alone.
fn keep_capabilities() -> Result<(), (usize, Errno)> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let all = CapData { effective: u32::MAX, permitted: u32::MAX, inheritable: u32::MAX };
    let data = [all, all];
    let args = [&raw const header as usize, data.as_ptr() as usize];
    // SAFETY: version 3 reads exactly two halves.
    unsafe { raw::syscall(nr::capset, args) }.map_err(|errno| (nr::capset, errno))?;
    for capability in 0..64 {
        let args = [PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0];
        // SAFETY: numbers only.
        match unsafe { raw::syscall(nr::prctl, args) } {
            // This kernel knows no more.
            Err(Errno::EINVAL) => break,
            raised => raised.map_err(|errno| (nr::prctl, errno))?,
        };
    }
    Ok(())
}

/// Clears the securebits, which the child has from the thread that starts it. With some of them root
/// would have no capabilities after an exec, the init's first of all.
fn ordinary_root() -> Result<(), Errno> {
    const LOCKS: usize = 0b1010_1010;
    // SAFETY: no pointers.
    let bits = unsafe { raw::syscall(nr::prctl, [PR_GET_SECUREBITS, 0, 0, 0, 0]) }?;
    if bits & !LOCKS == 0 {
        return Ok(());
    }
    // A lock can't be taken off, and holds nothing in place when all the rest is clear.
    let args = [PR_SET_SECUREBITS, bits & LOCKS, 0, 0, 0];
    // SAFETY: no pointers.
    unsafe { raw::syscall(nr::prctl, args) }.map(drop)
}

/// Blocks every signal of the calling thread while alive, so that no handler of the embedder runs
/// in the child. libc's own function would leave two of them open.
pub(crate) struct SignalsBlocked {
    before: u64,
}

impl SignalsBlocked {
    pub(crate) fn new() -> SignalsBlocked {
        let (all, mut before) = (u64::MAX, 0u64);
        let args = [SIG_SETMASK, &raw const all as usize, &raw mut before as usize, 8];
        // SAFETY: both sets are 8 bytes, which is the size given. It cannot fail.
        let _ = unsafe { raw::syscall(nr::rt_sigprocmask, args) };
        SignalsBlocked { before }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        let args = [SIG_SETMASK, &raw const self.before as usize, 0, 8];
        // SAFETY: the set is 8 bytes, which is the size given. It cannot fail.
        let _ = unsafe { raw::syscall(nr::rt_sigprocmask, args) };
    }
}

/// Copies of the descriptors that lie too low to be moved without treading on each other.
fn raised<'a>(
    descriptors: &[BorrowedFd<'a>],
    lowest: i32,
    copies: &mut Vec<OwnedFd>,
) -> Result<Vec<i32>, SpawnError> {
    let raise = |fd: &BorrowedFd<'a>| {
        if fd.as_raw_fd() >= lowest {
            return Ok(fd.as_raw_fd());
        }
        let copy = fault::at(Point::DescriptorCopy, || fcntl_dupfd_cloexec(fd, lowest))
            .map_err(|errno| SpawnError { call: "fcntl(F_DUPFD)", source: errno.into() })?;
        let number = copy.as_raw_fd();
        copies.push(copy);
        Ok(number)
    };
    descriptors.iter().map(raise).collect()
}

/// Starts the program. Returns once it has been executed.
pub(crate) fn spawn(spawn: &Spawn<'_>) -> Result<Spawned, SpawnError> {
    let mut copies = Vec::new();
    let mut wanted = vec![spawn.program];
    wanted.extend_from_slice(spawn.descriptors);
    let berth = Berth::take(&wanted);
    let numbers = match &berth {
        Some(berth) => berth.numbers(),
        None => raised(&wanted, wanted.len() as i32, &mut copies)?,
    };
    // On the caller's, which waits: on the heap it would be the one large piece of a start.
    let mut stack = Stack([MaybeUninit::uninit(); STACK]);
    let mut shared = Shared {
        program: numbers[0],
        name: spawn.name.map_or(std::ptr::null(), |name| name.as_ptr().cast()),
        descriptors: numbers[1..].as_ptr(),
        count: spawn.descriptors.len(),
        table_end: berth.as_ref().map_or(0, |berth| berth.end() as usize),
        user_namespace: spawn.namespaces & CLONE_NEWUSER != 0,
        call: 0,
        errno: 0,
    };
    let mut pidfd = -1i32;
    let args = CloneArgs {
        flags: spawn.namespaces
            | CLONE_VM
            | CLONE_VFORK
            | CLONE_PIDFD
            | CLONE_CLEAR_SIGHAND
            | if spawn.cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 }
            | if berth.is_some() { CLONE_FILES } else { 0 },
        pidfd: &raw mut pidfd as u64,
        exit_signal: SIGCHLD as u64,
        stack: stack.0.as_mut_ptr() as u64,
        stack_size: STACK as u64,
        cgroup: spawn.cgroup.map_or(0, |cgroup| cgroup.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    fault::at(Point::Clone, || Ok(()))
        .map_err(|source: io::Error| SpawnError { call: "clone3", source })?;
    let blocked = SignalsBlocked::new();
    // SAFETY: the stack belongs to this call and CLONE_VFORK keeps us here until the child has
    // left it; `child` neither allocates nor touches thread-local storage, and writes only
    // `shared`; all signals are blocked.
    let cloned = unsafe { raw::clone3(&args, child, &raw mut shared as usize) };
    drop(blocked);
    let pid = cloned.map_err(|errno| SpawnError::new(nr::clone3, errno))?;
    // SAFETY: with CLONE_PIDFD the kernel stored a new descriptor here, which nobody else has.
    let pidfd = unsafe { OwnedFd::from_raw_fd((&raw const pidfd).read_volatile()) };
    // SAFETY: the child has left this memory.
    let (call, errno) = unsafe {
        ((&raw const shared.call).read_volatile(), (&raw const shared.errno).read_volatile())
    };
    if errno != 0 {
        // It has exited on its own; take its status so that no zombie stays.
        let _ = super::pidfd::wait(&pidfd);
        return Err(SpawnError::new(call, Errno(errno)));
    }
    // The kernel sets close-on-exec on the pidfd already; say so if that ever changes.
    debug_assert!(rustix::io::fcntl_getfd(&pidfd).is_ok_and(|f| f.contains(FdFlags::CLOEXEC)));
    Ok(Spawned { pidfd, pid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn low_descriptors_are_copied_up() {
        let file = tempfile::tempfile().unwrap();
        let high = fcntl_dupfd_cloexec(&file, LOWEST_SOURCE + 5).unwrap();
        let mut copies = Vec::new();
        let numbers = raised(&[file.as_fd(), high.as_fd()], LOWEST_SOURCE, &mut copies).unwrap();
        assert!(numbers.iter().all(|number| *number >= LOWEST_SOURCE));
        assert_eq!(numbers[1], high.as_raw_fd());
        assert!(copies.len() <= 1 + usize::from(file.as_raw_fd() >= LOWEST_SOURCE));
    }

    #[test]
    fn blocking_signals_ends_with_the_guard() {
        let mask = || {
            let mut now = 0u64;
            const SIG_BLOCK: usize = 0;
            let args = [SIG_BLOCK, 0, &raw mut now as usize, 8];
            // SAFETY: the old set is 8 bytes, which is the size given.
            unsafe { raw::syscall(nr::rt_sigprocmask, args) }.unwrap();
            now
        };
        let before = mask();
        let blocked = SignalsBlocked::new();
        assert_ne!(mask(), before);
        drop(blocked);
        assert_eq!(mask(), before);
    }
}
