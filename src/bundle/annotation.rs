//! What hotcell writes into a specification that other runtimes don't know, and ignore.

/// Who may write below `root.path`. Absent: the cell itself, as the specification says.
pub const ROOTFS: &str = "dev.hotcell.rootfs";
/// Value of [`ROOTFS`]: many cells share the directory, and nobody ever writes to it.
pub const SHARED: &str = "shared";
/// Value of [`ROOTFS`]: shared, and the cell writes to a layer in memory, charged to its limit.
pub const COPY_ON_WRITE_TMPFS: &str = "copy-on-write:tmpfs";
/// Value of [`ROOTFS`]: shared, and the cell writes to a layer in the driver's data directory.
pub const COPY_ON_WRITE_DISK: &str = "copy-on-write:disk";

/// The layers of a root that has several: directories below one, topmost first, with colons between
/// them. `root.path` is the first of them, and ends with its name here; a runtime that does not know the
/// annotation sees that one alone.
pub const LAYERS: &str = "dev.hotcell.layers";

/// `true`: an init of hotcell's stays as PID 1, hands signals on and reaps orphans.
pub const INIT: &str = "dev.hotcell.init";
