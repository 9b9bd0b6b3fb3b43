//! Garbage: layers and blobs that no image needs, and how they go.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;

use super::error::Told;
use super::image::needed_keys;
use super::lease::Claim;
use super::lock::{Flock, StoreLock};
use super::place::{Key, Place, RECORD, list, open_plain, random_name};
use super::record::{self, ImageRecord, LayerRecord};
use super::{Error, tree};
use crate::image::Digest;

/// What images need.
#[derive(Default, Debug)]
struct Needed {
    layers: BTreeSet<Key>,
    blobs: BTreeSet<Digest>,
}

impl Needed {
    /// `None` if there is an image in use of which nobody can say what it needs.
    fn find(place: &Place) -> Result<Option<Needed>, Error> {
        let mut needed = Needed::default();
        for id in place.image_ids()? {
            let path = place.image(&id);
            match record::read::<ImageRecord>(&path) {
                Ok(Some(image)) => needed.add(&image),
                Ok(None) => {}
                Err(Error::Damaged { .. }) => {
                    if let Claim::InUse = Claim::on(&path)? {
                        tracing::warn!(image = %id, "its record is damaged: nothing is collected");
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(needed))
    }

    fn add(&mut self, image: &ImageRecord) {
        self.layers.extend(needed_keys(image));
        self.blobs.extend([image.id, image.manifest]);
        self.blobs.extend(image.layers.iter().map(|layer| layer.blob));
    }
}

/// Throws away what no image needs and nobody has a lease on: bytes that it took up. What was
/// thrown away is deleted by [`empty_trash`], without the lock.
pub(super) fn collect(place: &Place, _lock: &StoreLock) -> Result<u64, Error> {
    let Some(needed) = Needed::find(place)? else {
        return Ok(0);
    };
    let mut bytes = 0;
    for key in place.layer_keys()? {
        let path = place.layer(&key);
        if needed.layers.contains(&key) {
            continue;
        }
        if let Claim::Mine(_) = Claim::on(&path)? {
            let known = record::read::<LayerRecord>(&path.join(RECORD)).ok().flatten();
            // The files of a merged tree are its layers'.
            let own = !matches!(key, Key::Merged(_));
            bytes += known.filter(|_| own).map_or(0, |layer| layer.tree.bytes);
            discard(place, &path)?;
        }
    }
    for digest in place.blob_digests()? {
        let path = place.blob(&digest);
        if needed.blobs.contains(&digest) {
            continue;
        }
        if let Claim::Mine(_) = Claim::on(&path)? {
            bytes += path.symlink_metadata().map_or(0, |found| found.size());
            discard(place, &path)?;
        }
    }
    Ok(bytes)
}

/// Takes a file or directory out of sight. With the store's lock held.
pub(super) fn discard(place: &Place, path: &Path) -> Result<(), Error> {
    match std::fs::rename(path, place.trash().join(random_name()?)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        // The disk may have no room for a name. Without its record a layer is none any more.
        Err(_) => {
            match std::fs::remove_file(path.join(RECORD)) {
                Err(error) if !is_no_record(&error) => {
                    return Err(Error::io("delete", path, error));
                }
                _ => {}
            }
            tree::remove(path).told("delete", path)
        }
    }
}

fn is_no_record(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// Deletes what was thrown away, unless somebody is at it. What can't be deleted now will be tried
/// again by whoever comes next.
pub(super) fn empty_trash(place: &Place) {
    if let Err(error) = try_empty_trash(place) {
        tracing::warn!(%error, "emptying the image store's trash");
    }
}

fn try_empty_trash(place: &Place) -> Result<(), Error> {
    let trash = place.trash();
    // What comes while somebody is at it may come after their last look.
    while !list(&trash)?.is_empty() {
        let held = match Flock::exclusive(open_plain(&trash).told("open", &trash)?) {
            Err(Errno::WOULDBLOCK) => return Ok(()),
            held => held.told("lock", &trash)?,
        };
        for name in list(&trash)? {
            let path = trash.join(name);
            tree::remove(&path).told("delete", &path)?;
        }
        drop(held);
    }
    Ok(())
}
