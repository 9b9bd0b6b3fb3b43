//! The image that hostile registries have: three layers, one of them long enough to be cut.

use serde_json::{Value, json};

use crate::hostile_images::archive::{CONFIG, GZIP, INDEX, MANIFEST, PLAIN, architecture};
use crate::hostile_images::case::Layer;
use crate::hostile_images::tar::{file, tar};
use crate::registry::{Content, digest};

pub const REPOSITORY: &str = "some/image";
pub const TAG: &str = "latest";
/// Bytes in the file of the long layer.
pub const LONG: usize = 1 << 20;

/// An image by its parts, each open to change before it is put into a registry.
#[derive(Clone)]
pub struct Image {
    pub layers: Vec<Layer>,
    pub config: Value,
    pub manifest: Value,
}

/// Bytes that no two layers share, and that don't compress.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A layer with one file of noise.
pub fn layer(name: &str, length: usize) -> Layer {
    let seed = name.bytes().fold(length as u64, |sum, byte| sum * 31 + u64::from(byte));
    Layer::plain(tar([file(name, noise(seed, length))]))
}

fn gzip(tar: &[u8]) -> Layer {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar).unwrap();
    Layer::packed(encoder.finish().unwrap(), GZIP, tar)
}

impl Image {
    pub fn usual() -> Image {
        let small = Layer::plain(tar([file("hello", "in")]));
        Image::of(vec![small, layer("long", LONG), gzip(&tar([file("more", noise(3, 5000))]))])
    }

    pub fn of(layers: Vec<Layer>) -> Image {
        let ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let config = json!({
            "architecture": architecture(), "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": ids },
        });
        let mut image = Image { layers, config, manifest: Value::Null };
        image.describe();
        image
    }

    /// The manifest anew, for these layers and this configuration.
    pub fn describe(&mut self) {
        let config = self.config.to_string();
        let layers: Vec<_> = self
            .layers
            .iter()
            .map(|layer| descriptor(layer.media_type, layer.blob.as_slice()))
            .collect();
        self.manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config.as_bytes()), "layers": layers,
        });
    }

    /// The digest of the configuration, which is the image's.
    pub fn id(&self) -> String {
        digest(self.config.to_string().as_bytes())
    }

    /// The digest of the manifest.
    pub fn digest(&self) -> String {
        digest(self.manifest.to_string().as_bytes())
    }

    /// The digest of a layer's blob.
    pub fn blob(&self, number: usize) -> String {
        digest(&self.layers[number].blob)
    }

    /// The long layer's.
    pub fn long(&self) -> String {
        self.blob(1)
    }

    /// Puts all of it into a registry.
    pub fn put(&self, content: &mut Content) {
        self.put_blobs(content);
        let manifest = self.manifest.to_string();
        content.document(REPOSITORY, Some(TAG), MANIFEST, manifest);
    }

    /// Puts the blobs there alone.
    pub fn put_blobs(&self, content: &mut Content) {
        for layer in &self.layers {
            content.blob(REPOSITORY, layer.blob.clone());
        }
        content.blob(REPOSITORY, self.config.to_string());
    }

    /// Puts all of it below an index that is made of the manifest's descriptor.
    pub fn put_below(&self, content: &mut Content, index: impl Fn(Value) -> Value) {
        self.put_blobs(content);
        let manifest = self.manifest.to_string();
        let described = descriptor(MANIFEST, manifest.as_bytes());
        content.document(REPOSITORY, None, MANIFEST, manifest);
        content.document(REPOSITORY, Some(TAG), INDEX, index(described).to_string());
    }
}

pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

/// An index of these descriptors.
pub fn index(manifests: impl IntoIterator<Item = Value>) -> Value {
    let manifests: Vec<_> = manifests.into_iter().collect();
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests })
}

/// A descriptor for a platform.
pub fn on(mut described: Value, os: &str, architecture: &str) -> Value {
    described["platform"] = json!({ "os": os, "architecture": architecture });
    described
}

/// What a plain layer is called.
pub const LAYER: &str = PLAIN;
