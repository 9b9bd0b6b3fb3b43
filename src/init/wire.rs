//! The plan as bytes: what the parent writes to the control socket and the init interprets, and
//! the records that come back.
//!
//! ```text
//! parent ──► Header ┆ Step × n │ argv slots │ envp slots │ path slots │ strings ──► init
//! parent ◄── Report (16 bytes): AllClear, Born, Failed, Paused, Started, …     ◄── init
//! ```
//!
//! The header comes first and alone: the init makes a namespace or two while the parent sees to the
//! rest, along with which come the mounts that the init can't make.
//!
//! Everything is a fixed-size record or a NUL-terminated string named by its offset from the first
//! byte, so the init parses nothing: it checks bounds and looks.

/// First word of every plan; a mismatch means that the two halves were not built together.
pub const MAGIC: u32 = 0x686f_740a;

/// The control socket's number in the child. Standard input, output and error are 0 to 2.
pub const CONTROL_FD: usize = 3;

/// The number of the mount namespace that a cell builds its own in ([`Op::Cradle`]).
pub const CRADLE_FD: usize = 4;

/// In [`Header::birth`]: the task is born later, by [`Op::Birth`]: its session is not the init's.
pub const BORN_LATER: u32 = 1;

/// In [`Header::birth`]: the filter binds it from then on, and the init before.
pub const BOUND_EARLY: u32 = 2;

/// In [`Header::birth`]: the task's filter has a listener, which the parent takes ([`Kind::Listening`]).
pub const LISTENED: u32 = 4;

/// In [`Step::flags`]: the descriptor came along with a message.
pub const SENT: u16 = 256;

/// The most mounts, and `tasks` files, that can come along with a plan and after it: what one message
/// carries.
pub const MOST_TREES: usize = 250;

/// The largest plan, in bytes: what the kernel allows for arguments and environment, twice.
pub const LARGEST: usize = 16 << 20;

/// Head of the plan. Offsets count from the plan's first byte.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Header {
    pub magic: u32,
    /// Bytes of the whole plan, this header included.
    pub size: u32,
    pub steps: u32,
    /// 1: the init stays as PID 1 and reaps; 0: it becomes the task.
    pub stay: u32,
    /// Three NULL-terminated arrays of 8-byte slots, each slot the offset of a string.
    pub argv: u32,
    pub envp: u32,
    /// The files to try to execute, in order.
    pub paths: u32,
    /// The system call filter of the task: this many 8-byte instructions at this offset, or none.
    pub filter: u32,
    pub filter_length: u32,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub filter_flags: u32,
    /// Capabilities that a staying init gives up when the task runs: the low half of the set, the
    /// high half.
    pub borrowed: [u32; 2],
    /// `CLONE_NEW*` flags: namespaces to make while the parent still works at the rest.
    pub unshare: u32,
    /// [`BORN_LATER`], [`BOUND_EARLY`], [`LISTENED`].
    pub birth: u32,
    /// Descriptors that the task gets behind its streams: how many, and the number of the first of
    /// them in the init.
    pub kept: u32,
    pub kept_at: u32,
}

/// One thing for the init to do. What the slots mean is told at each [`Op`].
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Step {
    pub op: u16,
    pub flags: u16,
    pub reserved: u32,
    /// Offsets of strings; 0 stands for "none" (the header is there, never a string).
    pub text: [u32; 4],
    pub number: [u64; 3],
}

/// In [`Step::flags`]: no component of the target may be a symbolic link.
pub const NO_SYMLINKS: u16 = 1;
/// In [`Step::flags`]: make the target directory when it is missing.
pub const MAKE_DIR: u16 = 2;
/// In [`Step::flags`]: make the target, an empty file, when it is missing.
pub const MAKE_FILE: u16 = 4;
/// In [`Step::flags`]: the target is a name in the tray ([`Op::Tray`]), not a path in root.
pub const IN_TRAY: u16 = 8;

/// In [`Step::flags`]: the new file system's root gets the mode of the directory that it covers.
pub const KEEP_MODE: u16 = 16;
/// In [`Step::flags`]: the new file system starts with a copy of what it covers.
pub const COPY_UP: u16 = 32;
/// In [`Step::flags`]: the terminal stands on /dev/console too.
pub const ON_CONSOLE: u16 = 64;

/// In [`Step::flags`]: a link in the target that leads to what is not there is followed, and what it
/// leads to is made.
pub const BEHIND_LINKS: u16 = 64;

/// In [`Step::flags`]: the hook's program is the cell's, for the task's rights.
pub const OF_THE_CELL: u16 = 128;

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        /// What a step does. "In root" means: resolved below the new root and nowhere else.
        #[repr(u16)]
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Op { $($(#[$doc])* $name = $value,)* }

        impl Op {
            /// The operation with this number, if there is one.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Op> {
                match number { $($value => Some(Op::$name),)* _ => None }
            }

            /// How many there are.
            pub const COUNT: usize = [$($value),*].len();
        }
    };
}

ops! {
    /// Writes "0" to the `tasks` file open as descriptor `number[0]`, then closes it; with [`SENT`] to the
    /// one that came along under this number.
    JoinTasks = 1,
    /// Makes the cgroup just joined the root of this process's view.
    UnshareCgroup = 2,
    /// Enters the mount namespace open as descriptor `number[0]` and takes a copy of it for its own.
    Cradle = 3,
    /// Sets the propagation `number[0]` on `/`: with `MS_REC` on every mount below it too.
    Propagation = 4,
    /// Mounts a tmpfs on the host path `text[0]` with the options `text[1]`, in this namespace only,
    /// and enters it.
    Scratch = 5,
    /// Makes the directory `text[0]` below the current one with mode `number[0]`.
    MakeHere = 6,
    /// Mounts an overlay on `text[0]` with the options `text[1]`.
    Overlay = 7,
    /// Takes the directory `text[0]` for the root that later steps resolve in.
    EnterRoot = 8,
    /// Becomes root of the user namespace this process is in; its ids are mapped by now.
    BecomeRoot = 9,
    /// Makes the directory `text[0]` below the current one and attaches the mount `number[0]` that
    /// came along there.
    TreeHere = 10,
    /// Attaches the mount `number[0]` that came along on the directory `text[0]`, in this namespace
    /// only, and takes it for the root.
    TreeAsRoot = 11,
    /// Attaches the mount `number[0]` that came along on `text[0]` in root.
    Tree = 12,
    /// Mounts file system type `text[2]` from source `text[1]` on `text[0]` in root with the
    /// options `text[3]` and mount flags `number[0]`, the same as `MOUNT_ATTR_*` being `number[1]`.
    Mount = 13,
    /// Mounts an empty tmpfs on `text[0]` in root and keeps it at hand: the tray, for other mounts
    /// to stand in.
    Tray = 14,
    /// Makes the tray read-only.
    SealTray = 15,
    /// Makes the node `text[1]` in the directory `text[0]` in root: mode and type `number[0]`,
    /// device `number[1]`, owner `number[2]` (uid in the high half, gid in the low one). The same
    /// device may be there already; then it stays as it is.
    Node = 16,
    /// Makes the symbolic link `text[1]` in the directory `text[0]` in root with the content
    /// `text[2]`, unless something is there.
    Link = 17,
    /// Hides `text[0]` in root, if it exists, behind an empty file or directory.
    Mask = 18,
    /// Makes `text[0]` in root, if it exists, read-only.
    ReadOnly = 19,
    /// Sets the attributes `number[0]` on the root mount itself.
    RootAttributes = 20,
    /// Swaps the root of the namespace for the new one and lets go of the old.
    Pivot = 21,
    /// Moves the new root on top of the namespace's own and makes it the root.
    Cover = 22,
    /// Sets the host name to `text[0]`.
    Hostname = 23,
    /// Sets the NIS domain name to `text[0]`.
    Domainname = 24,
    /// Brings the loopback interface up.
    Loopback = 25,
    /// Sets resource limit `number[0]` to soft `number[1]`, hard `number[2]`.
    Rlimit = 26,
    /// Replaces descriptor `number[0]` with the new root's own null device.
    NullStream = 27,
    /// Drops every capability outside the set `number[0]` from the bounding set; `number[1]` is
    /// the last capability this kernel knows.
    Bounding = 28,
    /// Sets uid `number[0]`, gid `number[1]` and the supplementary groups: `number[2]` times
    /// 4 bytes at `text[0]`.
    Identity = 29,
    /// Sets effective `number[0]`, permitted `number[1]`, inheritable `number[2]` capabilities.
    Capabilities = 30,
    /// Raises the capabilities of the set `number[0]` to ambient.
    Ambient = 31,
    /// Changes to the directory `text[0]` in root; a missing one is made if the step says so.
    WorkingDir = 32,
    /// Sets the file mode creation mask `number[0]`.
    Umask = 33,
    /// No exec from here on may gain privileges.
    NoNewPrivileges = 34,
    /// Writes the `number[0]` bytes at `text[0]` to the process's `oom_score_adj`; a refusal of the
    /// kernel's fails the step unless `number[1]` is 0.
    OomScore = 35,
    /// Enters the namespaces `number[1]` (`CLONE_NEW*`) of the process behind the pidfd
    /// `number[0]`, then closes it.
    Enter = 36,
    /// Writes the string `text[1]` to the file `text[0]` of a proc file system that nobody else sees, or
    /// of the host's ([`Op::KeepProc`]).
    WriteProc = 37,
    /// Sets the scheduling policy: a `struct sched_attr` at `text[0]`.
    Scheduler = 38,
    /// Sets the I/O priority `number[0]`.
    IoPriority = 39,
    /// Restricts the process to the CPUs of the mask at `text[0]`, `number[0]` bytes long.
    Affinity = 40,
    /// Sets the memory policy `number[0]` with the mask of nodes at `text[0]`, `number[1]` bytes long.
    MemoryPolicy = 41,
    /// Sets the execution domain `number[0]`.
    Personality = 42,
    /// Changes the attributes of what is mounted on `text[0]` in root: sets `number[0]`, clears
    /// `number[1]`; with `number[2]` of all mounts below it too.
    Attributes = 43,
    /// Reports that nothing is left but to wait at the latch, or to execute the task.
    AllClear = 44,
    /// Sees that one of the files to try to execute is there, and may be executed by who this
    /// process is by now.
    FindProgram = 45,
    /// Speaks through the FIFO open as descriptor `number[1]` from here on, and lets go of the
    /// control socket; waits until a byte comes through the FIFO open as descriptor `number[0]`.
    Latch = 46,
    /// Opens a terminal of the cell's: through the socket open as descriptor `number[0]` goes its
    /// master; uid `number[1]`; rows in the high half of `number[2]`, columns in the low one. With
    /// [`ON_CONSOLE`] it stands on /dev/console in root too.
    Terminal = 47,
    /// Enters the namespace of the kind `number[1]` (`CLONE_NEW*`) open as descriptor `number[0]`,
    /// then closes it.
    EnterNamespace = 48,
    /// Makes a time namespace, whose clocks are offset by what the `number[0]` bytes at `text[0]` say
    /// in the kernel's words, and enters it.
    TimeNamespace = 49,
    /// Says that the parent has something to do, and waits for a byte from it.
    Pause = 50,
    /// Runs the program `text[0]` with the arguments at `text[1]` and the environment at `text[2]`, both
    /// arrays as in the [`Header`], and waits for its end, `number[1]` seconds at most if that is not 0.
    /// It reads the file open as the low half of `number[0]` and writes the one open as the high half.
    /// A bad end is told under the name `text[3]`, and is the init's.
    Hook = 51,
    /// Binds this process to the task's system call filter from here on.
    Filter = 52,
    /// Makes the namespaces `number[0]` (`CLONE_NEW*`) and enters them; a PID namespace is one for
    /// those born later.
    Unshare = 53,
    /// Begins a proc file system that shows the PID namespace open as descriptor `number[0]`, for
    /// [`Op::Mount`] to take. What is seen in there of how that is done sees the mount namespace open
    /// as descriptor `number[1]`, which is closed then unless `number[2]` is 1.
    BeginProc = 54,
    /// Goes on as a new process, the parent's own child, where this one's children are born, and with
    /// nothing open that the file system was built with.
    Birth = 55,
    /// Loads the task's filter, which has a listener, and has the parent take that.
    Listen = 56,
    /// Waits for the cell's cgroups, which the parent made meanwhile: a byte, and what comes along with it
    /// under the numbers from `number[0]` on.
    Cgroups = 57,
    /// Keeps the proc file system at /proc open, for [`Op::WriteProc`] where this process can't make one.
    KeepProc = 58,
}

/// What a record on the control socket tells the parent.
#[repr(u16)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// All steps done: the task is executed next, or waits for its start.
    AllClear = 1,
    /// `step` failed in system call `call` with `value` as errno. Step = number of steps: the exec.
    Failed = 2,
    /// The staying init has seen its task exec.
    Started = 3,
    /// The staying init's task ended with wait status `value`.
    Exited = 4,
    /// The task's process exists inside; a pidfd of it comes along.
    Born = 5,
    /// The init waits for a byte.
    Paused = 6,
    /// A hook ended with wait status `value`. Behind this record and the next two stand three strings,
    /// NUL between them: the hook's name, its program, the beginning of what it wrote.
    HookEnded = 7,
    /// A hook took longer than its `value` seconds.
    HookLate = 8,
    /// A hook could not be run: system call `call` with `value` as errno.
    HookBroken = 9,
    /// The filter is in force, and its listener is descriptor `value`; the init waits for a byte.
    Listening = 10,
}

impl Kind {
    /// Whether it tells of a hook inside that went wrong.
    #[must_use]
    pub fn is_of_a_hook(self) -> bool {
        matches!(self, Kind::HookEnded | Kind::HookLate | Kind::HookBroken)
    }

    /// The kind with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Kind> {
        match number {
            1 => Some(Kind::AllClear),
            2 => Some(Kind::Failed),
            3 => Some(Kind::Started),
            4 => Some(Kind::Exited),
            5 => Some(Kind::Born),
            6 => Some(Kind::Paused),
            7 => Some(Kind::HookEnded),
            8 => Some(Kind::HookLate),
            9 => Some(Kind::HookBroken),
            10 => Some(Kind::Listening),
            _ => None,
        }
    }
}

/// In [`Report::step`]: nothing of the plan has been done yet.
pub const BEFORE_STEPS: u32 = u32::MAX;

/// One record from the init, written in one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    pub kind: Kind,
    pub call: u16,
    pub step: u32,
    pub value: i32,
}

/// Bytes of an encoded [`Report`].
pub const REPORT_SIZE: usize = 16;

impl Report {
    /// The record's bytes; the magic number first, so that a torn or foreign write is seen.
    #[must_use]
    pub fn encode(&self) -> [u8; REPORT_SIZE] {
        let mut bytes = [0; REPORT_SIZE];
        bytes[..4].copy_from_slice(&MAGIC.to_ne_bytes());
        bytes[4..6].copy_from_slice(&(self.kind as u16).to_ne_bytes());
        bytes[6..8].copy_from_slice(&self.call.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.step.to_ne_bytes());
        bytes[12..].copy_from_slice(&self.value.to_ne_bytes());
        bytes
    }

    /// The record in `bytes`, or `None` when they are not one.
    #[must_use]
    pub fn decode(bytes: &[u8; REPORT_SIZE]) -> Option<Report> {
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| {
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if word(0) != MAGIC {
            return None;
        }
        let kind = Kind::from_number(half(4))?;
        Some(Report { kind, call: half(6), step: word(8), value: word(12) as i32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_socket() {
        let report = Report { kind: Kind::Failed, call: 437, step: 12, value: -3 };
        assert_eq!(Report::decode(&report.encode()), Some(report));
    }

    #[test]
    fn foreign_bytes_are_no_report() {
        assert_eq!(Report::decode(&[0; REPORT_SIZE]), None);
        let mut bytes = Report { kind: Kind::Exited, call: 0, step: 0, value: 9 }.encode();
        bytes[4] = 200;
        assert_eq!(Report::decode(&bytes), None);
    }

    #[test]
    fn ops_are_numbered_without_gaps() {
        assert!((1..=Op::COUNT as u16).all(|number| Op::from_number(number).is_some()));
        assert_eq!(Op::from_number(0), None);
    }
}
