//! OCI layouts: `index.json` and what it leads to.

use std::collections::{BTreeMap, BTreeSet};

use super::members::Members;
use super::names::{self, Named};
use super::region::Region;
use super::{ArchivedImage, ArchivedLayer, Error};
use crate::image::document::LayoutMark;
use crate::image::{
    Descriptor, Digest, Document, ImageConfig, Index, Manifest, MediaType, Platform,
};

/// What makes a directory an OCI layout.
pub(super) const MARK: &str = "oci-layout";
/// What lists its images.
pub(super) const INDEX: &str = "index.json";
/// How many manifests and indexes are read.
const DOCUMENTS: usize = 2000;
/// How deep indexes may stand in indexes.
const DEPTH: usize = 4;
/// How many layers an image may have.
pub(super) const LAYERS: usize = 1000;

/// What a layout holds.
pub(super) struct Found {
    /// The images for the platform.
    pub(super) chosen: Vec<ArchivedImage>,
    /// Which configurations stand under a name, whatever their platform.
    pub(super) named: BTreeMap<Option<Named>, BTreeSet<Digest>>,
}

/// Where the layout has a blob.
pub(super) fn blob(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// Reads the images of a layout.
pub(super) fn images(members: &Members, platform: &Platform) -> Result<Found, Error> {
    let bytes = members.bytes(MARK)?.ok_or_else(|| Error::member(MARK, "is missing"))?;
    Document::<LayoutMark>::read(&bytes).map_err(Error::document(MARK))?;
    let bytes = members.bytes(INDEX)?.ok_or_else(|| Error::member(INDEX, "is missing"))?;
    let index: Document<Index> = Document::read(&bytes).map_err(Error::document(INDEX))?;
    let mut reader = Reader { members, platform, read: 0, layers: BTreeMap::new() };
    let mut found = Found { chosen: Vec::new(), named: BTreeMap::new() };
    for (name, entries) in groups(&index)? {
        let mut leaves = Vec::new();
        for entry in &entries {
            reader.leaves(entry, 0, &mut leaves)?;
        }
        if leaves.is_empty() {
            continue;
        }
        let what = match &name {
            Some(Named::Fully(name)) => format!("the image {:?}", name.familiar()),
            Some(Named::Tag(tag)) => format!("the image with the tag {tag:?}"),
            None => format!("the image {}", entries[0].digest),
        };
        let configs = leaves.iter().map(|leaf| leaf.manifest.config.digest);
        found.named.entry(name.clone()).or_default().extend(configs);
        let direct = leaves.len() == 1 && !matches!(entries[0].media_type, MediaType::Index(_));
        let leaf = match direct {
            true => leaves.remove(0),
            false => reader.choose(leaves, &what)?,
        };
        let image = reader.image(leaf, &what)?;
        let known =
            found.chosen.iter().position(|one| one.manifest.digest() == image.manifest.digest());
        let place = known.unwrap_or_else(|| {
            found.chosen.push(image);
            found.chosen.len() - 1
        });
        let image = &mut found.chosen[place];
        match name {
            Some(Named::Fully(name)) => image.names.push(name),
            Some(Named::Tag(tag)) => image.tags.push(tag),
            None => {}
        }
    }
    Ok(found)
}

/// Entries with the same name are one image for many platforms. Those without one are, too, if all of
/// them say their platform; else each is an image.
type Groups<'a> = Vec<(Option<Named>, Vec<&'a Descriptor>)>;

fn groups(index: &Document<Index>) -> Result<Groups<'_>, Error> {
    let mut groups: Groups<'_> = Vec::new();
    let mut places = BTreeMap::new();
    let mut nameless = Vec::new();
    for entry in &index.manifests {
        // What is neither is no image: a signature, a cache.
        if !matches!(entry.media_type, MediaType::Index(_) | MediaType::Manifest(_)) {
            continue;
        }
        let Some(name) = names::of_entry(&entry.annotations, &entry.digest, INDEX)? else {
            nameless.push(entry);
            continue;
        };
        let place = *places.entry(name.clone()).or_insert(groups.len());
        if place == groups.len() {
            groups.push((Some(name), Vec::new()));
        }
        groups[place].1.push(entry);
    }
    match nameless.len() > 1 && nameless.iter().all(|entry| entry.platform.is_some()) {
        true => groups.push((None, nameless)),
        false => groups.extend(nameless.into_iter().map(|entry| (None, vec![entry]))),
    }
    Ok(groups)
}

/// A manifest that is in the archive, and how it was found.
struct Leaf {
    manifest: Document<Manifest>,
    /// What it is said to be for; the configuration says it where nobody else does.
    platform: Option<Platform>,
}

struct Reader<'a> {
    members: &'a Members,
    platform: &'a Platform,
    read: usize,
    /// Images share layers, and each open file of a directory counts.
    layers: BTreeMap<Digest, Region>,
}

impl Reader<'_> {
    /// The manifests that an entry leads to. One that the archive lacks is left out where an index
    /// lists it, for archives often have the one for their platform alone.
    fn leaves(
        &mut self,
        entry: &Descriptor,
        depth: usize,
        to: &mut Vec<Leaf>,
    ) -> Result<(), Error> {
        let name = blob(&entry.digest);
        let platform = entry.platform.as_ref();
        // What builders attach to an image stands beside it under this platform.
        if platform.is_some_and(|platform| platform.os == "unknown") {
            return Ok(());
        }
        let manifest = match entry.media_type {
            MediaType::Manifest(_) => true,
            MediaType::Index(_) => false,
            _ => return Ok(()),
        };
        let bytes = match self.members.bytes(&name)? {
            Some(bytes) => bytes,
            None if depth > 0 => return Ok(()),
            None => return Err(Error::member(&name, "is missing")),
        };
        self.read += 1;
        if self.read > DOCUMENTS || depth > DEPTH {
            let from = self.members.shown();
            let (what, limit) = match depth > DEPTH {
                true => ("indexes within indexes", DEPTH as u64),
                false => ("manifests", DOCUMENTS as u64),
            };
            return Err(Error::Limit { from, what, limit });
        }
        if manifest {
            let manifest = Document::described(&bytes, entry).map_err(Error::document(&name))?;
            to.push(Leaf { manifest, platform: platform.cloned() });
            return Ok(());
        }
        let index: Document<Index> =
            Document::described(&bytes, entry).map_err(Error::document(&name))?;
        index.manifests.iter().try_for_each(|entry| self.leaves(entry, depth + 1, to))
    }

    /// The one for the platform: with exactly its variant, else with none, else with any other.
    fn choose(&self, leaves: Vec<Leaf>, what: &str) -> Result<Leaf, Error> {
        let wanted = self.platform;
        let mut fitting: Vec<(u8, Leaf)> = Vec::new();
        let mut others = BTreeSet::new();
        for mut leaf in leaves {
            let platform = match leaf.platform.take() {
                Some(platform) => platform,
                None => self.config(&leaf.manifest)?.platform.clone(),
            };
            match wanted.rank(&platform) {
                Some(rank) => fitting.push((rank, leaf)),
                None => drop(others.insert(platform.to_string())),
            }
        }
        fitting.sort_by_key(|(rank, _)| *rank);
        let mut best = fitting.into_iter();
        let Some((rank, first)) = best.next() else {
            let found = others.into_iter().collect::<Vec<_>>().join(", ");
            let (what, wanted) = (what.to_owned(), wanted.clone().into());
            return Err(Error::Platform { what, found, wanted });
        };
        let digest = *first.manifest.digest();
        match best.next() {
            Some((other, leaf)) if other == rank && *leaf.manifest.digest() != digest => {
                let why = format!(
                    "two manifests are for {wanted}: {digest} and {}",
                    leaf.manifest.digest()
                );
                Err(Error::Contradiction { what: what.to_owned(), why })
            }
            _ => Ok(first),
        }
    }

    fn config(&self, manifest: &Manifest) -> Result<Document<ImageConfig>, Error> {
        let name = blob(&manifest.config.digest);
        let region = self.members.wanted(&name)?;
        let bytes = self.members.read(&name, &region)?;
        Document::described(&bytes, &manifest.config).map_err(Error::document(&name))
    }

    /// Reads the configuration and finds the layers.
    fn image(&mut self, leaf: Leaf, what: &str) -> Result<ArchivedImage, Error> {
        let config = self.config(&leaf.manifest)?;
        check(&config, leaf.manifest.layers.len(), what)?;
        let mut layers = Vec::new();
        for (descriptor, diff_id) in leaf.manifest.layers.iter().zip(&config.diff_ids) {
            let region = self.layer(descriptor)?;
            layers.push(ArchivedLayer::new(descriptor.clone(), *diff_id, region));
        }
        Ok(ArchivedImage::new(Vec::new(), leaf.manifest, config, layers))
    }

    fn layer(&mut self, descriptor: &Descriptor) -> Result<Region, Error> {
        let name = blob(&descriptor.digest);
        let region = match self.layers.get(&descriptor.digest) {
            Some(region) => region.clone(),
            None => match (self.members.file(&name)?, &descriptor.media_type) {
                (Some(region), _) => region,
                (None, MediaType::ForeignLayer(..)) => {
                    let why = "is missing, and layers that may not be passed on are not fetched";
                    return Err(Error::member(&name, why));
                }
                (None, _) => return Err(Error::member(&name, "is missing")),
            },
        };
        if region.len != descriptor.size {
            let why = format!("has {} bytes, not {}", region.len, descriptor.size);
            return Err(Error::member(&name, why));
        }
        self.layers.insert(descriptor.digest, region.clone());
        Ok(region)
    }
}

/// Whether the configuration is of an image that can run here and has as many layers as it has.
pub(in crate::image) fn check(
    config: &ImageConfig,
    layers: usize,
    what: &str,
) -> Result<(), Error> {
    if !matches!(&*config.platform.os, "" | "linux") {
        return Err(Error::Platform {
            what: what.to_owned(),
            found: config.platform.to_string(),
            wanted: Platform::host().into(),
        });
    }
    if layers > LAYERS {
        let why = format!("it has {layers} layers, more than {LAYERS}");
        return Err(Error::Contradiction { what: what.to_owned(), why });
    }
    if config.diff_ids.len() != layers {
        let ids = config.diff_ids.len();
        let why = format!("it has {layers} layers, and its configuration tells of {ids}");
        return Err(Error::Contradiction { what: what.to_owned(), why });
    }
    Ok(())
}
