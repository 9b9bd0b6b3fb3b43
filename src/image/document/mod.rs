//! Documents: the JSON that describes images, read strictly from few bytes, and kept byte by byte.
//!
//! An index lists manifests, a manifest names a configuration and layers, and each says the digest
//! of what it names. Fields that nobody here knows are let pass; what two readers could understand in
//! two ways is refused: a key that stands there twice or in another spelling, a document whose media
//! type is not its shape, one that is an index and a manifest.

mod archive_files;
mod config;
mod descriptor;
pub(super) mod json;
mod manifest;
mod media_type;

use std::ops::Deref;
use std::sync::Arc;

pub(super) use archive_files::{LayoutMark, Saved, SavedList};
pub use config::{History, ImageConfig};
pub use descriptor::{Descriptor, Platform};
use json::{Field, Flaw};
pub use manifest::{Index, Manifest};
pub use media_type::{Compression, Family, MediaType};

use super::Digest;

/// How many bytes a document may have.
pub const DOCUMENT_LIMIT: usize = 4 << 20;

/// A document that was read, and its bytes. A clone shares both.
#[derive(Clone, Debug)]
pub struct Document<T> {
    bytes: Arc<[u8]>,
    digest: Digest,
    content: Arc<T>,
}

/// What a document can hold: [`Index`], [`Manifest`], [`ImageConfig`].
pub trait Content: Sealed + Sized {
    /// How messages call it.
    #[doc(hidden)]
    const WHAT: &'static str;

    /// Whether a blob of this type can be one.
    #[doc(hidden)]
    fn check(media_type: &MediaType) -> bool;

    #[doc(hidden)]
    fn read(field: Field, promised: Option<&MediaType>) -> Result<Self, Flaw>;
}

/// Nobody else can add to [`Content`].
#[doc(hidden)]
pub trait Sealed {}

/// Why some bytes are not the document that was wanted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// They are no such document.
    #[error("{what}: {at}: {why}")]
    Content {
        /// Which document.
        what: &'static str,
        /// Where in it, as a path of fields; `.` is the whole.
        at: String,
        /// What is wrong there.
        why: String,
    },
    /// There are too many.
    #[error("{what} has {found} bytes, more than {DOCUMENT_LIMIT}")]
    TooLong {
        /// Which document.
        what: &'static str,
        /// How many there are.
        found: u64,
    },
    /// They are others.
    #[error("{what} {wanted} has the digest {found}")]
    Digest {
        /// Which document.
        what: &'static str,
        /// The digest that was promised.
        wanted: Box<Digest>,
        /// The bytes' own.
        found: Box<Digest>,
    },
    /// There are more or fewer than promised.
    #[error("{what} {digest} has {found} bytes, not {wanted}")]
    Size {
        /// Which document.
        what: &'static str,
        /// The digest that was promised.
        digest: Box<Digest>,
        /// How many were promised.
        wanted: u64,
        /// How many there are.
        found: u64,
    },
    /// Something else was promised.
    #[error("{what} {digest} is said to be {found:?}")]
    MediaType {
        /// Which document.
        what: &'static str,
        /// Its digest.
        digest: Box<Digest>,
        /// What it is said to be.
        found: String,
    },
}

impl<T: Content> Document<T> {
    /// Reads a document of which nothing is known before. Its digest is a SHA-256.
    ///
    /// # Errors
    /// [`DocumentError::Content`] and [`DocumentError::TooLong`].
    pub fn read(bytes: &[u8]) -> Result<Document<T>, DocumentError> {
        Document::checked(bytes, Digest::sha256, None)
    }

    /// Reads the document that the descriptor speaks of.
    ///
    /// # Errors
    /// All of [`DocumentError`].
    pub fn described(bytes: &[u8], by: &Descriptor) -> Result<Document<T>, DocumentError> {
        if !T::check(&by.media_type) {
            let found = super::excerpt(by.media_type.as_str());
            return Err(DocumentError::MediaType {
                what: T::WHAT,
                digest: by.digest.into(),
                found,
            });
        }
        let found = bytes.len() as u64;
        if found != by.size {
            let (digest, wanted) = (by.digest.into(), by.size);
            return Err(DocumentError::Size { what: T::WHAT, digest, wanted, found });
        }
        Document::named(bytes, &by.digest, Some(&by.media_type))
    }

    /// Reads the document that has this digest.
    ///
    /// # Errors
    /// [`DocumentError::Digest`], and those of [`Document::read`].
    pub fn with_digest(bytes: &[u8], wanted: &Digest) -> Result<Document<T>, DocumentError> {
        Document::named(bytes, wanted, None)
    }

    fn named(
        bytes: &[u8],
        wanted: &Digest,
        promised: Option<&MediaType>,
    ) -> Result<Document<T>, DocumentError> {
        let hash = |bytes: &[u8]| Digest::of(wanted.algorithm(), bytes);
        if bytes.len() <= DOCUMENT_LIMIT && hash(bytes) != *wanted {
            let (wanted, found) = ((*wanted).into(), hash(bytes).into());
            return Err(DocumentError::Digest { what: T::WHAT, wanted, found });
        }
        Document::checked(bytes, hash, promised)
    }

    fn checked(
        bytes: &[u8],
        hash: impl Fn(&[u8]) -> Digest,
        promised: Option<&MediaType>,
    ) -> Result<Document<T>, DocumentError> {
        if bytes.len() > DOCUMENT_LIMIT {
            return Err(DocumentError::TooLong { what: T::WHAT, found: bytes.len() as u64 });
        }
        let wrong = |Flaw { at, why }| DocumentError::Content { what: T::WHAT, at, why };
        let content =
            json::read(bytes).and_then(|field| T::read(field, promised)).map_err(wrong)?;
        Ok(Document { bytes: bytes.into(), digest: hash(bytes), content: Arc::new(content) })
    }
}

impl<T> Document<T> {
    /// The bytes as they were read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What they say.
    #[must_use]
    pub fn content(&self) -> &Arc<T> {
        &self.content
    }
}

impl<T> Deref for Document<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

#[cfg(test)]
mod tests;
