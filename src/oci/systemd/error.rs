//! What can go wrong with systemd.

use std::io;
use std::path::PathBuf;

/// Systemd did not make, change or end a container's scope.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Error {
    #[error("--systemd-cgroup: systemd does not run here (/run/systemd/system is missing)")]
    Absent,
    #[error("--systemd-cgroup: this host has cgroup v1 controllers; only v2 alone is supported")]
    NotUnified,
    #[error("--systemd-cgroup: systemd is in another PID namespace")]
    Elsewhere,
    #[error(
        "linux.cgroupsPath: {path:?}: with --systemd-cgroup, \"SLICE:PREFIX:NAME\" is expected"
    )]
    Form { path: String },
    #[error("linux.cgroupsPath: {name:?}: {why}")]
    Name { name: String, why: &'static str },
    #[error("annotation {name:?}: {value:?}: {why}")]
    Annotation { name: String, value: String, why: String },
    #[error("cannot hold the scope {unit:?} open")]
    Placeholder {
        unit: String,
        #[source]
        source: io::Error,
    },
    #[error("{op} {}", path.display())]
    Socket {
        op: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{call}")]
    Call {
        call: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{call}: {text} ({name})")]
    Refused { call: &'static str, name: String, text: String },
    #[error("an answer makes no sense")]
    Nonsense,
    #[error("the job for {unit:?} ended as {result:?}")]
    Job { unit: String, result: String },
    #[error("the unit {unit:?} is at {found:?}, not at {expected:?}")]
    Misplaced { unit: String, found: String, expected: String },
}

impl Error {
    /// Whether systemd's answer was a failure of this kind.
    pub(super) fn is(&self, kind: &str) -> bool {
        let ending = |name: &str| name.strip_prefix("org.freedesktop.systemd1.") == Some(kind);
        matches!(self, Error::Refused { name, .. } if ending(name))
    }
}
