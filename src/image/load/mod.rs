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
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::archive::{self, Archive, ArchivedImage, ArchivedLayer, Input, Region};
use super::store::staging::{
    HeldLayer, ImageRecord, Key, LayerOfImage, LayerRecord, LayerSource, NameRecord, Staged,
    chain_ids, look_alike, merge, merged_of, name_record,
};
use super::store::{self, Image, Store, StoreOptions};
use super::{Digest, Hasher, Reference, unpack};
use copy::copy_range;

pub use error::LoadError;
pub use options::{LayerOf, LoadOptions, Progress};

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
        mut staged: Staged,
        images: &[ArchivedImage],
        options: &LoadOptions<'_>,
    ) -> Result<Vec<Image>, LoadError> {
        let names = names(images, options)?;
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

/// A layer's blob in a file.
#[derive(Clone, Copy)]
struct Piece<'a> {
    diff_id: Digest,
    blob: Digest,
    bytes: u64,
    file: &'a File,
    offset: u64,
}

impl<'a> Piece<'a> {
    fn of(layer: &'a ArchivedLayer) -> Result<Piece<'a>, LoadError> {
        let Region { file, offset, len } = &layer.region;
        let (blob, promised) = (layer.descriptor.digest, layer.descriptor.size);
        if *len != promised {
            return Err(LoadError::Size { blob, found: *len, promised });
        }
        Ok(Piece { diff_id: layer.diff_id, blob, bytes: *len, file, offset: *offset })
    }
}

/// A load at work.
struct Load<'a> {
    store: &'a Store,
    staged: &'a mut Staged,
    options: &'a LoadOptions<'a>,
}

impl Load<'_> {
    fn stage(&mut self, image: &ArchivedImage) -> Result<(), LoadError> {
        let chain = chain_ids(&image.config.diff_ids);
        if chain.len() != image.layers.len() {
            let (manifest, config) = (image.layers.len(), chain.len());
            return Err(LoadError::Layers { manifest, config });
        }
        let (mut trees, mut layers, mut size) = (Vec::new(), Vec::new(), 0);
        for (number, (archived, chain)) in image.layers.iter().zip(&chain).enumerate() {
            let piece = Piece::of(archived)?;
            let (of, Piece { blob, bytes, .. }) = (image.layers.len(), piece);
            let layer = LayerOf { number: number + 1, of, blob, bytes };
            let (record, tree) = self.layer(&piece, chain, &trees, layer)?;
            size += record.tree.bytes;
            trees.push(tree);
            layers.push(LayerOfImage { chain: *chain, blob, size: bytes });
        }
        self.whole_trees(&chain, &trees)?;
        let (id, manifest) = (*image.config.digest(), *image.manifest.digest());
        self.document(&id, image.config.bytes())?;
        self.document(&manifest, image.manifest.bytes())?;
        self.staged.add_image(ImageRecord { id, manifest, layers, size, loaded: 0 });
        Ok(())
    }

    /// The layer's record and tree: the store's, or one that is made now.
    fn layer(
        &mut self,
        piece: &Piece<'_>,
        chain: &Digest,
        below: &[PathBuf],
        layer: LayerOf,
    ) -> Result<(LayerRecord, PathBuf), LoadError> {
        let key = Key::Layer(*chain);
        let there = match self.staged.layer_made(&key)? {
            Some(made) => Some(made),
            None => self.held(&key)?,
        };
        let source = LayerSource { diff_id: piece.diff_id, blob: piece.blob };
        // Whether this very blob was unpacked once.
        let known = there.as_ref().is_some_and(|(made, _)| made.source.as_ref() == Some(&source));
        let has_blob = self.staged.has_blob(&piece.blob) || self.has_blob(piece)?;
        if !(self.staged.has_blob(&piece.blob) || (known && has_blob)) {
            self.copy(piece)?;
        }
        match there {
            Some(there) if known => {
                if !has_blob {
                    check_copy(self.open_copy(piece)?, piece.blob)?;
                    self.staged.add_blob(piece.blob);
                }
                tell(self.options, Progress::There(layer));
                Ok(there)
            }
            // Another form of the layer: it is unpacked to see that it is, and not kept. Who unpacked the
            // first may have been taken over by its bytes, and made what it wanted of them.
            Some((record, tree)) => {
                let scratch = self.staged.scratch()?;
                self.unpack(piece, &scratch, below, layer)?;
                if !look_alike(&scratch, &tree)? {
                    let (chain, blob) = (Box::new(*chain), Box::new(piece.blob));
                    return Err(LoadError::Differs { chain, blob });
                }
                Ok((record, tree))
            }
            None => {
                let tree = self.staged.new_tree(&key)?;
                self.unpack(piece, &tree, below, layer)?;
                Ok((self.staged.add_layer(key, Some(source))?, tree))
            }
        }
    }

    fn held(&mut self, key: &Key) -> Result<Option<(LayerRecord, PathBuf)>, LoadError> {
        let held = self.store.layer(key)?;
        Ok(held.map(|HeldLayer { lease, record, tree }| {
            self.staged.add_lease(lease);
            (record, tree)
        }))
    }

    fn has_blob(&mut self, piece: &Piece<'_>) -> Result<bool, LoadError> {
        let lease = self.store.blob(&piece.blob, piece.bytes)?;
        Ok(lease.map(|lease| self.staged.add_lease(lease)).is_some())
    }

    fn copy(&mut self, piece: &Piece<'_>) -> Result<(), LoadError> {
        let failed = |source| LoadError::Copy { blob: piece.blob, source };
        let to = self.staged.new_blob(&piece.blob)?;
        copy_range(piece.file, piece.offset, piece.bytes, &to).map_err(failed)
    }

    /// The copy in the store, opened to be read.
    fn open_copy(&self, piece: &Piece<'_>) -> Result<File, LoadError> {
        let failed = |source| LoadError::Copy { blob: piece.blob, source };
        File::open(self.staged.blob(&piece.blob)).map_err(failed)
    }

    fn unpack(
        &mut self,
        piece: &Piece<'_>,
        tree: &Path,
        below: &[PathBuf],
        layer: LayerOf,
    ) -> Result<(), LoadError> {
        tell(self.options, Progress::Unpacking(layer));
        let (copy, again) = (self.open_copy(piece)?, self.open_copy(piece)?);
        // Whoever takes over the process that unpacks could say what it likes of the blob.
        let (unpacked, checked) = std::thread::scope(|scope| {
            let checking = scope.spawn(|| check_copy(again, piece.blob));
            let unpacked =
                unpack_blob(self.store.options(), copy, &layer, &piece.diff_id, tree, below);
            (unpacked, checking.join())
        });
        unpacked?;
        checked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        if !self.staged.has_blob(&piece.blob) {
            self.staged.add_blob(piece.blob);
        }
        tell(self.options, Progress::Unpacked(layer));
        Ok(())
    }

    /// What is mounted instead of many layers, or of none.
    fn whole_trees(&mut self, chain: &[Digest], trees: &[PathBuf]) -> Result<(), LoadError> {
        let merged = merged_of(trees.len());
        let key = match (chain.is_empty(), chain[..merged].last()) {
            (true, _) => Key::Empty,
            (false, Some(top)) => Key::Merged(*top),
            (false, None) => return Ok(()),
        };
        if self.staged.layer_made(&key)?.is_some() || self.held(&key)?.is_some() {
            return Ok(());
        }
        merge_trees(&trees[..merged], &self.staged.new_tree(&key)?)?;
        self.staged.add_layer(key, None)?;
        Ok(())
    }

    fn document(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), LoadError> {
        same("a document", Digest::of(digest.algorithm(), bytes), *digest)?;
        if !self.staged.has_blob(digest) {
            let mut file = self.staged.new_blob(digest)?;
            io::Write::write_all(&mut file, bytes)
                .map_err(|source| LoadError::Copy { blob: *digest, source })?;
            self.staged.add_blob(*digest);
        }
        Ok(())
    }
}

/// Sees that the store's copy of a blob is the blob.
fn check_copy(mut copy: File, blob: Digest) -> Result<(), LoadError> {
    let mut hasher = Hasher::new(blob.algorithm());
    io::copy(&mut copy, &mut hasher).map_err(|source| LoadError::Copy { blob, source })?;
    same("a layer's blob", hasher.finish(), blob)
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
    let open = |path: &Path| {
        let io = |source| store::Error::Io { op: "open", path: path.to_owned(), source };
        File::open(path).map(OwnedFd::from).map_err(io)
    };
    let lowers: Result<Vec<_>, _> = below.iter().rev().map(|tree| open(tree)).collect();
    let target = unpack::Target { upper: open(tree)?, lowers: lowers? };
    let mut source = unpack::Source::region(copy, 0, layer.bytes);
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
