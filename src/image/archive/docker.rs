//! What `docker save` writes: `manifest.json`, which lists images, and files that it names.

use std::collections::BTreeMap;

use super::layout::{self, Found};
use super::members::Members;
use super::names::{self, Named};
use super::region::Region;
use super::{ArchivedImage, ArchivedLayer, Error};
use crate::image::document::{Saved, SavedList};
use crate::image::{
    Algorithm, Compression, Descriptor, Digest, Document, Family, Hasher, ImageConfig, Manifest,
    MediaType, Reference,
};

/// The list of images.
pub(super) const LIST: &str = "manifest.json";
/// How many images are read.
const IMAGES: usize = 2000;

/// Reads the list, if there is one.
pub(super) fn list(members: &Members) -> Result<Option<Document<SavedList>>, Error> {
    let Some(bytes) = members.bytes(LIST)? else { return Ok(None) };
    let list: Document<SavedList> = Document::read(&bytes).map_err(Error::document(LIST))?;
    if list.0.len() > IMAGES {
        let (from, limit) = (members.shown(), IMAGES as u64);
        return Err(Error::Limit { from, what: "images", limit });
    }
    Ok(Some(list))
}

/// What to say of an archive that has neither this list nor OCI's.
pub(super) fn unknown(members: &Members) -> Result<Error, Error> {
    let why = match members.has("repositories")? {
        true => "was written by a Docker before 1.10: it has no manifest.json",
        false => "is neither an archive of docker save nor an OCI layout",
    };
    Ok(Error::Unknown { from: members.shown(), why })
}

/// The images of an archive that has no other documents.
pub(super) fn images(members: &Members, list: &SavedList) -> Result<Vec<ArchivedImage>, Error> {
    let mut images: Vec<ArchivedImage> = Vec::new();
    let mut reader = Reader { members, hashed: BTreeMap::new() };
    let mut owners = BTreeMap::new();
    for saved in &list.0 {
        let image = reader.image(saved)?;
        let id = *image.config.digest();
        for name in &image.names {
            if *owners.entry(name.clone()).or_insert(id) != id {
                return Err(two_images(name));
            }
        }
        match images.iter_mut().find(|known| *known.config.digest() == id) {
            Some(known) if known.manifest.digest() == image.manifest.digest() => {
                known.names.extend(image.names);
                sort(&mut known.names);
            }
            Some(_) => {
                let why = "manifest.json lists it with two sets of layers".to_owned();
                return Err(Error::Contradiction { what: format!("the image {id}"), why });
            }
            None => images.push(image),
        }
    }
    Ok(images)
}

/// An archive that is an OCI layout too: both must give the same names to the same images. What the
/// layout says is taken, and names that only the list has.
pub(super) fn compare(list: &SavedList, found: Found) -> Result<Vec<ArchivedImage>, Error> {
    let Found { mut chosen, named } = found;
    for saved in &list.0 {
        let config = config_name(&saved.config).ok_or_else(|| {
            let why = "is named by manifest.json as a configuration, but the layout's are blobs";
            Error::member(&saved.config, why)
        })?;
        let known = |digests: &std::collections::BTreeSet<Digest>| digests.contains(&config);
        if !named.values().any(known) {
            let why = "manifest.json lists it, and index.json does not".to_owned();
            return Err(Error::Contradiction { what: format!("the image {config}"), why });
        }
        let mut image = chosen.iter_mut().find(|image| *image.config.digest() == config);
        for name in &saved.names {
            let name = names::full_name(name, None, LIST)?;
            match named.get(&Some(Named::Fully(name.clone()))) {
                Some(digests) if !known(digests) => return Err(two_images(&name)),
                Some(_) => {}
                None => image.iter_mut().for_each(|image| image.names.push(name.clone())),
            }
        }
        image.into_iter().for_each(|image| sort(&mut image.names));
    }
    Ok(chosen)
}

/// Each name once.
fn sort(names: &mut Vec<Reference>) {
    names.sort();
    names.dedup();
}

fn two_images(name: &Reference) -> Error {
    let what = format!("the image name {:?}", name.familiar());
    Error::Contradiction { what, why: "the archive gives it to two images".to_owned() }
}

/// The digest in the name of a configuration: `HEX.json`, `sha256:HEX`, `blobs/sha256/HEX`.
fn config_name(name: &str) -> Option<Digest> {
    let stem = name.strip_suffix(".json").unwrap_or(name);
    let digest = match stem.strip_prefix("blobs/").and_then(|blob| blob.split_once('/')) {
        Some((algorithm, hex)) => format!("{algorithm}:{hex}"),
        None if stem.contains(':') => stem.to_owned(),
        None => format!("sha256:{stem}"),
    };
    digest.parse().ok()
}

struct Reader<'a> {
    members: &'a Members,
    /// What was hashed, by its member.
    hashed: BTreeMap<String, Digest>,
}

impl Reader<'_> {
    fn image(&mut self, saved: &Saved) -> Result<ArchivedImage, Error> {
        let bytes = self.members.bytes(&saved.config)?;
        let bytes = bytes.ok_or_else(|| Error::member(&saved.config, "is missing"))?;
        let wrong = Error::document(&saved.config);
        let config: Document<ImageConfig> = match config_name(&saved.config) {
            Some(digest) => Document::with_digest(&bytes, &digest).map_err(wrong)?,
            None => Document::read(&bytes).map_err(wrong)?,
        };
        let mut names = Vec::new();
        for name in &saved.names {
            names.push(names::full_name(name, None, LIST)?);
        }
        sort(&mut names);
        let what = format!("the image {}", config.digest());
        layout::check(&config, saved.layers.len(), &what)?;
        let mut layers = Vec::new();
        for (name, diff_id) in saved.layers.iter().zip(&config.diff_ids) {
            layers.push(self.layer(name, diff_id)?);
        }
        let size = config.bytes().len() as u64;
        let of = Descriptor::new(MediaType::Config(Family::Oci), *config.digest(), size);
        let made = Manifest::new(of, layers.iter().map(|layer| layer.descriptor.clone()).collect());
        let manifest = Document::read(&made.to_json()).map_err(Error::document(LIST))?;
        Ok(ArchivedImage::new(names, manifest, config, layers))
    }

    fn layer(&mut self, name: &str, diff_id: &Digest) -> Result<ArchivedLayer, Error> {
        let file = match self.members.link(name) {
            Some(target) => linked(name, target)
                .ok_or_else(|| Error::member(name, "is a symbolic link that leaves the archive"))?,
            None => name.to_owned(),
        };
        let region = self.members.wanted(&file)?;
        let failed = |error: std::io::Error| Error::member(name, format!("can't be read: {error}"));
        let compression = Compression::of(&region.head::<4>().map_err(failed)?);
        // The digest of what is not compressed is already known; whoever reads it checks it.
        let digest = match compression {
            Compression::None => *diff_id,
            _ => self.hash(file, &region).map_err(failed)?,
        };
        let media_type = MediaType::Layer(Family::Oci, compression);
        let descriptor = Descriptor::new(media_type, digest, region.len);
        Ok(ArchivedLayer::new(descriptor, *diff_id, region))
    }

    fn hash(&mut self, member: String, region: &Region) -> std::io::Result<Digest> {
        if let Some(known) = self.hashed.get(&member) {
            return Ok(*known);
        }
        let mut hasher = Hasher::new(Algorithm::Sha256);
        std::io::copy(
            &mut std::io::BufReader::with_capacity(256 << 10, region.reader()),
            &mut hasher,
        )?;
        let digest = hasher.finish();
        self.hashed.insert(member, digest);
        Ok(digest)
    }
}

/// The member that a link points to: Dockers before 25 wrote a layer that they had written before as
/// a link to the first. `None` if it leads out of the archive.
fn linked(name: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        return None;
    }
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()?),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
