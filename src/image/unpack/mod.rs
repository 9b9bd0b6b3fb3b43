//! A layer becomes a directory that overlayfs can put over those below it.
//!
//! ```text
//!  Source ──► inflate ──► tar entries ──► tree below a descriptor
//!                 └─► hash ──► diff id
//! ```
//!
//! [`layer`] reads the source once, from the first byte to the last: decompresses it, hashes it
//! before and after, and makes what its entries say. The reader (`tar`) is strict, the writer
//! (`tree`) never follows a path that the kernel would resolve, everything is counted against
//! [`Limits`], and memory does not grow with the layer.

mod decompress;
mod error;
mod helper;
mod limits;
mod pipeline;
mod source;
pub(crate) mod tar;
mod tree;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use error::{Cause, Error, Place};
pub use helper::serve_if_asked;
pub use limits::{Limit, Limits};
pub use source::{Extent, Source};
pub use tar::Refusal;

use super::digest::Digest;

/// Where a layer goes, and what it goes over.
#[derive(Debug)]
pub struct Target {
    /// An empty directory, on a file system with `user.*` and `trusted.*` attributes. What is in it
    /// after an error is half a layer.
    pub upper: OwnedFd,
    /// The directories of the layers below, topmost first, as `layer` made them. They are only read.
    pub lowers: Vec<OwnedFd>,
}

/// What a layer turned out to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unpacked {
    /// The digest of the archive after decompression, which an image's configuration names.
    pub diff_id: Digest,
    /// The digest of the source as it was read, which an image's manifest names.
    pub blob: Digest,
    /// Bytes of the source.
    pub blob_bytes: u64,
    /// Bytes of the archive after decompression.
    pub archive_bytes: u64,
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of its files, their holes counted as if they were full.
    pub bytes: u64,
    /// Devices among the entries. They are not made: a cell has its own `/dev`, and what a device
    /// leads to is the host's.
    pub devices_left_out: u64,
    /// What kept the work from everything but the layer.
    pub confinement: Confinement,
}

/// What keeps whoever unpacks from everything but the layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Confinement {
    /// Nothing: it was done in threads of this process.
    None,
    /// It was a process in namespaces of its own, with an empty root, few capabilities, resource limits
    /// and a system call filter.
    Process {
        /// And in a landlock domain, which not every kernel has.
        landlock: bool,
    },
}

/// Where the work is done.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Unpacker {
    /// In a process that has nothing but the layer: this program, executed again. Its `main` has to
    /// call [`serve_if_asked`] first.
    #[default]
    ThisProgram,
    /// The same, but another program that serves, as `hotcell` does.
    Program(PathBuf),
    /// In threads of this process, with its rights. Whoever finds a hole in a decoder has them too.
    InProcess,
}

/// Unpacks one layer. Names lead through symbolic links of the image, within it; directories that the
/// layer does not mention get the attributes they have below; what it hides of the layers below
/// becomes whiteouts and opaque directories of overlayfs.
///
/// # Errors
/// [`Error`] says at which entry. Nothing of the tree is to be used then.
pub fn layer(
    source: &Source,
    target: &Target,
    limits: &Limits,
    how: &Unpacker,
) -> Result<Unpacked, Error> {
    match how {
        Unpacker::InProcess => {
            let lowers: Vec<BorrowedFd<'_>> = target.lowers.iter().map(AsFd::as_fd).collect();
            unpack(source, target.upper.as_fd(), &lowers, limits, tree::Marker::Here)
        }
        Unpacker::ThisProgram if !helper::serves() => Err(Cause::NotServing.into()),
        Unpacker::ThisProgram => {
            helper::unpack(Path::new("/proc/self/exe"), source, target, limits)
        }
        Unpacker::Program(program) => helper::unpack(program, source, target, limits),
    }
}

fn unpack<'a>(
    source: &Source,
    upper: BorrowedFd<'_>,
    lowers: &'a [BorrowedFd<'a>],
    limits: &'a Limits,
    marker: tree::Marker<'a>,
) -> Result<Unpacked, Error> {
    let work = |pieces| tree::apply(tar::Reader::new(pieces), upper, lowers, limits, marker);
    let (made, hashes) = pipeline::run(source, limits, work)?;
    Ok(Unpacked {
        diff_id: hashes.diff_id,
        blob: hashes.blob,
        blob_bytes: hashes.blob_bytes,
        archive_bytes: hashes.bytes,
        entries: made.entries,
        bytes: made.bytes,
        devices_left_out: made.devices_left_out,
        confinement: Confinement::None,
    })
}
