//! What can be wrong with a profile, or with a filter that a specification asks for.

use std::io;
use std::path::PathBuf;

/// A filter can't be made. Each variant names the place in the profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be read.
    #[error("seccomp profile {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The text is not JSON, or a field is unknown or of the wrong type.
    #[error("seccomp profile")]
    Json(#[from] serde_json::Error),
    /// A value makes no sense.
    #[error("seccomp profile: {place}: {why}")]
    Invalid {
        /// Where, as a path of fields.
        place: String,
        /// The value and what is wrong with it.
        why: String,
    },
    /// The profile asks for something that hotcell doesn't do.
    #[error("seccomp profile: {place} is not supported")]
    Unsupported {
        /// Where, as a path of fields.
        place: String,
    },
    /// The kernel takes no filter of this length.
    #[error("seccomp profile: needs {instructions} instructions, the kernel takes 4096 at most")]
    TooLong {
        /// How many it would need.
        instructions: usize,
    },
}

impl Error {
    pub(super) fn invalid(place: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Invalid { place: place.into(), why: why.into() }
    }
}
