//! Why credentials were not found, kept or forgotten.

use std::io;

/// What is wrong, and in which place. Never what stands there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// A file can't be read.
    #[error("reading credentials from {place}")]
    Read {
        /// The file.
        place: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file, or a variable of the environment, is not as it should be.
    #[error("the credentials in {place}: {at}: {why}")]
    Content {
        /// The file, or the variable.
        place: String,
        /// Where in it, as a path of fields; `.` is the whole.
        at: String,
        /// What is wrong there.
        why: String,
    },
    /// A file can't be written.
    #[error("writing credentials to {place}")]
    Write {
        /// The file.
        place: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Neither `$DOCKER_CONFIG` nor `$HOME` says where the file is.
    #[error("there is no place for credentials: neither DOCKER_CONFIG nor HOME is set")]
    NoPlace,
    /// A credential helper did not do what it is for.
    #[error("{program}, asked about {registry}: {why}")]
    Helper {
        /// The program.
        program: String,
        /// The registry.
        registry: String,
        /// What it did instead.
        why: String,
    },
}
