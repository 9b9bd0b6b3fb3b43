//! What whoever waits for a pull is told meanwhile.

use std::sync::{Arc, Mutex, Weak};

use crate::image::load::{self, LayerOf};
use crate::unpoisoned::lock;

/// Is told what a pull is doing, from whichever thread does it.
pub type Listener = Arc<Listening>;

type Listening = dyn Fn(&Progress) + Send + Sync;

/// What a pull is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// The image is known: these are its layers, lowest first.
    Layers(Vec<LayerOf>),
    /// The store has this layer.
    There(LayerOf),
    /// This many bytes of its blob have come.
    Downloading {
        /// Which layer.
        layer: LayerOf,
        /// How many.
        bytes: u64,
    },
    /// All of its blob has come, and it is the blob.
    Downloaded(LayerOf),
    /// It is being unpacked, perhaps while the rest comes.
    Unpacking(LayerOf),
    /// It is unpacked.
    Unpacked(LayerOf),
    /// All is there; it is written to the disk and made visible.
    Committing,
}

impl From<load::Progress> for Progress {
    fn from(progress: load::Progress) -> Progress {
        match progress {
            load::Progress::There(layer) => Progress::There(layer),
            load::Progress::Unpacking(layer) => Progress::Unpacking(layer),
            load::Progress::Unpacked(layer) => Progress::Unpacked(layer),
            load::Progress::Committing => Progress::Committing,
        }
    }
}

/// All who wait for one pull. A clone is the same audience.
#[derive(Clone, Default)]
pub(super) struct Audience {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    listeners: Vec<Weak<Listening>>,
    /// For those who come later.
    layers: Option<Progress>,
}

impl Audience {
    /// One more, for as long as it keeps its listener.
    pub(super) fn add(&self, listener: &Listener) {
        let mut inner = lock(&self.inner);
        inner.listeners.push(Arc::downgrade(listener));
        let layers = inner.layers.clone();
        drop(inner);
        if let Some(layers) = layers {
            listener(&layers);
        }
    }

    pub(super) fn tell(&self, progress: &Progress) {
        let mut inner = lock(&self.inner);
        if matches!(progress, Progress::Layers(_)) {
            inner.layers = Some(progress.clone());
        }
        let present: Vec<_> = inner.listeners.iter().filter_map(Weak::upgrade).collect();
        inner.listeners.retain(|listener| listener.strong_count() > 0);
        drop(inner);
        present.iter().for_each(|listener| listener(progress));
    }
}
