//! The store: images on disk, visible only when whole, shared by every process that opens it.
//!
//! ```text
//! STORE/                    0700 root; whoever changes what can be seen has it locked
//!   format                  says that this is a store, and of which version
//!   blobs/sha256/HEX        manifests, configurations and layers as they came
//!   layers/CHAIN/           a layer, unpacked: one lower directory of an overlay
//!     record                its digest, its blob, what its tree looked like
//!     fs/                   the tree
//!   layers/CHAIN-merged/    this layer and all below it in one tree of hard links
//!   images/sha256-HEX       an image: its manifest and its layers, by digest of its configuration
//!   names/HASH              a name and its image; HASH is the name's
//!   work/ID/                what a load is at; locked while it is
//!   trash/ID                what is being deleted
//! ```
//!
//! A layer's name is its chain identifier: a digest over its own content and that of all below it, so
//! one that is there is never unpacked again. Above eight layers a merged tree stands for the lower ones
//! (`merge.rs`): a start mounts at most eight.
//!
//! # From a load to an image
//!
//! ```text
//!  work/ID/… ──► syncfs ──► layers, blobs ──► fsync ──► image ──► fsync ──► names ──► fsync
//!     │                       rename                    rename              rename
//!     └── killed or failed here: nothing was ever visible; whoever opens next deletes it
//! ```
//!
//! Everything is made in `work/ID`, with its digests checked, and moved to its place by a rename when
//! all of it is on the disk, what is needed before what needs it. So at any instant what can be
//! seen is whole. What a kill leaves is at worst a layer or a blob that no image needs, or an image
//! without a name: the next collection takes the former, and the latter is an image like others.
//!
//! # Locks
//!
//! Both kinds are `flock`s. The kernel drops them when the process ends, however it ends; they cost no
//! thread, and they tell two handles of one process apart as well as two processes.
//!
//! * The **store's lock** (`lock.rs`) is exclusive, on the directory itself, and held for as long as it takes to
//!   rename or unlink: to commit, name, remove, collect. Nobody unpacks, copies or deletes trees under it.
//! * A **lease** (`lease.rs`) is shared, on the image's record (or on a layer, or a blob, by a load that
//!   counts on it). It is taken first; then it is looked whether what it is on is still in its place.
//!   Whoever wants to remove something has to get an exclusive one, without waiting. So a collection never
//!   takes what somebody is about to use: either the lease came first and the thing stays, or it
//!   comes too late and the look finds nothing. Resolving a name takes no other lock.
//!
//! Deleting needs no room: it unlinks a record, and renames what is behind it into the trash or, where
//! not even that can be, deletes it in place.

mod archived;
mod check;
#[cfg(test)]
mod check_tests;
mod collect;
mod commit;
mod error;
mod image;
mod lease;
mod list;
mod lock;
mod mark;
mod merge;
mod names;
mod place;
mod record;
mod remake;
mod remove;
#[cfg(test)]
pub(in crate::image) mod scene;
#[cfg(test)]
pub(in crate::image) mod tests;
mod tree;
mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use place::Place;

pub use check::{Checked, Closely, Fate, Flaw, Repair};
pub use error::Error;
pub use image::{Image, Lowers};
pub use list::Listed;
pub use names::Taken;
pub use remove::{Prune, Removal, Removed};

use super::Digest;
use super::unpack::{Limits, Unpacker};

/// What a load makes, before it can be seen.
pub(in crate::image) mod staging {
    pub(in crate::image) use super::commit::{HeldLayer, Staged};
    pub(in crate::image) use super::image::chain_ids;
    pub(in crate::image) use super::merge::{merge, merged_of};
    pub(in crate::image) use super::names::name_record;
    pub(in crate::image) use super::place::Key;
    pub(in crate::image) use super::record::{
        ImageRecord, LayerOfImage, LayerRecord, LayerSource, NameRecord,
    };
    pub(in crate::image) use super::tree::look_alike;
}

/// A store of images in a directory. A clone is the same store.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

/// How a store unpacks.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StoreOptions {
    /// How much one layer may ask for.
    pub limits: Limits,
    /// Where layers are unpacked.
    pub unpacker: Unpacker,
}

#[derive(Debug)]
struct Inner {
    place: Place,
    options: StoreOptions,
    /// Images that somebody in this process uses: they share one lease.
    held: Mutex<BTreeMap<Digest, Weak<image::Held>>>,
    /// What this process has read of images.
    known: Mutex<BTreeMap<Digest, image::Known>>,
    /// Names that it has read, as they were asked for.
    known_names: Mutex<BTreeMap<String, names::KnownName>>,
}

impl Store {
    /// Opens the store in `dir`, which is made when missing, and deletes what loads that were
    /// killed have left in it.
    ///
    /// # Errors
    /// [`Error::Unsafe`] when others could write there or something else is kept there;
    /// [`Error::Format`]; [`Error::Io`].
    pub fn open(dir: impl AsRef<Path>, options: StoreOptions) -> Result<Store, Error> {
        let place = Place::open(dir.as_ref())?;
        work::sweep(&place)?;
        let (held, known, known_names) = Default::default();
        Ok(Store { inner: Arc::new(Inner { place, options, held, known, known_names }) })
    }

    /// Its directory, as an absolute path without links.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.inner.place.dir()
    }

    fn place(&self) -> &Place {
        &self.inner.place
    }

    pub(in crate::image) fn options(&self) -> &StoreOptions {
        &self.inner.options
    }

    fn held(&self) -> &Mutex<BTreeMap<Digest, Weak<image::Held>>> {
        &self.inner.held
    }

    fn known_names(&self) -> &Mutex<BTreeMap<String, names::KnownName>> {
        &self.inner.known_names
    }

    fn known(&self) -> &Mutex<BTreeMap<Digest, image::Known>> {
        &self.inner.known
    }
}
