//! The story of a load: from an archive's images to images of a store.
//!
//! ```text
//! archive ──► names ──► each layer ──► merged ──► documents ──► commit
//!  documents   may they   there? take a lease.      │            sync, then
//!  checked     be had?    else copy, unpack,        │            rename in order
//!                         compare digests         hard links
//! ```
//!
//! What an archive promises is compared with what its bytes are: the blob's digest and size with the
//! manifest, the digest of its content with the configuration. The bytes are copied into the store
//! first, and what is hashed and unpacked is the copy: whoever changes the archive meanwhile changes
//! nothing.

mod copy;
mod error;
mod options;
mod piece;
mod stage;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::archive::{self, Archive, ArchivedImage, Input};
#[cfg(feature = "pull")]
use super::store::staging::{LayerSource, chain_ids};
use super::store::staging::{NameRecord, Staged, merge, name_record};
use super::store::{self, Image, Store, StoreOptions};
use super::{Digest, Document, ImageConfig, Manifest, Reference, unpack};
use stage::Load;

pub use error::LoadError;
pub use options::{LayerOf, LoadOptions, Progress};
#[cfg(feature = "pull")]
pub(in crate::image) use piece::Lost;
pub(in crate::image) use piece::{Arriving, Origin, Piece};

/// An image that a store is to have: its documents are checked, its layers are somewhere.
pub(in crate::image) struct Incoming<'a> {
    pub(in crate::image) manifest: &'a Document<Manifest>,
    pub(in crate::image) config: &'a Document<ImageConfig>,
    /// From the lowest up.
    pub(in crate::image) pieces: Vec<Piece<'a>>,
}

impl Store {
    /// Loads the images of an archive: all, or none if something is wrong with one of them. What the
    /// store has of them already is not read.
    ///
    /// # Errors
    /// [`LoadError`]. Nothing is left of the load then.
    pub fn load(&self, input: Input, options: &LoadOptions<'_>) -> Result<Vec<Image>, LoadError> {
        let staged = self.begin()?;
        let mut how = archive::Options::new(staged.spool());
        if let Some(platform) = &options.platform {
            how.platform = platform.clone();
        }
        let images = Archive::open(input, &how)?.into_images();
        self.take_in(staged, &images, options)
    }

    /// Loads images whose documents have been checked.
    pub(in crate::image) fn take_in(
        &self,
        staged: Staged,
        images: &[ArchivedImage],
        options: &LoadOptions<'_>,
    ) -> Result<Vec<Image>, LoadError> {
        let names = names(images, options)?;
        let incoming = images.iter().map(|image| {
            let pieces = image.layers.iter().map(Piece::archived).collect::<Result<_, _>>()?;
            Ok(Incoming { manifest: &image.manifest, config: &image.config, pieces })
        });
        let incoming = incoming.collect::<Result<Vec<_>, LoadError>>()?;
        self.take_all(staged, names, &incoming, options)
    }

    /// Which of an image's layers have blobs that the store lacks, lowest first. What it has stays for as
    /// long as the load lasts.
    #[cfg(feature = "pull")]
    pub(in crate::image) fn wanted(
        &self,
        staged: &mut Staged,
        manifest: &Manifest,
        config: &ImageConfig,
    ) -> Result<Vec<bool>, LoadError> {
        let options = LoadOptions::default();
        let mut load = Load { store: self, staged, options: &options };
        let chain = chain_ids(&config.diff_ids);
        let layers = manifest.layers.iter().zip(&config.diff_ids).zip(&chain);
        let (of, most) = (manifest.layers.len(), self.options().limits.bytes);
        let wants = layers.enumerate().map(|(at, ((layer, diff_id), chain))| {
            // It would be refused when it is unpacked, and fill the disk before.
            if layer.size > most {
                let (number, blob) = (at + 1, layer.digest);
                let source = Box::new(unpack::Error::too_long(most));
                return Err(LoadError::Layer { number, of, blob, source });
            }
            let source = LayerSource { diff_id: *diff_id, blob: layer.digest };
            load.wants(chain, &source, layer.size)
        });
        wants.collect()
    }

    /// Makes images of what comes, under these names.
    pub(in crate::image) fn take_all(
        &self,
        mut staged: Staged,
        names: Vec<NameRecord>,
        images: &[Incoming<'_>],
        options: &LoadOptions<'_>,
    ) -> Result<Vec<Image>, LoadError> {
        self.may_have_all(&names, options.taken)?;
        for image in images {
            Load { store: self, staged: &mut staged, options }.stage(image)?;
        }
        staged.add_names(names);
        tell(options, Progress::Committing);
        Ok(self.commit(staged, options.taken)?)
    }
}

/// What the images are going to be called.
fn names(
    images: &[ArchivedImage],
    options: &LoadOptions<'_>,
) -> Result<Vec<NameRecord>, LoadError> {
    let record = |name: &Reference, image: &ArchivedImage| {
        name_record(name, *image.config.digest(), *image.manifest.digest())
    };
    match (&options.name, images) {
        (Some(name), [image]) => Ok(vec![record(name, image)?]),
        (Some(_), _) => Err(LoadError::OneName { images: images.len() }),
        (None, _) => {
            let all = images
                .iter()
                .flat_map(|image| image.names.iter().map(move |name| record(name, image)));
            Ok(all.collect::<Result<_, _>>()?)
        }
    }
}

fn tell(options: &LoadOptions<'_>, progress: Progress) {
    if let Some(listener) = options.progress {
        listener(progress);
    }
}

/// Unpacks a blob, which is all of `copy`, over the trees `below`, the lowest first; its digests must be
/// what they were said to be.
pub(in crate::image) fn unpack_blob(
    options: &StoreOptions,
    copy: File,
    layer: &LayerOf,
    diff_id: &Digest,
    tree: &Path,
    below: &[PathBuf],
) -> Result<(), LoadError> {
    unpack_source(
        options,
        unpack::Source::region(copy, 0, layer.bytes),
        layer,
        diff_id,
        tree,
        below,
    )
}

fn unpack_source(
    options: &StoreOptions,
    mut source: unpack::Source,
    layer: &LayerOf,
    diff_id: &Digest,
    tree: &Path,
    below: &[PathBuf],
) -> Result<(), LoadError> {
    let open = |path: &Path| {
        let io = |source| store::Error::Io { op: "open", path: path.to_owned(), source };
        File::open(path).map(OwnedFd::from).map_err(io)
    };
    let lowers: Result<Vec<_>, _> = below.iter().rev().map(|tree| open(tree)).collect();
    let target = unpack::Target { upper: open(tree)?, lowers: lowers? };
    source.blob_algorithm = layer.blob.algorithm();
    source.diff_id_algorithm = diff_id.algorithm();
    let LayerOf { number, of, blob, .. } = *layer;
    let unpacked = unpack::layer(&source, &target, &options.limits, &options.unpacker)
        .map_err(|source| LoadError::Layer { number, of, blob, source: Box::new(source) })?;
    same(&format!("layer {number}'s blob"), unpacked.blob, blob)?;
    same(&format!("layer {number}, decompressed,"), unpacked.diff_id, *diff_id)
}

/// Merges the trees, the lowest first, into an empty directory.
pub(in crate::image) fn merge_trees(trees: &[PathBuf], into: &Path) -> Result<(), store::Error> {
    let io = |source| store::Error::Io { op: "merge layers into", path: into.to_owned(), source };
    merge(trees, into).map_err(io)
}

fn same(what: &str, found: Digest, promised: Digest) -> Result<(), LoadError> {
    if found == promised {
        return Ok(());
    }
    let (found, promised) = (Box::new(found), Box::new(promised));
    Err(LoadError::Digest { what: what.to_owned(), found, promised })
}
