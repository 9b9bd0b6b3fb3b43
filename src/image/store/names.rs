//! Names: each is a file that says whose it is.

use std::path::{Path, PathBuf};

use super::error::Told;
use super::image::{Image, MOST_KNOWN};
use super::lock::StoreLock;
use super::mark::Mark;
use super::place::{Place, list, random_name, read_bounded, sync, write_new};
use super::record::{self, NameRecord, seal};
use super::{Error, Store};
use crate::image::{Digest, Reference};
use crate::unpoisoned::lock;

/// What happens to a name that is another image's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Taken {
    /// It stays, and whoever wanted it is told.
    #[default]
    Refused,
    /// It moves.
    Replaced,
}

impl Store {
    /// Gives the image one more name.
    ///
    /// # Errors
    /// [`Error::NameTaken`] unless it may be replaced; [`Error::NoTag`] when the name ends in a digest;
    /// [`Error::Io`].
    pub fn tag(&self, image: &Image, name: &Reference, taken: Taken) -> Result<(), Error> {
        let record = name_record(name, image.id(), image.manifest())?;
        let place = self.place();
        let lock = StoreLock::take(place.dir())?;
        may_have(place, &record, taken)?;
        let draft = place.work().join(random_name()?);
        // What is left in `work` by a failure here is swept like what a load leaves.
        write_new(&draft, &seal(&record))?;
        sync(&draft)?;
        put_name(place, &lock, &record, &draft)?;
        sync(&place.names())
    }

    /// The names of one image, in order.
    pub(super) fn names_of(&self, id: &Digest) -> Result<Vec<Reference>, Error> {
        let all = all_names(self.place())?;
        Ok(all
            .into_iter()
            .filter(|(_, record)| record.image == *id)
            .map(|(name, _)| name)
            .collect())
    }

    /// Whose name or identifier this is. Nobody promises that the image is there.
    pub(super) fn look_up(&self, text: &str) -> Result<Option<Digest>, Error> {
        if let Some(id) = self.known_name(text) {
            return Ok(Some(id));
        }
        if let Some(id) = whole_id(text) {
            return Ok(Some(id));
        }
        let name: Reference = text.parse()?;
        let Some(manifest) = name.digest() else {
            return self.read_and_know(text, &name.to_string());
        };
        let came_so = |(other, record): &(Reference, NameRecord)| {
            record.manifest == *manifest
                && (other.registry(), other.repository()) == (name.registry(), name.repository())
        };
        let all = all_names(self.place())?;
        Ok(all.into_iter().find(came_so).map(|(_, record)| record.image))
    }
}

/// A name that was read once: taking the text apart and reading its file takes longer than looking whether
/// the file is the same still.
#[derive(Debug)]
pub(super) struct KnownName {
    pub(super) path: PathBuf,
    pub(super) mark: Mark,
    pub(super) image: Digest,
}

impl Store {
    /// What a name means, if its file is the one that was read.
    fn known_name(&self, text: &str) -> Option<Digest> {
        let known = lock(self.known_names());
        let known = known.get(text)?;
        (Mark::at(&known.path).ok()? == Some(known.mark)).then_some(known.image)
    }

    fn read_and_know(&self, text: &str, canonical: &str) -> Result<Option<Digest>, Error> {
        let path = self.place().name(canonical);
        let mark = Mark::at(&path).ok().flatten();
        let record = read_name(self.place(), canonical)?;
        let image = record.map(|record| record.image);
        if let (Some(image), Some(mark)) = (image, mark.filter(Mark::is_settled)) {
            self.know(text, KnownName { path, mark, image });
        }
        Ok(image)
    }

    pub(super) fn know(&self, text: &str, name: KnownName) {
        let mut known = lock(self.known_names());
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(text.to_owned(), name);
    }
}

/// An identifier in full, with or without its algorithm: 64 digits are no name.
pub(super) fn whole_id(text: &str) -> Option<Digest> {
    text.parse().or_else(|_| format!("sha256:{text}").parse()).ok()
}

/// What is written down for a name. A digest in it can only be the image's own: beside a tag it says
/// nothing more.
pub(in crate::image) fn name_record(
    name: &Reference,
    image: Digest,
    manifest: Digest,
) -> Result<NameRecord, Error> {
    let name = match (name.tag(), name.digest()) {
        (_, Some(digest)) if *digest != manifest => return Err(Error::NoTag(name.to_string())),
        (Some(_), Some(_)) => name.without_digest().to_string(),
        _ => name.to_string(),
    };
    Ok(NameRecord { name, image, manifest })
}

pub(super) fn read_name(place: &Place, canonical: &str) -> Result<Option<NameRecord>, Error> {
    let path = place.name(canonical);
    let record: Option<NameRecord> = record::read(&path)?;
    match record {
        Some(record) if record.name != canonical => {
            Err(Error::damaged(&path, format!("it is of the name {}", record.name)))
        }
        record => Ok(record),
    }
}

/// All names, in order. One that is damaged is none.
pub(super) fn all_names(place: &Place) -> Result<Vec<(Reference, NameRecord)>, Error> {
    let mut all = Vec::new();
    for file in list(&place.names())? {
        let path = place.names().join(&file);
        match sound_name(place, &path) {
            Ok(Some(named)) => all.push(named),
            Ok(None) => {}
            Err(Error::Damaged { path, why }) => {
                tracing::warn!(path = %path.display(), why, "a damaged name");
            }
            Err(error) => return Err(error),
        }
    }
    all.sort_by(|(_, one), (_, two)| one.name.cmp(&two.name));
    Ok(all)
}

/// The name that a file is of.
pub(super) fn sound_name(
    place: &Place,
    path: &Path,
) -> Result<Option<(Reference, NameRecord)>, Error> {
    let Some(record) = record::read::<NameRecord>(path)? else {
        return Ok(None);
    };
    let parsed = record.name.parse::<Reference>().ok();
    let name = parsed.filter(|_| place.name(&record.name) == path);
    let name = name.ok_or_else(|| Error::damaged(path, "it is of another name"))?;
    Ok(Some((name, record)))
}

/// Whether the record may take its name: from nobody, from the same image, from one that is gone, or
/// from another where that is wanted.
pub(super) fn may_have(place: &Place, wish: &NameRecord, taken: Taken) -> Result<(), Error> {
    let old = match read_name(place, &wish.name) {
        Ok(Some(old)) => old,
        Ok(None) | Err(Error::Damaged { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_there = || place.image(&old.image).symlink_metadata().is_ok();
    match taken {
        Taken::Refused if old.image != wish.image && is_there() => {
            Err(Error::NameTaken { name: wish.name.clone(), image: old.image })
        }
        _ => Ok(()),
    }
}

/// Moves the draft of a record to its place. With the store's lock held.
pub(super) fn put_name(
    place: &Place,
    _lock: &StoreLock,
    record: &NameRecord,
    draft: &Path,
) -> Result<(), Error> {
    let path = place.name(&record.name);
    // The same again costs nothing.
    if read_bounded(&path, 64 << 10).is_ok_and(|old| old == seal(record)) {
        return Ok(());
    }
    std::fs::rename(draft, &path).told("write", &path)
}
