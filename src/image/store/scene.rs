//! Images for tests, made of a few files each, without an archive.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::{Image, Store, StoreOptions, Taken};
use crate::image::archive::{ArchivedImage, ArchivedLayer, Region};
use crate::image::load::{LoadError, LoadOptions};
use crate::image::unpack::Unpacker;
use crate::image::{Descriptor, Digest, Document, ImageConfig, Manifest, MediaType};

/// Paths and texts; a path that ends in a slash is a directory.
pub(in crate::image) type Files = BTreeMap<&'static str, &'static str>;

pub(in crate::image) fn files<const N: usize>(list: [(&'static str, &'static str); N]) -> Files {
    list.into()
}

/// A store in a temporary directory.
pub(in crate::image) struct Scene {
    pub(in crate::image) store: Store,
    at: tempfile::TempDir,
}

impl Scene {
    pub(in crate::image) fn new() -> Scene {
        let at = tempfile::tempdir().unwrap();
        Scene { store: open(&at.path().join("store")), at }
    }

    /// The same store, as another process would open it.
    pub(in crate::image) fn again(&self) -> Store {
        open(&self.at.path().join("store"))
    }

    /// Loads an image with these layers, the lowest first, and one name.
    pub(in crate::image) fn load(&self, name: &str, layers: &[Files]) -> Image {
        load(&self.store, name, layers, Taken::Replaced).unwrap()
    }

    /// Everything below a directory of the store, by name.
    pub(in crate::image) fn list(&self, dir: &str) -> Vec<String> {
        let mut names = super::place::list(&self.store.dir().join(dir)).unwrap();
        names.sort();
        names
    }
}

fn open(dir: &Path) -> Store {
    // The program of the unit tests has no main of ours that could serve.
    let options = StoreOptions { unpacker: Unpacker::InProcess, ..StoreOptions::default() };
    Store::open(dir, options).unwrap()
}

pub(in crate::image) fn load(
    store: &Store,
    name: &str,
    layers: &[Files],
    taken: Taken,
) -> Result<Image, LoadError> {
    let options = LoadOptions { taken, ..LoadOptions::default() };
    let staged = store.begin()?;
    Ok(store.take_in(staged, &[incoming(name, layers)], &options)?.remove(0))
}

/// What an archive with this image gives.
pub(in crate::image) fn incoming(name: &str, layers: &[Files]) -> ArchivedImage {
    archived(name, layers.iter().map(|files| piece(&tar(files))).collect())
}

/// An image of these layers.
pub(in crate::image) fn archived(name: &str, layers: Vec<ArchivedLayer>) -> ArchivedImage {
    let ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": ids },
    });
    let config = Document::<ImageConfig>::read(config.to_string().as_bytes()).unwrap();
    let (digest, size) = (*config.digest(), config.bytes().len() as u64);
    let kind = "application/vnd.oci.image.config.v1+json";
    let described = Descriptor::new(MediaType::from(kind), digest, size);
    let manifest =
        Manifest::new(described, layers.iter().map(|it| it.descriptor.clone()).collect());
    let manifest = Document::read(&manifest.to_json()).unwrap();
    ArchivedImage::new(vec![name.parse().unwrap()], manifest, config, layers)
}

/// A layer that is not compressed, in a file of its own.
pub(in crate::image) fn piece(tar: &[u8]) -> ArchivedLayer {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(tar).unwrap();
    let (digest, region) = (Digest::sha256(tar), Region::whole(file).unwrap());
    let kind = "application/vnd.oci.image.layer.v1.tar";
    let described = Descriptor::new(MediaType::from(kind), digest, region.len);
    ArchivedLayer::new(described, digest, region)
}

/// An archive of the plainest kind.
pub(in crate::image) fn tar(files: &Files) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, text) in files {
        let (kind, mode) = if path.ends_with('/') { (b'5', 0o755) } else { (b'0', 0o644) };
        let mut header = [0_u8; 512];
        let mut put =
            |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, path);
        put(100, &format!("{mode:07o}\0{:07o}\0{:07o}\0{:011o}\0{:011o}\0", 0, 0, text.len(), 1));
        put(148, "        ");
        put(257, "ustar\x0000");
        header[156] = kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes.extend(header);
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}
