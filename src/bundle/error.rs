//! What can be wrong with a wish, or with writing it down.

use std::io;
use std::path::PathBuf;

/// A cell can't be described as asked. Each variant says what, which value, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value is not in the form it must have.
    #[error("{what} {value:?}: {why}")]
    Invalid {
        /// What the value is for.
        what: &'static str,
        /// The value as given.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// The specification can't be put together.
    #[error("building the OCI specification")]
    Spec(#[from] oci_spec::OciSpecError),
    /// The bundle can't be written or read.
    #[error("{op} {}", path.display())]
    Io {
        /// What was done.
        op: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The `config.json` is no specification.
    #[error("{}: {at}: {why}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where in it, as a path of fields.
        at: String,
        /// What is wrong there.
        why: String,
    },
}

impl Error {
    pub(crate) fn invalid(
        what: &'static str,
        value: impl Into<String>,
        why: impl Into<String>,
    ) -> Error {
        Error::Invalid { what, value: value.into(), why: why.into() }
    }
}
