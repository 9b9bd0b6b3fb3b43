//! An image as an archive is written of it.

use std::io;

use super::error::Told;
use super::image::Image;
use super::place::{DOCUMENT_MAX, open_plain, read_bounded};
use super::{Error, Store};
use crate::image::archive::{ArchivedImage, ArchivedLayer, Region};
use crate::image::document::Content;
use crate::image::{Digest, Document, ImageConfig, Manifest, Reference};

impl Image {
    /// The image as it can be [saved](crate::image::archive::save), with these names.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a blob or a document is not there any more, or is another;
    /// [`Error::Io`].
    pub fn archived(&self, names: Vec<Reference>) -> Result<ArchivedImage, Error> {
        let manifest = document::<Manifest>(&self.store, &self.manifest())?;
        let config = document::<ImageConfig>(&self.store, &self.id())?;
        let mut layers = Vec::new();
        for (descriptor, diff_id) in manifest.layers.iter().zip(&config.diff_ids) {
            let path = self.blob_path(&descriptor.digest);
            let file = match open_plain(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Error::damaged(&path, "it is not there"));
                }
                file => file.told("open", &path)?,
            };
            let region = Region::whole(file).told("look at", &path)?;
            layers.push(ArchivedLayer::new(descriptor.clone(), *diff_id, region));
        }
        Ok(ArchivedImage::new(names, manifest, config, layers))
    }
}

fn document<T: Content>(store: &Store, digest: &Digest) -> Result<Document<T>, Error> {
    let path = store.place().blob(digest);
    let bytes = match read_bounded(&path, DOCUMENT_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::damaged(&path, "it is not there"));
        }
        bytes => bytes.told("read", &path)?,
    };
    Document::with_digest(&bytes, digest).map_err(|error| Error::damaged(&path, error.to_string()))
}
