//! From an archive of images to a root file system that many cells share.
//!
//! ```text
//!  Input ──► Archive ──► blobs ──► layers ──► Image ──► cell
//! ```
//!
//! Every byte of an archive is hostile. What names a thing is a type that can't hold a bad value:
//! [`Digest`], [`Reference`]; what describes it is read strictly ([`Document`]), and nothing is used
//! before its bytes have the digest that was promised.

pub mod archive;
pub(crate) mod cleaner;
mod defaults;
mod digest;
mod document;
mod excerpt;
pub mod load;
#[cfg(feature = "pull")]
pub mod pull;
mod reference;
pub mod store;
pub mod unpack;

pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use document::{
    Compression, Content, DOCUMENT_LIMIT, Descriptor, Document, DocumentError, Family, History,
    ImageConfig, Index, Manifest, MediaType, Platform,
};
pub(crate) use excerpt::{excerpt, quoted};
pub use reference::{Reference, ReferenceError};
