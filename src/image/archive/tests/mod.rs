//! Archives made by hand: what each test changes is all that is unusual in them.

mod hostile;
mod of_docker;
mod of_oci;
mod saved;

use std::fs;
use std::io::{Cursor, Write as _};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::image::{Compression, Family, MediaType};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const FULL: &str = "io.containerd.image.name";
const SHORT: &str = "org.opencontainers.image.ref.name";

/// The members of an archive, in order.
#[derive(Clone, Default)]
struct Files(Vec<(String, Vec<u8>)>);

impl Files {
    /// With what makes them an OCI layout, but for the index.
    fn layout() -> Files {
        let mut files = Files::default();
        files.put("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}));
        files
    }

    fn put(&mut self, name: &str, content: &Value) {
        self.bytes(name, content.to_string().as_bytes());
    }

    /// A member, in place of one with that name.
    fn bytes(&mut self, name: &str, content: &[u8]) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), content.to_owned()));
    }

    fn blob(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest = Digest::sha256(content);
        self.bytes(&layout::blob(&digest), content);
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    fn json_blob(&mut self, media_type: &str, content: &Value) -> Value {
        self.blob(media_type, content.to_string().as_bytes())
    }

    /// An image for the host whose layers are these bytes; the manifest's descriptor.
    fn image(&mut self, layers: &[&str]) -> Value {
        self.image_for(&Platform::host(), layers)
    }

    fn image_for(&mut self, platform: &Platform, layers: &[&str]) -> Value {
        let config = self.json_blob(CONFIG, &config(platform, layers));
        let layers: Vec<_> =
            layers.iter().map(|layer| self.blob(LAYER, layer.as_bytes())).collect();
        self.json_blob(MANIFEST, &manifest(&config, &layers))
    }

    fn index(&mut self, entries: &[Value]) {
        self.put("index.json", &json!({"schemaVersion": 2, "manifests": entries}));
    }

    fn tar(&self) -> Vec<u8> {
        let mut writer = tar::Writer::new(Vec::new());
        for (name, content) in &self.0 {
            writer.file(name, content.len() as u64, &mut &content[..]).unwrap();
        }
        writer.finish().unwrap();
        writer.into_inner()
    }

    fn directory(&self) -> TempDir {
        let dir = TempDir::new().unwrap();
        for (name, content) in &self.0 {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    }
}

fn config(platform: &Platform, layers: &[&str]) -> Value {
    let ids: Vec<_> = layers.iter().map(|layer| Digest::sha256(layer.as_bytes())).collect();
    json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "variant": platform.variant,
        "rootfs": {"type": "layers", "diff_ids": ids},
    })
}

fn manifest(config: &Value, layers: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})
}

fn noted(mut entry: Value, notes: &[(&str, &str)]) -> Value {
    for (key, value) in notes {
        entry["annotations"][key] = json!(value);
    }
    entry
}

fn on(mut entry: Value, os: &str, architecture: &str, variant: &str) -> Value {
    entry["platform"] = json!({"os": os, "architecture": architecture, "variant": variant});
    entry
}

/// A layout with one image of two layers and one name.
fn plain() -> Files {
    let mut files = Files::layout();
    let entry = files.image(&["layer one", "layer two"]);
    files.index(&[noted(entry, &[(SHORT, "busybox:1")])]);
    files
}

fn options() -> (TempDir, Options) {
    let dir = TempDir::new().unwrap();
    let options = Options::new(dir.path());
    (dir, options)
}

fn open(bytes: &[u8]) -> Result<Vec<ArchivedImage>, Error> {
    let (_spool, options) = options();
    let input = Input::Reader(Box::new(Cursor::new(bytes.to_vec())));
    Archive::open(input, &options).map(Archive::into_images)
}

fn open_directory(path: &std::path::Path) -> Result<Vec<ArchivedImage>, Error> {
    let (_spool, options) = options();
    Archive::open(Input::path(path), &options).map(Archive::into_images)
}

/// What is told of a failure, causes included.
fn told<T>(result: Result<T, Error>) -> String {
    let Err(error) = result else { panic!("the archive was opened") };
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    assert!(!text.contains('\n') && text.len() < 1000, "{text}");
    text
}

fn names(image: &ArchivedImage) -> Vec<String> {
    image.names.iter().map(Reference::familiar).collect()
}

fn content(layer: &ArchivedLayer) -> String {
    std::io::read_to_string(layer.region.reader()).unwrap()
}

fn contents(image: &ArchivedImage) -> Vec<String> {
    image.layers.iter().map(content).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).unwrap()
}
