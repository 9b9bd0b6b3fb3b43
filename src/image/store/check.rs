//! Looking whether a store is whole, and repairing it from what is still there.
//!
//! What can be seen was whole when it was put there. Disks, administrators and other programs may have
//! changed it since. Documents, names and records carry their digests; a tree is compared with the
//! look of it that was written down when it was made and, where that is wanted, with what unpacking
//! its blob once more gives. A layer that is damaged is unpacked again, a merged tree merged again;
//! what can't be made good is taken away, so that loading the image again does it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::commit::sound_layer;
use super::error::Told;
use super::image::needed_keys;
use super::lease::{Claim, Lease};
use super::lock::StoreLock;
use super::names::{all_names, sound_name};
use super::place::{Key, Place, TREE, list, open_plain};
use super::record::ImageRecord;
use super::remove::Removed;
use super::tree::{Contents, fingerprint};
use super::{Error, Store, collect, remake};
use crate::image::{Digest, Hasher};

/// How closely a check looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Closely {
    /// At documents, records and names, at what trees look like, at sizes of blobs: a few microseconds for
    /// each file.
    #[default]
    Outside,
    /// At every byte: blobs are hashed, layers unpacked once more and compared.
    Inside,
}

/// What a check does about what it finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Repair {
    /// Nothing.
    #[default]
    No,
    /// What it can, of what nobody uses.
    Yes,
}

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Checked {
    /// How many images it looked at.
    pub images: usize,
    /// How many layers, merged trees among them.
    pub layers: usize,
    /// How many blobs.
    pub blobs: usize,
    /// What is wrong: nothing, hopefully.
    pub flaws: Vec<Flaw>,
}

/// Something that is not whole.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Flaw {
    /// Its path in the store.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of something that was not whole.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fate {
    /// It is as it was: nobody wanted a repair.
    Found,
    /// It is whole again.
    Repaired,
    /// It could not be made good, and is gone: loading the image again makes it good.
    Removed,
    /// It is as it was, and why.
    Kept(String),
}

impl Store {
    /// Looks at everything in the store, and repairs it where that is wanted.
    ///
    /// Others can go on using the store. What is in use is not repaired.
    ///
    /// # Errors
    /// [`Error::Io`] when looking itself fails.
    pub fn check(&self, closely: Closely, repair: Repair) -> Result<Checked, Error> {
        let mut check = Check { store: self, closely, repair, found: Checked::default() };
        check.strays()?;
        check.names()?;
        let images = check.images()?;
        check.layers(&images)?;
        check.blobs(&images)?;
        if repair == Repair::Yes {
            let lock = StoreLock::take(self.place().dir())?;
            collect::collect(self.place(), &lock)?;
            drop(lock);
            collect::empty_trash(self.place());
        }
        Ok(check.found)
    }
}

struct Check<'a> {
    store: &'a Store,
    closely: Closely,
    repair: Repair,
    found: Checked,
}

impl Check<'_> {
    fn place(&self) -> &Place {
        self.store.place()
    }

    fn flaw(&mut self, path: &Path, why: impl Into<String>, fate: Fate) {
        let path = path.strip_prefix(self.place().dir()).unwrap_or(path).to_owned();
        self.found.flaws.push(Flaw { path, why: why.into(), fate });
    }

    /// Takes away what can't be made good, if that is wanted and nobody has a lease on it.
    fn take_away(&self, path: &Path) -> Result<Fate, Error> {
        if self.repair == Repair::No {
            return Ok(Fate::Found);
        }
        let _lock = StoreLock::take(self.place().dir())?;
        match Claim::on(path)? {
            Claim::InUse => Ok(Fate::Kept("it is in use".to_owned())),
            Claim::Mine(_) | Claim::Gone => {
                collect::discard(self.place(), path)?;
                Ok(Fate::Removed)
            }
        }
    }

    /// What no store of this version makes.
    fn strays(&mut self) -> Result<(), Error> {
        for path in self.place().strays()? {
            let fate = self.take_away(&path)?;
            self.flaw(&path, "nothing of this name belongs here", fate);
        }
        Ok(())
    }

    fn names(&mut self) -> Result<(), Error> {
        for file in list(&self.place().names())? {
            let path = self.place().names().join(file);
            let why = match sound_name(self.place(), &path) {
                Ok(None) => continue,
                Ok(Some((_, name))) if self.leads_somewhere(&name.image) => continue,
                Ok(Some((name, _))) => format!("the image of {name} is not there"),
                Err(Error::Damaged { why, .. }) => why,
                Err(error) => return Err(error),
            };
            let fate = self.take_away(&path)?;
            self.flaw(&path, why, fate);
        }
        Ok(())
    }

    fn leads_somewhere(&self, image: &Digest) -> bool {
        self.place().image(image).symlink_metadata().is_ok()
    }

    /// The images whose documents are whole.
    fn images(&mut self) -> Result<Vec<ImageRecord>, Error> {
        let mut whole = Vec::new();
        for id in self.place().image_ids()? {
            self.found.images += 1;
            match self.store.documents_of(&id) {
                Ok(Some(image)) => whole.push(image),
                Ok(None) => {}
                Err(Error::Damaged { path, why }) => {
                    let fate = self.drop_image(&id)?;
                    self.flaw(&path, why, fate);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(whole)
    }

    /// Takes away an image with its names.
    fn drop_image(&self, id: &Digest) -> Result<Fate, Error> {
        if self.repair == Repair::No {
            return Ok(Fate::Found);
        }
        let place = self.place();
        let _lock = StoreLock::take(place.dir())?;
        match Claim::on(&place.image(id))? {
            Claim::InUse => Ok(Fate::Kept("the image is in use".to_owned())),
            Claim::Gone => Ok(Fate::Removed),
            Claim::Mine(_held) => {
                let names = all_names(place)?.into_iter();
                let of_image = names.filter(|(_, name)| name.image == *id).collect();
                self.store.untag(of_image, &mut Removed::default())?;
                self.store.delete(*id, &mut Removed::default())?;
                Ok(Fate::Removed)
            }
        }
    }

    /// Each layer that an image needs, the lowest first: what is above is made over what is below.
    fn layers(&mut self, images: &[ImageRecord]) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for image in images {
            let mut keys = needed_keys(image);
            keys.sort_by_key(|key| remake::height(image, key));
            for key in keys {
                if seen.insert(key) {
                    self.found.layers += 1;
                    self.layer(image, &key)?;
                }
            }
        }
        Ok(())
    }

    fn layer(&mut self, image: &ImageRecord, key: &Key) -> Result<(), Error> {
        let dir = self.place().layer(key);
        let Some(why) = self.what_is_wrong(image, key, &dir)? else {
            return Ok(());
        };
        let fate = match self.repair {
            Repair::No => Fate::Found,
            Repair::Yes => match remake::replace(self.store, image, key) {
                Ok(()) => Fate::Repaired,
                // Loading the image again makes it good, if there is none in the way.
                Err(why) => match self.drop_image(&image.id)? {
                    Fate::Removed => Fate::Removed,
                    _ => Fate::Kept(why),
                },
            },
        };
        self.flaw(&dir, why, fate);
        Ok(())
    }

    fn what_is_wrong(
        &self,
        image: &ImageRecord,
        key: &Key,
        dir: &Path,
    ) -> Result<Option<String>, Error> {
        // While it is looked at it stays.
        let lease = match Lease::take(dir) {
            Err(Error::Damaged { .. }) => None,
            lease => lease?,
        };
        let Some(_lease) = lease else {
            // It may have gone together with its image.
            let gone = !self.leads_somewhere(&image.id);
            return Ok((!gone).then(|| "it is not there".to_owned()));
        };
        let Some(record) = sound_layer(dir, key)? else {
            return Ok(Some("its record is damaged, or its tree is not there".to_owned()));
        };
        let tree = dir.join(TREE);
        let look = fingerprint(&tree, Contents::Unread).told("look at", &tree)?;
        if look != record.tree {
            return Ok(Some("its tree is not as it was made".to_owned()));
        }
        if self.closely == Closely::Inside && remake::differs(self.store, image, key, &tree)? {
            return Ok(Some("what is in its files is not what its blob says".to_owned()));
        }
        Ok(None)
    }

    /// The layers' blobs: without them a layer can't be made good, nor the image saved.
    fn blobs(&mut self, images: &[ImageRecord]) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for (image, layer) in
            images.iter().flat_map(|image| image.layers.iter().map(move |l| (image, l)))
        {
            if !seen.insert(layer.blob) {
                continue;
            }
            self.found.blobs += 1;
            let path = self.place().blob(&layer.blob);
            let (why, missing) = match self.blob_is_whole(&path, &layer.blob, layer.size) {
                Ok(true) => continue,
                Ok(false) => ("its size or digest is another", false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => ("it is not there", true),
                Err(error) => return Err(Error::io("read", path, error)),
            };
            let fate = match (missing, self.repair) {
                // It went with its image.
                (true, _) if !self.leads_somewhere(&image.id) => continue,
                (true, Repair::Yes) => {
                    Fate::Kept("only loading the image again brings it back".to_owned())
                }
                _ => self.take_away(&path)?,
            };
            self.flaw(&path, why, fate);
        }
        Ok(())
    }

    fn blob_is_whole(&self, path: &Path, digest: &Digest, size: u64) -> io::Result<bool> {
        let mut file = open_plain(path)?;
        let found = file.metadata()?;
        if !found.is_file() || found.len() != size {
            return Ok(false);
        }
        if self.closely == Closely::Outside {
            return Ok(true);
        }
        let mut hasher = Hasher::new(digest.algorithm());
        io::copy(&mut file, &mut hasher)?;
        Ok(hasher.finish() == *digest)
    }
}
