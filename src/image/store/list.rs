//! All images of a store, as a list shows them.

use super::names::all_names;
use super::place::DOCUMENT_MAX;
use super::place::read_bounded;
use super::record::{self, ImageRecord};
use super::{Error, Store};
use crate::image::{Digest, Document, ImageConfig, Reference};

/// An image in a list. Nothing keeps it from being removed: whoever uses it
/// [resolves](Store::resolve) it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// The digest of its configuration.
    pub id: Digest,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Its names, in order.
    pub names: Vec<Reference>,
    /// How many layers it has.
    pub layers: usize,
    /// Bytes in its files. What it shares with other images counts in full.
    pub size: u64,
    /// When it was made, as it says itself: RFC 3339, or empty.
    pub created: String,
    /// When it was loaded, in seconds since 1970.
    pub loaded: u64,
}

impl Store {
    /// All images, the newest in the store first. One that is damaged is left out and told in the
    /// log.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn images(&self) -> Result<Vec<Listed>, Error> {
        let place = self.place();
        let mut names = all_names(place)?;
        let mut images = Vec::new();
        for id in place.image_ids()? {
            let image = match self.listed(&id) {
                Ok(Some(image)) => image,
                // It went meanwhile.
                Ok(None) => continue,
                Err(Error::Damaged { path, why }) => {
                    tracing::warn!(path = %path.display(), why, "a damaged image");
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (own, others): (Vec<_>, _) =
                names.into_iter().partition(|(_, name)| name.image == id);
            names = others;
            images.push(Listed { names: own.into_iter().map(|(name, _)| name).collect(), ..image });
        }
        images.sort_by_key(|image| (std::cmp::Reverse(image.loaded), image.id));
        Ok(images)
    }

    fn listed(&self, id: &Digest) -> Result<Option<Listed>, Error> {
        let path = self.place().image(id);
        let Some(image) = record::read::<ImageRecord>(&path)? else {
            return Ok(None);
        };
        let path = self.place().blob(id);
        let bytes = match read_bounded(&path, DOCUMENT_MAX) {
            Ok(bytes) => bytes,
            // Removed with the image, or damage.
            Err(_) if record::read::<ImageRecord>(&self.place().image(id))?.is_none() => {
                return Ok(None);
            }
            Err(error) => return Err(Error::damaged(&path, error.to_string())),
        };
        let config = Document::<ImageConfig>::with_digest(&bytes, id)
            .map_err(|error| Error::damaged(&path, error.to_string()))?;
        let ImageRecord { id, manifest, layers, size, loaded } = image;
        let (layers, created) = (layers.len(), config.created.clone());
        Ok(Some(Listed { id, manifest, names: Vec::new(), layers, size, created, loaded }))
    }
}
