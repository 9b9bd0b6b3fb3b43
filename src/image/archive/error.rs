//! Why an archive can't be opened or written.

use std::io;
use std::path::PathBuf;

use crate::image::{Digest, DocumentError, Platform, ReferenceError, excerpt, quoted};

/// An archive can't be opened or written. Each variant names the file, the member or the image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused something.
    #[error("{op} {}", path.display())]
    Io {
        /// What was done.
        op: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It is no archive that is known here.
    #[error("{} {why}", from.display())]
    Unknown {
        /// Where it came from.
        from: PathBuf,
        /// What it is instead.
        why: &'static str,
    },
    /// The tar file is none, or one that programs read in different ways.
    #[error("{}: member {member:?}", from.display())]
    Tar {
        /// Where it came from.
        from: PathBuf,
        /// The member, or the last before it.
        member: String,
        /// What is wrong with it.
        #[source]
        source: crate::image::unpack::Cause,
    },
    /// A member is missing, or is not what it must be.
    #[error("member {member:?} {why}")]
    Member {
        /// Its name.
        member: String,
        /// What is wrong with it.
        why: String,
    },
    /// A member is not the document that it must be.
    #[error("member {member:?}")]
    Document {
        /// Its name.
        member: String,
        /// What is wrong with it.
        #[source]
        source: DocumentError,
    },
    /// An image has a name that can't be one.
    #[error("member {member:?} names an image")]
    Name {
        /// The document's name.
        member: String,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// The parts of the archive contradict each other.
    #[error("{what}: {why}")]
    Contradiction {
        /// The image.
        what: String,
        /// How they do.
        why: String,
    },
    /// There is no image for the platform.
    #[error("{what} is for {}, not for {wanted}", quoted(found))]
    Platform {
        /// The image.
        what: String,
        /// The platforms that it is for.
        found: String,
        /// The one that was asked for.
        wanted: Box<Platform>,
    },
    /// There is no image in it.
    #[error("{} has no image", from.display())]
    NoImage {
        /// Where it came from.
        from: PathBuf,
    },
    /// It has more of something than is read.
    #[error("{} has more than {limit} {what}", from.display())]
    Limit {
        /// Where it came from.
        from: PathBuf,
        /// Of what.
        what: &'static str,
        /// How many are read.
        limit: u64,
    },
    /// What is to be saved has other bytes than its digest says.
    #[error("the blob {wanted} has changed: its bytes have the digest {found}")]
    Changed {
        /// The digest that it should have.
        wanted: Box<Digest>,
        /// Its own.
        found: Box<Digest>,
    },
}

impl Error {
    pub(super) fn io(
        op: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Error {
        Error::Io { op, path: path.into(), source: source.into() }
    }

    pub(super) fn member(member: &str, why: impl Into<String>) -> Error {
        Error::Member { member: excerpt(member), why: why.into() }
    }

    pub(super) fn document(member: &str) -> impl FnOnce(DocumentError) -> Error {
        let member = excerpt(member);
        move |source| Error::Document { member, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_archive_says_of_platforms_stays_in_a_line() {
        let found = format!("\u{1b}[2J\nlinux/{}", "x".repeat(1 << 20));
        let wanted = Box::new(Platform::new("linux", "amd64"));
        let text = Error::Platform { what: "the image".to_owned(), found, wanted }.to_string();
        assert!(text.len() < 300 && !text.contains(char::is_control), "{text}");
    }
}
