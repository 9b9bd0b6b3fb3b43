//! Taking names and images away.

use super::error::Told;
use super::lease::Claim;
use super::lock::StoreLock;
use super::names::{all_names, read_name};
use super::place::sync;
use super::record::NameRecord;
use super::{Error, Store, collect};
use crate::image::{Digest, Reference};

/// How much a removal takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Removal {
    /// One name, and the image when it was the last; by identifier, an image with one name or none.
    /// Nothing, if the image is in use then.
    #[default]
    Careful,
    /// By identifier, an image with all its names. Nothing, if the image is in use.
    Unused,
    /// By identifier, an image with all its names. Of an image in use, the names alone:
    /// [`Store::prune`] takes it when nobody uses it any more.
    Forced,
}

/// Which images [`Store::prune`] takes. None that is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prune {
    /// Those without a name.
    Nameless,
    /// All.
    Unused,
}

/// What went.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Removed {
    /// Names.
    pub untagged: Vec<Reference>,
    /// Images.
    pub deleted: Vec<Digest>,
    /// Bytes that are free now, or will be when the files are closed.
    pub bytes: u64,
}

impl Store {
    /// Takes a name away or, by identifier or its beginning, an image.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`], [`Error::InUse`], [`Error::SeveralNames`], [`Error::Io`].
    pub fn remove(&self, text: &str, how: Removal) -> Result<Removed, Error> {
        let place = self.place();
        let lock = StoreLock::take(place.dir())?;
        let names = all_names(place)?;
        let (id, wanted) = self.meant(text)?;
        let of_image: Vec<_> = names.into_iter().filter(|(_, name)| name.image == id).collect();
        let mut removed = Removed::default();
        match wanted {
            Some(canonical) if of_image.len() > 1 => {
                let named = of_image.into_iter().filter(|(_, name)| name.name == canonical);
                self.untag(named.collect(), &mut removed)?;
                return Ok(removed);
            }
            None if of_image.len() > 1 && how == Removal::Careful => {
                return Err(Error::SeveralNames { image: id, count: of_image.len() });
            }
            _ => {}
        }
        match Claim::on(&place.image(&id))? {
            Claim::InUse if how != Removal::Forced => return Err(Error::InUse(id)),
            Claim::InUse => self.untag(of_image, &mut removed)?,
            Claim::Mine(_held) => {
                self.untag(of_image, &mut removed)?;
                self.delete(id, &mut removed)?;
            }
            // A name that leads nowhere can be taken away as well.
            Claim::Gone if of_image.is_empty() => return Err(Error::NotFound(text.to_owned())),
            Claim::Gone => self.untag(of_image, &mut removed)?,
        }
        removed.bytes = collect::collect(place, &lock)?;
        drop(lock);
        collect::empty_trash(place);
        Ok(removed)
    }

    /// Takes away all images of a kind that nobody uses, and whatever no image needs.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn prune(&self, which: Prune) -> Result<Removed, Error> {
        let place = self.place();
        let lock = StoreLock::take(place.dir())?;
        let mut names = all_names(place)?;
        let mut removed = Removed::default();
        for id in place.image_ids()? {
            let (of_image, others): (Vec<_>, _) =
                names.into_iter().partition(|(_, name)| name.image == id);
            names = others;
            if which == Prune::Nameless && !of_image.is_empty() {
                continue;
            }
            if let Claim::Mine(_held) = Claim::on(&place.image(&id))? {
                self.untag(of_image, &mut removed)?;
                self.delete(id, &mut removed)?;
            }
        }
        removed.bytes = collect::collect(place, &lock)?;
        drop(lock);
        collect::empty_trash(place);
        Ok(removed)
    }

    /// The image that is meant and, if it was by a name, which.
    fn meant(&self, text: &str) -> Result<(Digest, Option<String>), Error> {
        let by_name = match self.look_up(text) {
            Err(Error::Reference(_)) => None,
            found => found?,
        };
        if let Some(id) = by_name {
            let name = text.parse::<Reference>().ok().map(|name| name.to_string());
            let name = name.filter(|name| matches!(read_name(self.place(), name), Ok(Some(_))));
            return Ok((id, name));
        }
        let id = self.id_that_starts(text)?;
        id.map(|id| (id, None)).ok_or_else(|| Error::NotFound(text.to_owned()))
    }

    pub(super) fn untag(
        &self,
        names: Vec<(Reference, NameRecord)>,
        removed: &mut Removed,
    ) -> Result<(), Error> {
        for (name, record) in names {
            let path = self.place().name(&record.name);
            std::fs::remove_file(&path).told("delete", &path)?;
            removed.untagged.push(name);
        }
        sync(&self.place().names())
    }

    /// Deletes the record of an image that has been claimed: what it needed is garbage then.
    pub(super) fn delete(&self, id: Digest, removed: &mut Removed) -> Result<(), Error> {
        let path = self.place().image(&id);
        std::fs::remove_file(&path).told("delete", &path)?;
        removed.deleted.push(id);
        // Before its layers go: an image that is back after a power cut would have none.
        sync(&self.place().images())
    }
}
