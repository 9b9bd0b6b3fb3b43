//! Images as their users have them: found by name, with a lease, and nothing of them can go.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use super::error::Told;
use super::lease::Lease;
use super::mark::Mark;
use super::merge::merged_of;
use super::place::{DOCUMENT_MAX, Key, TREE, read_all, read_bounded};
use super::record::{self, ImageRecord};
use super::{Error, Store};
use crate::image::{Digest, Document, ImageConfig, Reference};
use crate::unpoisoned::lock;

/// An image of a store. As long as any clone of it lives, in any process, nothing of it is removed.
#[derive(Clone, Debug)]
pub struct Image {
    held: Arc<Held>,
    pub(super) store: Store,
}

/// One lease for all who use the image in this process.
#[derive(Debug)]
pub(super) struct Held {
    _lease: Lease,
    documents: Arc<Documents>,
}

/// What is written down of an image, and what it says about itself.
#[derive(Debug)]
struct Documents {
    record: ImageRecord,
    config: Arc<ImageConfig>,
    /// Where what is mounted for it lies.
    trees: Vec<PathBuf>,
}

/// Documents that were read once: reading and checking those of a hundred layers takes longer than finding
/// them.
#[derive(Debug)]
pub(super) struct Known {
    /// Of the record and of the configuration.
    marks: [Mark; 2],
    documents: Arc<Documents>,
}

/// Of how many images the documents are kept, and how many names.
pub(super) const MOST_KNOWN: usize = 256;

/// The directories that an overlay takes as lowers, so that a cell sees the image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lowers {
    /// The directory they are all in.
    pub dir: PathBuf,
    /// Their paths below it, the topmost first: at least one, at most eight.
    pub names: Vec<String>,
}

impl Image {
    /// The digest of its configuration.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.held.documents.record.id
    }

    /// The digest of the manifest that it came with.
    #[must_use]
    pub fn manifest(&self) -> Digest {
        self.held.documents.record.manifest
    }

    /// The names that it has now, in order.
    ///
    /// # Errors
    /// [`Error::Io`] when they can't be read.
    pub fn names(&self) -> Result<Vec<Reference>, Error> {
        self.store.names_of(&self.id())
    }

    /// What it says about itself.
    #[must_use]
    pub fn config(&self) -> Arc<ImageConfig> {
        Arc::clone(&self.held.documents.config)
    }

    /// Where its files are.
    #[must_use]
    pub fn lowers(&self) -> Lowers {
        let keys = mounted_keys(&self.held.documents.record).into_iter();
        let names = keys.map(|key| format!("{key}/{TREE}")).collect();
        Lowers { dir: self.store.place().layers(), names }
    }

    /// Bytes in its files. What it shares with other images counts in full.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.held.documents.record.size
    }

    /// When it was loaded, in seconds since 1970.
    #[must_use]
    pub fn loaded(&self) -> u64 {
        self.held.documents.record.loaded
    }

    /// Its layers' blobs, from the lowest up, with their sizes in bytes.
    #[must_use]
    pub fn blobs(&self) -> Vec<(Digest, u64)> {
        self.held.documents.record.layers.iter().map(|layer| (layer.blob, layer.size)).collect()
    }

    /// Where the store has the bytes of a blob: of this image, they stay.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.store.place().blob(digest)
    }
}

/// The digests that name layers together with all below them.
pub(in crate::image) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = chain
            .last()
            .map_or(*diff_id, |below| Digest::sha256(format!("{below} {diff_id}").as_bytes()));
        chain.push(next);
    }
    chain
}

/// What is mounted for an image, the topmost first.
fn mounted_keys(image: &ImageRecord) -> Vec<Key> {
    let merged = merged_of(image.layers.len());
    let (low, high) = image.layers.split_at(merged);
    let mut keys: Vec<_> = high.iter().rev().map(|layer| Key::Layer(layer.chain)).collect();
    keys.extend(low.last().map(|layer| Key::Merged(layer.chain)));
    if keys.is_empty() {
        keys.push(Key::Empty);
    }
    keys
}

/// What an image needs: what is mounted, and each layer for itself, which others build on.
pub(super) fn needed_keys(image: &ImageRecord) -> Vec<Key> {
    let mut keys = mounted_keys(image);
    keys.extend(image.layers.iter().map(|layer| Key::Layer(layer.chain)));
    keys
}

impl Store {
    /// The image that a name means, or a whole identifier (64 digits, or `sha256:…`), with a lease. `None` if
    /// there is none.
    ///
    /// A name with a digest means the image that came under that manifest and has a name in that
    /// repository; its tag is not looked at.
    ///
    /// # Errors
    /// [`Error::Reference`] when the text can be no name. [`Error::Damaged`] when there is an image
    /// of this name that is not whole any more: loading it again repairs it. [`Error::Io`].
    pub fn resolve(&self, text: &str) -> Result<Option<Image>, Error> {
        let mut gone = None;
        loop {
            let Some(id) = self.look_up(text)? else {
                return Ok(None);
            };
            if let Some(image) = self.hold(&id)? {
                return Ok(Some(image));
            }
            // It went between the two; the name may be another's by now.
            if gone == Some(id) {
                return Ok(None);
            }
            gone = Some(id);
        }
    }

    /// As [`resolve`](Store::resolve), for people: the beginning of an identifier will do, with or
    /// without its algorithm, if no image has such a name.
    ///
    /// # Errors
    /// As `resolve`; [`Error::NotFound`]; [`Error::Ambiguous`].
    pub fn find(&self, text: &str) -> Result<Image, Error> {
        let not_found = || Error::NotFound(text.to_owned());
        match self.resolve(text) {
            Ok(Some(image)) => return Ok(image),
            Ok(None) | Err(Error::Reference(_)) => {}
            Err(error) => return Err(error),
        }
        let id = self.id_that_starts(text)?.ok_or_else(not_found)?;
        self.hold(&id)?.ok_or_else(not_found)
    }

    /// The only identifier that starts with these digits.
    pub(super) fn id_that_starts(&self, text: &str) -> Result<Option<Digest>, Error> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.is_empty() {
            return Ok(None);
        }
        let ids = self.place().image_ids()?;
        let mut found = ids.into_iter().filter(|id| id.hex().starts_with(digits));
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Error::Ambiguous(text.to_owned())),
            (found, None) => Ok(found),
        }
    }

    /// The image with this identifier, leased before it is looked at.
    pub(super) fn hold(&self, id: &Digest) -> Result<Option<Image>, Error> {
        let held = lock(self.held()).get(id).and_then(Weak::upgrade);
        if let Some(held) = held {
            return Ok(Some(Image { held, store: self.clone() }));
        }
        let path = self.place().image(id);
        let Some(lease) = Lease::take(&path)? else {
            return Ok(None);
        };
        let documents = self.documents(id, &lease)?;
        for tree in &documents.trees {
            if !tree.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                return Err(Error::damaged(tree, "it is not there"));
            }
        }
        let held = Arc::new(Held { _lease: lease, documents });
        let mut all = lock(self.held());
        all.retain(|_, held| held.strong_count() > 0);
        all.insert(*id, Arc::downgrade(&held));
        Ok(Some(Image { held, store: self.clone() }))
    }

    /// The documents of a leased image: as they were read before, if their files are the same still.
    fn documents(&self, id: &Digest, lease: &Lease) -> Result<Arc<Documents>, Error> {
        let config = Mark::at(&self.place().blob(id)).ok().flatten();
        let marks = config.map(|config| [lease.mark(), config]);
        if let Some(known) = lock(self.known()).get(id)
            && Some(known.marks) == marks
        {
            return Ok(Arc::clone(&known.documents));
        }
        let path = self.place().image(id);
        let bytes = read_all(lease.file(), DOCUMENT_MAX).told("read", &path)?;
        let record = record::unseal::<ImageRecord>(&bytes).filter(|record| record.id == *id);
        let record = record.ok_or_else(|| Error::damaged(&path, "its seal is broken"))?;
        let config = self.config_of(&record)?;
        let keys = mounted_keys(&record).into_iter();
        let trees = keys.map(|key| self.place().layer(&key).join(TREE)).collect();
        let documents = Arc::new(Documents { record, config, trees });
        if let Some(marks) = marks {
            let mut known = lock(self.known());
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
            known.insert(*id, Known { marks, documents: Arc::clone(&documents) });
        }
        Ok(documents)
    }

    /// What is written down of an image, when all its documents are whole.
    pub(super) fn documents_of(&self, id: &Digest) -> Result<Option<ImageRecord>, Error> {
        let path = self.place().image(id);
        let Some(record) = record::read::<ImageRecord>(&path)? else {
            return Ok(None);
        };
        if record.id != *id {
            return Err(Error::damaged(&path, "it is of another image"));
        }
        self.config_of(&record)?;
        let path = self.place().blob(&record.manifest);
        let sound =
            |bytes: Vec<u8>| Digest::of(record.manifest.algorithm(), &bytes) == record.manifest;
        match read_bounded(&path, DOCUMENT_MAX).is_ok_and(sound) {
            true => Ok(Some(record)),
            false => Err(Error::damaged(&path, "it is not there, or its digest is another")),
        }
    }

    pub(super) fn config_of(&self, record: &ImageRecord) -> Result<Arc<ImageConfig>, Error> {
        let path = self.place().blob(&record.id);
        let damaged = |why: &str| Error::damaged(&path, why);
        let bytes = match read_bounded(&path, DOCUMENT_MAX) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged("it is not there"));
            }
            bytes => bytes.told("read", &path)?,
        };
        let document = Document::<ImageConfig>::with_digest(&bytes, &record.id);
        let document = document.map_err(|error| damaged(&error.to_string()))?;
        let config = document.content();
        let chain = record.layers.iter().map(|layer| layer.chain);
        if !chain.eq(chain_ids(&config.diff_ids)) {
            return Err(damaged("it is of other layers than the image's"));
        }
        Ok(Arc::clone(config))
    }
}
