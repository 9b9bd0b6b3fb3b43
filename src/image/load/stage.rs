//! Staging an image: each layer is found in the store or made beside it, and nothing is visible yet.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::copy::copy_range;
use super::piece::{Lost, Unfed, feed};
use super::{
    Arriving, Incoming, LayerOf, LoadError, LoadOptions, Origin, Piece, Progress, merge_trees,
    same, tell, unpack_blob, unpack_source,
};
use crate::image::archive::Region;
use crate::image::store::Store;
use crate::image::store::staging::{
    HeldLayer, ImageRecord, Key, LayerOfImage, LayerRecord, LayerSource, Staged, chain_ids,
    look_alike, merged_of,
};
use crate::image::{Digest, Hasher, unpack};

/// A load at work.
pub(super) struct Load<'a> {
    pub(super) store: &'a Store,
    pub(super) staged: &'a mut Staged,
    pub(super) options: &'a LoadOptions<'a>,
}

impl Load<'_> {
    pub(super) fn stage(&mut self, image: &Incoming<'_>) -> Result<(), LoadError> {
        let chain = chain_ids(&image.config.diff_ids);
        if chain.len() != image.pieces.len() {
            let (manifest, config) = (image.pieces.len(), chain.len());
            return Err(LoadError::Layers { manifest, config });
        }
        let (mut trees, mut layers, mut size) = (Vec::new(), Vec::new(), 0);
        let of = image.pieces.len();
        for (number, (piece, chain)) in image.pieces.iter().zip(&chain).enumerate() {
            let Piece { blob, bytes, .. } = *piece;
            let layer = LayerOf { number: number + 1, of, blob, bytes };
            let (record, tree) = self.layer(piece, chain, &trees, layer)?;
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
        let has_blob = self.has_blob(&piece.blob, piece.bytes)?;
        if !(self.staged.has_blob(&piece.blob) || (known && has_blob)) {
            self.begin_copy(piece)?;
        }
        match there {
            Some(there) if known => {
                if !has_blob {
                    self.end_copy(piece)?;
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

    /// Whether the layer's blob has to come: unless the store has it, and what was unpacked of it. Both
    /// are leased then.
    #[cfg(feature = "pull")]
    pub(super) fn wants(
        &mut self,
        chain: &Digest,
        source: &LayerSource,
        bytes: u64,
    ) -> Result<bool, LoadError> {
        let held = self.held(&Key::Layer(*chain))?;
        let known = held.is_some_and(|(made, _)| made.source.as_ref() == Some(source));
        Ok(!(known && self.has_blob(&source.blob, bytes)?))
    }

    fn held(&mut self, key: &Key) -> Result<Option<(LayerRecord, PathBuf)>, LoadError> {
        let held = self.store.layer(key)?;
        Ok(held.map(|HeldLayer { lease, record, tree }| {
            self.staged.add_lease(lease);
            (record, tree)
        }))
    }

    fn has_blob(&mut self, blob: &Digest, bytes: u64) -> Result<bool, LoadError> {
        if self.staged.has_blob(blob) {
            return Ok(true);
        }
        let lease = self.store.blob(blob, bytes)?;
        Ok(lease.map(|lease| self.staged.add_lease(lease)).is_some())
    }

    /// From now on the store's file has the blob, or gets it.
    fn begin_copy(&mut self, piece: &Piece<'_>) -> Result<(), LoadError> {
        let failed = |source| LoadError::Copy { blob: piece.blob, source };
        match piece.origin {
            Origin::Region(Region { file, offset, .. }) => {
                let to = self.staged.new_blob(&piece.blob)?;
                copy_range(file, *offset, piece.bytes, &to).map_err(failed)
            }
            Origin::Arriving(_) => Ok(()),
            Origin::Store => Err(LoadError::Lost { blob: piece.blob }),
        }
    }

    /// The store's file has all of the blob, and it is the blob.
    fn end_copy(&mut self, piece: &Piece<'_>) -> Result<(), LoadError> {
        if self.staged.has_blob(&piece.blob) {
            return Ok(());
        }
        match piece.origin {
            Origin::Arriving(blob) => {
                blob.whole().map_err(|Lost| LoadError::Lost { blob: piece.blob })?;
            }
            _ => check_copy(self.open_copy(piece)?, piece.blob)?,
        }
        self.staged.add_blob(piece.blob);
        Ok(())
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
        match piece.origin {
            Origin::Arriving(blob) if !self.staged.has_blob(&piece.blob) => {
                self.unpack_arriving(blob, piece, tree, below, &layer)?;
            }
            _ => self.unpack_copy(piece, tree, below, &layer)?,
        }
        if !self.staged.has_blob(&piece.blob) {
            self.staged.add_blob(piece.blob);
        }
        tell(self.options, Progress::Unpacked(layer));
        Ok(())
    }

    fn unpack_copy(
        &self,
        piece: &Piece<'_>,
        tree: &Path,
        below: &[PathBuf],
        layer: &LayerOf,
    ) -> Result<(), LoadError> {
        let (copy, again) = (self.open_copy(piece)?, self.open_copy(piece)?);
        let options = self.store.options();
        // Whoever takes over the process that unpacks could say what it likes of the blob.
        let (unpacked, checked) = std::thread::scope(|scope| {
            let checking = scope.spawn(|| check_copy(again, piece.blob));
            let unpacked = unpack_blob(options, copy, layer, &piece.diff_id, tree, below);
            (unpacked, checking.join())
        });
        unpacked?;
        checked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Unpacks what is there of the blob, while more comes. Who writes the file hashes it.
    fn unpack_arriving(
        &self,
        blob: &dyn Arriving,
        piece: &Piece<'_>,
        tree: &Path,
        below: &[PathBuf],
        layer: &LayerOf,
    ) -> Result<(), LoadError> {
        let failed = |source| LoadError::Copy { blob: piece.blob, source };
        let copy = self.open_copy(piece)?;
        let (from, to) = UnixStream::pair().map_err(failed)?;
        let options = self.store.options();
        let (unpacked, fed) = std::thread::scope(|scope| {
            let feeding = scope.spawn(|| feed(&copy, piece.bytes, blob, to));
            let source = unpack::Source::stream(from);
            let unpacked = unpack_source(options, source, layer, &piece.diff_id, tree, below);
            let given_up = unpacked.is_err() && blob.give_up();
            (unpacked, (given_up, feeding.join()))
        });
        let lost = |Lost| LoadError::Lost { blob: piece.blob };
        let (given_up, fed) = fed;
        match fed.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            // What was cut off can't be unpacked: that is not the layer's fault.
            Err(Unfed::Lost) if !given_up => return Err(lost(Lost)),
            Err(Unfed::Io(error)) => return Err(failed(error)),
            _ => unpacked?,
        }
        blob.whole().map_err(lost)
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
