//! What can be wrong with a store, or with what it is asked for.

use std::io;
use std::path::{Path, PathBuf};

use crate::image::{Digest, ReferenceError};

/// The store could not do what it was asked. `Display` tells this level; the source, why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory is no place for a store, or something in it is not what it must be.
    #[error("the image store {} {why}", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A newer version of this program made the store.
    #[error("the image store {} has the format {found:?}, which this version does not know", path.display())]
    Format {
        /// The directory.
        path: PathBuf,
        /// What it says of itself.
        found: String,
    },
    /// A file or directory operation failed.
    #[error("{op} {}", path.display())]
    Io {
        /// What was done.
        op: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Something that was whole once no longer is. Loading the image again repairs it.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The text can be no name of an image.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A digest can't be given to an image: it has the one it has.
    #[error("{0} ends in a digest that is not the image's: a tag is wanted")]
    NoTag(String),
    /// There is no such image.
    #[error("no such image: {0}")]
    NotFound(String),
    /// More than one image has an identifier that starts like this.
    #[error("more than one image has an identifier that starts with {0:?}")]
    Ambiguous(String),
    /// The name is another image's, and nobody said that it should move.
    #[error("the name {name} is {image}'s: say that it is to be replaced")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        image: Digest,
    },
    /// Cells are using the image, or another process is.
    #[error("the image {0} is in use")]
    InUse(Digest),
    /// A damaged layer can't be replaced: a load is counting on it.
    #[error("{} is damaged, and in use", .0.display())]
    Busy(PathBuf),
    /// An identifier was given for removal, and the image has names that would go, too.
    #[error("the image {image} has {count} names: remove them by name, or all by force")]
    SeveralNames {
        /// The image.
        image: Digest,
        /// How many.
        count: usize,
    },
}

impl Error {
    pub(super) fn io(op: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Error {
        Error::Io { op, path: path.into(), source }
    }

    pub(super) fn damaged(path: &Path, why: impl Into<String>) -> Error {
        Error::Damaged { path: path.to_owned(), why: why.into() }
    }
}

/// Turns the system's answer into an [`Error`] that says what was done to what.
pub(super) trait Told<T> {
    fn told(self, op: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Told<T> for Result<T, E> {
    fn told(self, op: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::io(op, path, source.into()))
    }
}
