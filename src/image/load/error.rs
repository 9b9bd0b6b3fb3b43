//! Why an archive was not loaded.

use std::io;

use crate::image::{Digest, archive, store, unpack};

/// Nothing of the archive was loaded. `Display` tells this level; the source, why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A layer can't be unpacked.
    #[error("layer {number} of {of} ({blob})")]
    Layer {
        /// Its number, from 1 for the lowest.
        number: usize,
        /// How many the image has.
        of: usize,
        /// The digest of its blob.
        blob: Digest,
        /// The entry, and what is wrong with it.
        #[source]
        source: Box<unpack::Error>,
    },
    /// The store has a layer of this identity that was made from another blob, and is not what this
    /// blob comes to.
    #[error("the layer {chain} is in the store, and differs from what the blob {blob} holds")]
    Differs {
        /// What both are said to be.
        chain: Box<Digest>,
        /// The blob's digest.
        blob: Box<Digest>,
    },
    /// Something is not what it was said to be.
    #[error("{what} is {found}, not {promised} as promised")]
    Digest {
        /// Which bytes.
        what: String,
        /// What their digest is.
        found: Box<Digest>,
        /// What it should be.
        promised: Box<Digest>,
    },
    /// A blob has another size than it was said to have.
    #[error("a layer's blob ({blob}) has {found} bytes, not {promised} as promised")]
    Size {
        /// Its digest.
        blob: Digest,
        /// How many.
        found: u64,
        /// How many it should have.
        promised: u64,
    },
    /// One name was given for several images, or for none.
    #[error("a name was given, and the archive has {images} images")]
    OneName {
        /// How many.
        images: usize,
    },
    /// The archive can't be read, or something is wrong with what it says about its images.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// A manifest and its configuration do not speak of the same layers.
    #[error("the manifest has {manifest} layers, and the configuration {config}")]
    Layers {
        /// How many.
        manifest: usize,
        /// How many.
        config: usize,
    },
    /// A layer's blob did not come.
    #[error("a layer's blob ({blob}) did not come")]
    Lost {
        /// Its digest.
        blob: Digest,
    },
    /// A part of the archive can't be copied.
    #[error("copying a layer's blob ({blob})")]
    Copy {
        /// Its digest.
        blob: Digest,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}
