//! Named points at everything that the driver does to the world outside itself, where a test can make
//! it fail, die or stop.
//!
//! Without the feature `fault-injection` a point is nothing but the call it stands before.
//!
//! ```text
//! HOTCELL_FAULT=layer-directory=ENOSPC      the first time it is reached, with this errno
//! HOTCELL_FAULT=cgroup-write:3=EIO         the third time
//! HOTCELL_FAULT=cgroup-removal:1+=EBUSY    the first time and ever after
//! HOTCELL_FAULT=clone=kill                 SIGKILL for this process, before the call
//! HOTCELL_FAULT=report-read=stop           SIGSTOP for this process, before the call
//! HOTCELL_FAULT=init-step:12=ENOMEM        the init's step 12; `kill` and `stop` (it hangs) too
//! ```
//!
//! A point lies before its call: what is killed there has done everything up to it, and not it.
#![cfg_attr(
    not(feature = "fault-injection"),
    allow(unreachable_pub, reason = "the module is public with the feature alone")
)]

#[cfg(feature = "fault-injection")]
mod injection;

#[cfg(feature = "fault-injection")]
use rustix::io::Errno;

#[cfg(feature = "fault-injection")]
pub use injection::{Action, Armed, ENV, Fault, times_reached};

/// How many kinds of steps a plan can have.
#[cfg(feature = "fault-injection")]
pub const KINDS_OF_STEPS: usize = crate::init::wire::Op::COUNT;

#[cfg(all(feature = "fault-injection", not(debug_assertions)))]
compile_error!("the feature fault-injection is for tests and must not be in a release build");

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A place where something can go wrong. Each is named after what is about to be done.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "some are the programs' own"))]
        pub enum Point { $($(#[$doc])* $point,)* }

        #[cfg(feature = "fault-injection")]
        impl Point {
            /// All of them.
            pub const ALL: &'static [Point] = &[$(Point::$point),*];

            /// The name that `HOTCELL_FAULT` knows it by.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Point::$point => $name,)* }
            }

            /// Whether it lies in what only the OCI runtime does, where no driver comes by.
            #[must_use]
            pub fn is_of_the_runtime(self) -> bool {
                self.name().starts_with("container-")
            }

            /// Those that a driver comes by.
            pub fn of_drivers() -> impl Iterator<Item = &'static Point> {
                Point::ALL.iter().filter(|point| !point.is_of_the_runtime())
            }
        }
    };
}

points! {
    // native: the driver's own things
    /// A directory that is the driver's alone is made, or found.
    PrivateDirectory = "private-directory",
    /// The file of a lock is made, or opened.
    LockFile = "lock-file",
    /// A lock is taken.
    Lock = "lock",
    /// The file of a lock is removed.
    LockRemoval = "lock-removal",
    /// The note that the parent cgroup is the drivers' own is written.
    ParentMark = "parent-mark",
    /// That note is removed.
    ParentMarkRemoval = "parent-mark-removal",
    /// The directory of an instance is made.
    InstanceDirectory = "instance-directory",
    /// An instance's record is written under its draft's name.
    RecordDraft = "record-draft",
    /// The draft becomes the record.
    RecordRename = "record-rename",
    /// An instance's record is removed.
    RecordRemoval = "record-removal",
    /// What an instance had on disk is removed.
    DataRemoval = "data-removal",
    /// The directory of an instance is removed.
    InstanceRemoval = "instance-removal",
    /// The data directory is removed if nothing is in it.
    DataDirectoryRemoval = "data-directory-removal",
    /// Something of a dead instance is removed.
    SweepRemoval = "sweep-removal",
    /// The list of instances is read.
    InstanceList = "instance-list",
    // native: a cell's
    /// A directory of a cell's layer on disk is made.
    LayerDirectory = "layer-directory",
    /// The upper layer's mode is set.
    LayerMode = "layer-mode",
    /// The link that takes a range of ids is made.
    IdsLink = "ids-link",
    /// The link that keeps a range of ids is removed.
    IdsRemoval = "ids-removal",
    /// The directory of a bundle is made, or found.
    BundleDirectory = "bundle-directory",
    /// `config.json` is made.
    BundleFile = "bundle-file",
    /// `config.json` is written.
    BundleWrite = "bundle-write",
    /// A cell's layer is moved to the trash.
    TrashRename = "trash-rename",
    /// The trash is made.
    TrashDirectory = "trash-directory",
    /// The thread that empties the trash is started.
    TrashThread = "trash-thread",
    /// A layer in the trash is deleted.
    TrashRemoval = "trash-removal",
    // oci: a container's
    /// The directory of a container is made.
    ContainerDirectory = "container-directory",
    /// The directory of a container is locked.
    ContainerLock = "container-lock",
    /// A file of a container is made.
    ContainerFile = "container-file",
    /// The draft becomes the container's record.
    ContainerRename = "container-rename",
    /// A container's record or its directory is removed.
    ContainerRemoval = "container-removal",
    // cgroup
    /// The root of a hierarchy is opened.
    CgroupRoot = "cgroup-root",
    /// A cgroup is made.
    CgroupDirectory = "cgroup-directory",
    /// The directory of a cgroup is opened.
    CgroupOpen = "cgroup-open",
    /// A cgroup is opened to readers.
    CgroupMode = "cgroup-mode",
    /// The cgroups below one are listed.
    CgroupList = "cgroup-list",
    /// A file of a cgroup is opened.
    CgroupFile = "cgroup-file",
    /// A file of a cgroup is written: limits, freezing, killing.
    CgroupWrite = "cgroup-write",
    /// A file of a cgroup is read.
    CgroupRead = "cgroup-read",
    /// A cell's cgroup is removed.
    CgroupRemoval = "cgroup-removal",
    /// The cgroup above all cells is removed.
    ParentRemoval = "parent-removal",
    /// A device filter is loaded.
    FilterLoad = "filter-load",
    /// A device filter is attached to a cell's cgroup.
    FilterAttach = "filter-attach",
    // launch
    /// The init's memfd is made.
    Memfd = "memfd",
    /// The init is written to it.
    MemfdWrite = "memfd-write",
    /// It is sealed.
    MemfdSeal = "memfd-seal",
    /// The cradle is made: each call on its way.
    Cradle = "cradle",
    /// The control socket is made.
    ControlSocket = "control-socket",
    /// The host's null device is opened.
    HostNull = "host-null",
    /// A descriptor is copied up, out of the way of those that the init gets.
    DescriptorCopy = "descriptor-copy",
    /// The init is born.
    Clone = "clone",
    /// The init's directory in /proc is opened.
    InitProc = "init-proc",
    /// A map of a user namespace is written.
    IdMap = "id-map",
    /// The user namespace is opened.
    UserNamespace = "user-namespace",
    /// A mount is copied.
    TreeCopy = "tree-copy",
    /// A copied mount's attributes are set.
    TreeAttributes = "tree-attributes",
    /// A copied mount's ids are mapped.
    TreeIdMap = "tree-id-map",
    /// The head of the plan is sent.
    PlanHeader = "plan-header",
    /// The rest of the plan is sent, with the mounts that come along.
    PlanWithMounts = "plan-with-mounts",
    /// A step is put into the plan: the init meets the fault there.
    InitStep = "init-step",
    /// A report of the init is waited for.
    ReportWait = "report-wait",
    /// A report of the init is read.
    ReportRead = "report-read",
    // a running cell
    /// A signal is sent.
    Signal = "signal",
    /// The end of a cell is waited for.
    EndWait = "end-wait",
    /// The status of an ended cell is taken.
    ExitStatus = "exit-status",
    /// A pipe for a standard stream is made.
    StreamPipe = "stream-pipe",
    /// A pipe gets its owner.
    StreamOwner = "stream-owner",
    /// A runtime begins to watch a pipe.
    StreamWatch = "stream-watch",
    /// A runtime begins to watch a cell.
    EndWatch = "end-watch",
}

/// Does `call`, unless a fault waits at `point`.
#[cfg(feature = "fault-injection")]
pub(crate) fn at<T, E: From<Errno>>(
    point: Point,
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    injection::reach(point)?;
    call()
}

#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub(crate) fn at<T, E>(_: Point, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    call()
}

/// What the init is told to do at the step that is just put into a plan: see `init/fault.rs`.
#[cfg(feature = "fault-injection")]
pub(crate) fn mark(point: Point) -> u32 {
    injection::mark(point)
}

#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub(crate) fn mark(_: Point) -> u32 {
    0
}
