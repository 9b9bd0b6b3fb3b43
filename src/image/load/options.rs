//! What whoever loads an archive can say, and is told meanwhile.

use crate::image::store::Taken;
use crate::image::{Digest, Platform, Reference};

/// How an archive is loaded.
#[derive(Default)]
#[non_exhaustive]
pub struct LoadOptions<'a> {
    /// What happens to names that are other images'.
    pub taken: Taken,
    /// The name of the only image, instead of those that the archive gives it.
    pub name: Option<Reference>,
    /// For what a list of images for many platforms is asked: this host's, if not set.
    pub platform: Option<Platform>,
    /// Told what is done, from the thread that loads.
    pub progress: Option<&'a dyn Fn(Progress)>,
}

impl std::fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadOptions")
            .field("taken", &self.taken)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a load is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// The store has this layer.
    There(LayerOf),
    /// It is unpacked now.
    Unpacking(LayerOf),
    /// It is unpacked.
    Unpacked(LayerOf),
    /// All is there; it is written to the disk and made visible.
    Committing,
}

/// A layer of an image that is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LayerOf {
    /// Its number, from 1 for the lowest.
    pub number: usize,
    /// How many the image has.
    pub of: usize,
    /// The digest of its blob.
    pub blob: Digest,
    /// Bytes of its blob.
    pub bytes: u64,
}
