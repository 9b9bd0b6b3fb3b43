//! What can go wrong with a control group.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A control group operation failed. Each variant names the operation and what it was done to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No cgroup v2 tree is mounted, so nothing could be frozen or killed as a whole.
    #[error(
        "no cgroup v2 file system is mounted (neither at /sys/fs/cgroup nor beside v1 hierarchies)"
    )]
    NoUnifiedTree,
    /// A limit was asked for that needs a controller this host doesn't offer.
    #[error("the limit {file}={value} needs the cgroup controller {controller:?}, which is {why}")]
    NoController {
        /// The controller's name.
        controller: &'static str,
        /// The file that would have been written.
        file: Cow<'static, str>,
        /// The value that would have been written.
        value: String,
        /// Where it was looked for.
        why: String,
    },
    /// The specification asks for a resource that hotcell doesn't control.
    #[error("linux.resources.{field} is not supported")]
    Unsupported {
        /// The field of the OCI specification.
        field: &'static str,
    },
    /// A limit's value makes no sense.
    #[error("linux.resources.{field}: {value} is {why}")]
    BadValue {
        /// The field of the OCI specification.
        field: &'static str,
        /// The value given.
        value: i64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A limit can't be enforced as it was given.
    #[error("linux.resources.{field}: {value}: {why}")]
    Refused {
        /// The field of the OCI specification.
        field: Cow<'static, str>,
        /// The value given.
        value: String,
        /// What stands against it.
        why: String,
    },
    /// A cgroup that exists can't become a container's.
    #[error("the cgroup {} can't be a container's: {why}", path.display())]
    Unfit {
        /// The cgroup.
        path: PathBuf,
        /// What stands against it.
        why: String,
    },
    /// A path names no cgroup.
    #[error("linux.cgroupsPath: {}: {why}", path.display())]
    BadPath {
        /// The path as it was given.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no such place inside a container's cgroup.
    #[error("the cgroup {} inside the container's: {why}", path.display())]
    Inner {
        /// The path, or the controller, as it was given.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A rule of the device list makes no sense.
    #[error("linux.resources.devices: {rule}: {why}")]
    DeviceRule {
        /// The rule as it was given.
        rule: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The kernel refused the filter that keeps a cell from the host's devices.
    #[error("{op} for the device filter of {}{hint}", path.display())]
    Devices {
        /// The system call.
        op: &'static str,
        /// The cgroup.
        path: PathBuf,
        /// What may be the reason.
        hint: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel refused to enable controllers for the parent of all cells.
    #[error("cannot enable {controllers:?} in {}{hint}", path.display())]
    Enable {
        /// What was written.
        controllers: String,
        /// The file it was written to.
        path: PathBuf,
        /// Who is in the way, and what to do about it.
        hint: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A file or directory operation failed.
    #[error("{op} {}", path.display())]
    Io {
        /// What was done: "read", "write 64 to", "make", "remove".
        op: String,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel did not do in time what was asked of it.
    #[error("{} is not {state} after {waited:?}", path.display())]
    TimedOut {
        /// "frozen", "thawed", "empty".
        state: &'static str,
        /// The cgroup.
        path: PathBuf,
        /// How long it was given.
        waited: Duration,
    },
}

impl Error {
    pub(crate) fn io(op: impl Into<String>, path: impl Into<PathBuf>, source: io::Error) -> Error {
        Error::Io { op: op.into(), path: path.into(), source }
    }
}
