//! Device filters in the kernel: loading one, attaching it to a cgroup, and asking which one a
//! cgroup has. What a filter says is not decided here.
//!
//! ```text
//! instructions ──load──► program ──attach──► cgroup ──attached──► program ──is──► instructions?
//! ```

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::raw::{self, nr};

/// Commands of `bpf(2)`, with their names for error texts.
const PROG_LOAD: (usize, &str) = (5, "bpf(BPF_PROG_LOAD)");
const PROG_ATTACH: (usize, &str) = (8, "bpf(BPF_PROG_ATTACH)");
const PROG_DETACH: (usize, &str) = (9, "bpf(BPF_PROG_DETACH)");
const PROG_GET_FD_BY_ID: (usize, &str) = (13, "bpf(BPF_PROG_GET_FD_BY_ID)");
const OBJ_GET_INFO_BY_FD: (usize, &str) = (15, "bpf(BPF_OBJ_GET_INFO_BY_FD)");
const PROG_QUERY: (usize, &str) = (16, "bpf(BPF_PROG_QUERY)");

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
/// The most programs of one kind that the kernel lets a cgroup have.
const MAX_PROGRAMS: usize = 64;

/// A call that the kernel refused.
#[derive(Debug)]
pub(crate) struct BpfError {
    pub(crate) call: &'static str,
    pub(crate) source: io::Error,
}

#[cfg(feature = "fault-injection")]
impl From<rustix::io::Errno> for BpfError {
    fn from(errno: rustix::io::Errno) -> BpfError {
        BpfError { call: "bpf", source: errno.into() }
    }
}

/// What an attached program is to cgroups further down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Below {
    /// It yields to a program of theirs. The cgroup has one such program; the next replaces it.
    Yields = 1,
    /// It holds beside theirs: every one must agree.
    Holds = 2,
}

/// A request and zeros behind it: later kernels have longer ones, and some write back further than
/// the size they were given.
#[repr(C, align(8))]
struct Padded<T> {
    request: T,
    rest: [u64; 32],
}

#[repr(C)]
struct Load {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct Attach {
    cgroup: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
struct Query {
    cgroup: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    reserved: u32,
}

#[repr(C)]
struct ById {
    id: u32,
    reserved: [u32; 3],
}

#[repr(C)]
struct InfoByFd {
    program: u32,
    length: u32,
    info: u64,
}

/// The beginning of `struct bpf_prog_info`.
#[repr(C)]
struct Info {
    program_type: u32,
    id: u32,
    tag: u64,
    native_bytes: u32,
    bytes: u32,
    native: u64,
    instructions: u64,
}

impl<T> Padded<T> {
    fn new(request: T) -> Padded<T> {
        Padded { request, rest: [0; 32] }
    }

    /// # Safety
    /// The request must be the command's own, the addresses in it valid for what the kernel reads
    /// and writes there.
    unsafe fn call(&mut self, command: (usize, &'static str)) -> Result<usize, BpfError> {
        let args = [command.0, &raw mut *self as usize, size_of::<Padded<T>>()];
        // SAFETY: the kernel reads and writes the request and at most what follows it in `rest`;
        // the addresses in it are the caller's promise.
        unsafe { raw::syscall(nr::bpf, args) }.map_err(|errno| BpfError {
            call: command.1,
            source: io::Error::from_raw_os_error(errno.0),
        })
    }
}

/// Loads a device filter.
pub(crate) fn load(instructions: &[u64]) -> Result<OwnedFd, BpfError> {
    let mut load = Padded::new(Load {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        instructions: instructions.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"hotcell_devices\0",
    });
    // SAFETY: `count` instructions of 8 bytes lie at the address (the kernel refuses a count as
    // high as the clamped one), and the licence and the name end in a zero byte.
    let fd = unsafe { load.call(PROG_LOAD) }?;
    // SAFETY: the kernel has made this descriptor, close-on-exec, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Attaches a loaded filter to the cgroup: it is asked at every use of a device there and below.
pub(crate) fn attach(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    below: Below,
) -> Result<(), BpfError> {
    let mut attach = Padded::new(Attach {
        cgroup: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: CGROUP_DEVICE,
        flags: below as u32,
    });
    // SAFETY: the request holds numbers only.
    unsafe { attach.call(PROG_ATTACH) }.map(drop)
}

/// Takes a filter that is attached to the cgroup itself away from it.
pub(crate) fn detach(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>) -> Result<(), BpfError> {
    let mut detach = Padded::new(Attach {
        cgroup: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: CGROUP_DEVICE,
        flags: 0,
    });
    // SAFETY: the request holds numbers only.
    unsafe { detach.call(PROG_DETACH) }.map(drop)
}

/// The one device filter of the cgroup itself, opened; `None` for none, or several.
pub(crate) fn attached(cgroup: BorrowedFd<'_>) -> Result<Option<OwnedFd>, BpfError> {
    let mut all = all_attached(cgroup)?;
    Ok(if all.len() == 1 { all.pop() } else { None })
}

/// The device filters of the cgroup itself, opened.
pub(crate) fn all_attached(cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, BpfError> {
    let mut ids = [0u32; MAX_PROGRAMS];
    let mut query = Padded::new(Query {
        cgroup: cgroup.as_raw_fd() as u32,
        attach_type: CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: MAX_PROGRAMS as u32,
        reserved: 0,
    });
    // SAFETY: the kernel writes at most `count` numbers, as many as `ids` has.
    unsafe { query.call(PROG_QUERY) }?;
    let count = MAX_PROGRAMS.min(query.request.count as usize);
    ids[..count].iter().map(|id| open(*id)).collect()
}

fn open(id: u32) -> Result<OwnedFd, BpfError> {
    let mut by_id = Padded::new(ById { id, reserved: [0; 3] });
    // SAFETY: the request holds numbers only.
    let fd = unsafe { by_id.call(PROG_GET_FD_BY_ID) }?;
    // SAFETY: the kernel has made this descriptor, close-on-exec, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Whether a program is a device filter of exactly these instructions. One that the kernel has
/// rewritten or doesn't show counts as another.
pub(crate) fn is(program: BorrowedFd<'_>, instructions: &[u64]) -> Result<bool, BpfError> {
    let mut found = vec![0u64; instructions.len()];
    let bytes = u32::try_from(size_of_val(instructions)).unwrap_or(0);
    let mut info = Padded::new(Info {
        program_type: 0,
        id: 0,
        tag: 0,
        native_bytes: 0,
        bytes,
        native: 0,
        instructions: found.as_mut_ptr() as u64,
    });
    let mut by_fd = Padded::new(InfoByFd {
        program: program.as_raw_fd() as u32,
        length: size_of_val(&info) as u32,
        info: &raw mut info as u64,
    });
    // SAFETY: `info` lies at the address with the length given, and the kernel writes at most
    // `bytes` bytes of instructions to `found`, which has at least as many.
    unsafe { by_fd.call(OBJ_GET_INFO_BY_FD) }?;
    let Info { program_type, bytes: real, .. } = info.request;
    Ok(program_type == PROG_TYPE_CGROUP_DEVICE && real == bytes && found == instructions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_kernels_sizes_and_room_behind_them() {
        assert_eq!(size_of::<Load>(), 64);
        assert_eq!(size_of::<Attach>(), 16);
        assert_eq!(size_of::<Query>(), 32);
        assert_eq!(size_of::<ById>(), 16);
        assert_eq!(size_of::<InfoByFd>(), 16);
        assert_eq!(size_of::<Info>(), 40);
        assert_eq!(size_of::<Padded<Query>>(), 32 + 256);
    }

    #[test]
    fn errors_name_the_call() {
        use std::os::fd::AsFd;
        let file = tempfile::tempfile().unwrap();
        let error = attach(file.as_fd(), file.as_fd(), Below::Holds).unwrap_err();
        assert_eq!(error.call, "bpf(BPF_PROG_ATTACH)");
    }
}
