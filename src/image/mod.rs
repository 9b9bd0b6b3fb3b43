//! From an archive of images to a root file system that many cells share.
//!
//! ```text
//!  Input ──► Archive ──► blobs ──► layers ──► Image ──► cell
//! ```
//!
//! Every byte of an archive is hostile. What names a thing is a type that can't hold a bad value:
//! [`Digest`] and the like; what describes it is read strictly, and nothing is used
//! before its bytes have the digest that was promised.

mod digest;

pub use digest::{Algorithm, Digest, DigestError, Hasher};
