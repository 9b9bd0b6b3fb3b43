//! The store as the cleaner sees it.

use std::error::Error;

use crate::image::cleaner::{Cached, Shelf};
use crate::image::store::{self, Image, Removal, Store};
use crate::image::{Digest, Reference};

/// All images of a store.
pub(super) struct StoreShelf(pub(super) Store);

/// An image as the cleaner counts it.
pub(super) fn cached(image: &Image) -> Result<Cached, store::Error> {
    Ok(counted(&image.id(), &image.names()?, image.size()))
}

/// Under the names that people type, as an agent lists them.
fn counted(id: &Digest, names: &[Reference], size: u64) -> Cached {
    Cached { id: id.to_string(), tags: names.iter().map(Reference::familiar).collect(), size }
}

impl Shelf for StoreShelf {
    /// Those that were loaded first come first, and go first.
    fn list(&self) -> Result<Vec<Cached>, Box<dyn Error>> {
        let images = self.0.images()?;
        Ok(images.iter().rev().map(|one| counted(&one.id, &one.names, one.size)).collect())
    }

    fn remove(&self, id: &str) -> Result<(), Box<dyn Error>> {
        match self.0.remove(id, Removal::Unused) {
            Ok(_) | Err(store::Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
