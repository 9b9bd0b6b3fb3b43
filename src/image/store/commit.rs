//! Making what a load has made visible: renames in an order that keeps everything whole at any instant.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::io::Errno;

use super::error::Told;
use super::image::{Image, needed_keys};
use super::lease::{Claim, Lease};
use super::lock::StoreLock;
use super::names::{Taken, may_have, put_name};
use super::place::{
    Key, Place, RECORD, TREE, new_dir, new_file, random_name, sync, sync_all, write_new,
};
use super::record::{self, ImageRecord, LayerRecord, LayerSource, NameRecord, seal};
use super::work::Work;
use super::{Error, Store, collect, tree};
use crate::image::{Algorithm, Digest};

/// What a load is about to make visible: all of it lies in its [`Work`], or is in the store and leased.
#[derive(Debug)]
pub(in crate::image) struct Staged {
    work: Work,
    layers: Vec<Key>,
    blobs: Vec<Digest>,
    images: Vec<ImageRecord>,
    names: Vec<NameRecord>,
    leases: Vec<Lease>,
}

impl Store {
    /// Begins a load.
    pub(in crate::image) fn begin(&self) -> Result<Staged, Error> {
        let work = Work::begin(self.place())?;
        for dir in ["layers", "blobs", "images", "names", "spool"] {
            new_dir(&work.dir().join(dir))?;
        }
        let (layers, blobs, images) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Staged { work, layers, blobs, images, names: Vec::new(), leases: Vec::new() })
    }

    /// Makes everything visible. Either all images and names are there then, or none that was not.
    pub(in crate::image) fn commit(
        &self,
        staged: Staged,
        taken: Taken,
    ) -> Result<Vec<Image>, Error> {
        let place = self.place();
        staged.write_records()?;
        // Outside the lock: this is what takes long.
        sync_all(staged.work.dir())?;
        let lock = StoreLock::take(place.dir())?;
        staged.names.iter().try_for_each(|name| may_have(place, name, taken))?;
        for key in &staged.layers {
            put_layer(place, &lock, key, &staged.layer(key))?;
        }
        staged.blobs.iter().try_for_each(|digest| put_blob(place, digest, &staged.blob(digest)))?;
        sync(&place.layers())?;
        [Algorithm::Sha256, Algorithm::Sha512]
            .into_iter()
            .try_for_each(|algorithm| sync(&place.blobs(algorithm)))?;
        for (number, image) in staged.images.iter().enumerate() {
            put_image(place, image, &staged.draft("images", number))?;
        }
        sync(&place.images())?;
        for (number, name) in staged.names.iter().enumerate() {
            put_name(place, &lock, name, &staged.draft("names", number))?;
        }
        sync(&place.names())?;
        // Nobody can remove them before they are leased: the lock is still ours.
        let hold = |image: &ImageRecord| {
            let path = place.image(&image.id);
            self.hold(&image.id)?.ok_or_else(|| Error::damaged(&path, "it is not there"))
        };
        staged.images.iter().map(hold).collect()
    }

    /// Whether all of these names could be had now: a load asks before it does any work.
    pub(in crate::image) fn may_have_all(
        &self,
        names: &[NameRecord],
        taken: Taken,
    ) -> Result<(), Error> {
        names.iter().try_for_each(|name| may_have(self.place(), name, taken))
    }

    /// A layer that is there and sound, leased, with its tree.
    pub(in crate::image) fn layer(&self, key: &Key) -> Result<Option<HeldLayer>, Error> {
        let dir = self.place().layer(key);
        let Some(lease) = Lease::take(&dir)? else {
            return Ok(None);
        };
        let record = sound_layer(&dir, key)?;
        Ok(record.map(|record| HeldLayer { lease, record, tree: dir.join(TREE) }))
    }

    /// A blob that is there and has this many bytes, leased.
    pub(in crate::image) fn blob(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<Option<Lease>, Error> {
        let lease = Lease::take(&self.place().blob(digest))?;
        let has_size = |lease: &Lease| lease.file().metadata().is_ok_and(|it| it.len() == size);
        Ok(lease.filter(has_size))
    }
}

/// A layer of the store that a load builds on.
#[derive(Debug)]
pub(in crate::image) struct HeldLayer {
    pub(in crate::image) lease: Lease,
    pub(in crate::image) record: LayerRecord,
    pub(in crate::image) tree: PathBuf,
}

impl Staged {
    /// Where the work has `key`, or will have.
    pub(super) fn layer(&self, key: &Key) -> PathBuf {
        self.work.dir().join("layers").join(key.to_string())
    }

    /// Where the work has a blob.
    pub(in crate::image) fn blob(&self, digest: &Digest) -> PathBuf {
        let name = format!("{}-{}", digest.algorithm().name(), digest.hex());
        self.work.dir().join("blobs").join(name)
    }

    fn draft(&self, kind: &str, number: usize) -> PathBuf {
        self.work.dir().join(kind).join(number.to_string())
    }

    /// A directory for files that go with the load.
    pub(in crate::image) fn spool(&self) -> PathBuf {
        self.work.dir().join("spool")
    }

    /// An empty directory for the tree of a layer.
    pub(in crate::image) fn new_tree(&self, key: &Key) -> Result<PathBuf, Error> {
        let dir = self.layer(key);
        new_dir(&dir)?;
        let tree = dir.join(TREE);
        new_dir(&tree)?;
        // The root of a cell, unless the image says otherwise. Nobody else gets this far down.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&tree, mode).told("make", &tree)?;
        Ok(tree)
    }

    /// An empty directory for a tree that nobody will see.
    pub(in crate::image) fn scratch(&self) -> Result<PathBuf, Error> {
        let dir = self.spool().join(random_name()?);
        new_dir(&dir)?;
        Ok(dir)
    }

    /// A layer that this load has made already, for another of its images.
    pub(in crate::image) fn layer_made(
        &self,
        key: &Key,
    ) -> Result<Option<(LayerRecord, PathBuf)>, Error> {
        if !self.layers.contains(key) {
            return Ok(None);
        }
        let dir = self.layer(key);
        Ok(sound_layer(&dir, key)?.map(|record| (record, dir.join(TREE))))
    }

    /// The tree is whole: its record is written, and it will be seen.
    pub(in crate::image) fn add_layer(
        &mut self,
        key: Key,
        source: Option<LayerSource>,
    ) -> Result<LayerRecord, Error> {
        let dir = self.layer(&key);
        let fingerprint = tree::fingerprint(&dir.join(TREE), tree::Contents::Unread)
            .told("look at the tree of", &dir)?;
        let record = LayerRecord { key: key.to_string(), source, tree: fingerprint };
        write_new(&dir.join(RECORD), &seal(&record))?;
        self.layers.push(key);
        Ok(record)
    }

    /// A new file for a blob: to be filled, checked, and added.
    pub(in crate::image) fn new_blob(&self, digest: &Digest) -> Result<std::fs::File, Error> {
        new_file(&self.blob(digest))
    }

    pub(in crate::image) fn add_blob(&mut self, digest: Digest) {
        self.blobs.push(digest);
    }

    pub(in crate::image) fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains(digest)
    }

    pub(in crate::image) fn add_lease(&mut self, lease: Lease) {
        self.leases.push(lease);
    }

    /// Adds the image; `loaded` is set to now.
    pub(in crate::image) fn add_image(&mut self, mut image: ImageRecord) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        image.loaded = now.map_or(0, |now| now.as_secs());
        self.images.push(image);
    }

    pub(in crate::image) fn add_names(&mut self, names: impl IntoIterator<Item = NameRecord>) {
        self.names.extend(names);
    }

    fn write_records(&self) -> Result<(), Error> {
        for (number, image) in self.images.iter().enumerate() {
            write_new(&self.draft("images", number), &seal(image))?;
        }
        for (number, name) in self.names.iter().enumerate() {
            write_new(&self.draft("names", number), &seal(name))?;
        }
        Ok(())
    }
}

/// The record of a layer that is what its name says and has a tree.
pub(super) fn sound_layer(dir: &Path, key: &Key) -> Result<Option<LayerRecord>, Error> {
    let record = match record::read::<LayerRecord>(&dir.join(RECORD)) {
        Err(Error::Damaged { .. }) => None,
        record => record?,
    };
    let has_tree = dir.join(TREE).symlink_metadata().is_ok_and(|found| found.is_dir());
    Ok(record.filter(|record| has_tree && record.key == key.to_string()))
}

/// Moves a layer to its place, unless there is a sound one already.
fn put_layer(place: &Place, lock: &StoreLock, key: &Key, from: &Path) -> Result<(), Error> {
    let to = place.layer(key);
    match std::fs::rename(from, &to) {
        Ok(()) => return Ok(()),
        Err(error) if is_taken(&error) => {}
        Err(error) => return Err(Error::io("put in place", to, error)),
    }
    match sound_layer(&to, key)? {
        Some(_) => Ok(()),
        None => replace_layer(place, lock, key, from),
    }
}

/// Puts a layer in the place of one that is damaged, which nobody may be using: no cell, and no load.
pub(super) fn replace_layer(
    place: &Place,
    _lock: &StoreLock,
    key: &Key,
    from: &Path,
) -> Result<(), Error> {
    let mut claims = Vec::new();
    for id in place.image_ids()? {
        let path = place.image(&id);
        let needs = match record::read::<ImageRecord>(&path) {
            Ok(image) => image.is_some_and(|image| needed_keys(&image).contains(key)),
            // Nobody can say what it needs.
            Err(Error::Damaged { .. }) => true,
            Err(error) => return Err(error),
        };
        match Claim::on(&path)? {
            Claim::InUse if needs => return Err(Error::InUse(id)),
            claim => claims.push(claim),
        }
    }
    let to = place.layer(key);
    if let Claim::InUse = Claim::on(&to)? {
        return Err(Error::Busy(to));
    }
    collect::discard(place, &to)?;
    std::fs::rename(from, &to).told("put in place", &to)
}

fn is_taken(error: &std::io::Error) -> bool {
    let taken = [Errno::EXIST, Errno::NOTEMPTY, Errno::NOTDIR].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|errno| taken.contains(&errno))
}

/// Moves a blob to its place. The one that was there may be damaged; one that somebody counts on stays.
fn put_blob(place: &Place, digest: &Digest, from: &Path) -> Result<(), Error> {
    let to = place.blob(digest);
    match Claim::on(&to)? {
        Claim::InUse => Ok(()),
        Claim::Mine(_) | Claim::Gone => std::fs::rename(from, &to).told("put in place", &to),
    }
}

/// Moves an image's record to its place, unless there is a sound one already.
fn put_image(place: &Place, image: &ImageRecord, from: &Path) -> Result<(), Error> {
    let to = place.image(&image.id);
    let there = record::read::<ImageRecord>(&to);
    match there {
        Ok(Some(there)) if there.id == image.id => return Ok(()),
        Ok(_) | Err(Error::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    match Claim::on(&to)? {
        Claim::InUse => Err(Error::InUse(image.id)),
        Claim::Mine(_) | Claim::Gone => std::fs::rename(from, &to).told("put in place", &to),
    }
}
