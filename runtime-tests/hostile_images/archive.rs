//! Images by hand: documents, blobs and the archives that hold them, each part open to change.

use std::fmt::Write;

use super::case::Layer;
use super::tar::{Entry, dir, file, tar};

pub const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";
pub const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// What the image is called.
pub const NAME: &str = "docker.io/library/hostile:latest";

/// An image in the OCI's layout. What a form wants wrong it writes over a part of.
#[derive(Clone)]
pub struct Archive {
    /// By the digest that names them.
    pub blobs: Vec<(String, Vec<u8>)>,
    pub marker: String,
    pub index: String,
    /// Where the manifest and the configuration are among the blobs.
    pub manifest: usize,
    pub config: usize,
    /// Members besides.
    pub besides: Vec<Entry>,
}

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

pub fn hex(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

pub fn descriptor(media_type: &str, digest: &str, size: usize) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

/// The architecture as images write it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub fn config(diff_ids: &[String], wishes: &str) -> String {
    let ids: Vec<_> = diff_ids.iter().map(|id| format!("{id:?}")).collect();
    format!(
        r#"{{"architecture":"{}","os":"linux","config":{{{wishes}}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        architecture(),
        ids.join(",")
    )
}

pub fn manifest(config: &str, layers: &[String]) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{}]}}"#,
        layers.join(",")
    )
}

pub fn index(manifest: &str, name: &str) -> String {
    let named = format!(
        r#"{},"annotations":{{"org.opencontainers.image.ref.name":"latest","io.containerd.image.name":"{name}"}}}}"#,
        manifest.strip_suffix('}').unwrap()
    );
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{named}]}}"#)
}

impl Archive {
    pub fn of_layers(layers: &[Layer]) -> Archive {
        let ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let mut archive = Archive {
            blobs: Vec::new(),
            marker: r#"{"imageLayoutVersion":"1.0.0"}"#.to_owned(),
            index: String::new(),
            manifest: 0,
            config: 0,
            besides: Vec::new(),
        };
        for layer in layers {
            archive.blobs.push((digest(&layer.blob), layer.blob.clone()));
        }
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| descriptor(layer.media_type, &digest(&layer.blob), layer.blob.len()))
            .collect();
        archive.with_config(config(&ids, ""), &layers)
    }

    /// One small layer.
    pub fn small() -> Archive {
        Archive::of_layers(&[small()])
    }

    /// The documents anew, for this configuration and these descriptors of layers.
    pub fn with_config(mut self, config: String, layers: &[String]) -> Archive {
        let described = descriptor(CONFIG, &digest(config.as_bytes()), config.len());
        self.config = self.blobs.len();
        self.blobs.push((digest(config.as_bytes()), config.into_bytes()));
        self.with_manifest(manifest(&described, layers))
    }

    /// The index anew, for this manifest.
    pub fn with_manifest(mut self, manifest: String) -> Archive {
        let described = descriptor(MANIFEST, &digest(manifest.as_bytes()), manifest.len());
        self.manifest = self.blobs.len();
        self.blobs.push((digest(manifest.as_bytes()), manifest.into_bytes()));
        self.index = index(&described, NAME);
        self
    }

    /// One small layer under a manifest that this makes of the configuration's and layer's
    /// descriptors.
    pub fn manifested(make: impl Fn(&str, &str) -> String) -> Archive {
        let archive = Archive::small();
        let layer = small();
        let (name, bytes) = &archive.blobs[archive.config];
        let config = descriptor(CONFIG, name, bytes.len());
        let layer = descriptor(PLAIN, &layer.diff_id, layer.blob.len());
        let made = make(&config, &layer);
        archive.with_manifest(made)
    }

    /// One small layer under a configuration that this makes of its hash.
    pub fn configured(make: impl Fn(&str) -> String) -> Archive {
        let layer = small();
        let described = descriptor(PLAIN, &layer.diff_id, layer.blob.len());
        let mut archive = Archive::small();
        archive.blobs.truncate(1);
        archive.with_config(make(&layer.diff_id), &[described])
    }

    /// The small layer under an index that this makes of the manifest's descriptor.
    pub fn indexed(make: impl Fn(&str) -> String) -> Archive {
        let mut archive = Archive::small();
        let (name, bytes) = &archive.blobs[archive.manifest];
        archive.index = make(&descriptor(MANIFEST, name, bytes.len()));
        archive
    }

    pub fn and(mut self, entry: Entry) -> Archive {
        self.besides.push(entry);
        self
    }

    /// The path of a blob.
    pub fn path(name: &str) -> String {
        format!("blobs/{}", name.replacen(':', "/", 1))
    }

    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![dir("blobs/"), dir("blobs/sha256/")];
        for (name, bytes) in &self.blobs {
            entries.push(file(Archive::path(name), bytes));
        }
        entries.push(file("index.json", &self.index));
        entries.push(file("oci-layout", &self.marker));
        entries.extend(self.besides.clone());
        entries
    }

    pub fn bytes(&self) -> Vec<u8> {
        tar(self.entries())
    }
}

/// A layer with one file.
pub fn small() -> Layer {
    Layer::plain(tar([file("hello", "in")]))
}

/// The same image as `docker save` wrote it of old, with changes to its one document and its members.
pub struct Saved {
    pub manifest: String,
    pub entries: Vec<Entry>,
}

impl Saved {
    pub fn small() -> Saved {
        let layer = small();
        let config = config(std::slice::from_ref(&layer.diff_id), "");
        let name = format!("{}.json", hex(config.as_bytes()));
        let manifest = format!(
            r#"[{{"Config":"{name}","RepoTags":["hostile:latest"],"Layers":["one/layer.tar"]}}]"#
        );
        let entries = vec![file(name, config), dir("one/"), file("one/layer.tar", &layer.blob)];
        Saved { manifest, entries }
    }

    pub fn replacing(mut self, from: &str, to: &str) -> Saved {
        assert!(self.manifest.contains(from), "{}", self.manifest);
        self.manifest = self.manifest.replace(from, to);
        self
    }

    /// Without the layer's own member.
    pub fn without_layer(mut self) -> Saved {
        self.entries.truncate(2);
        self
    }

    pub fn and(mut self, entry: Entry) -> Saved {
        self.entries.push(entry);
        self
    }

    pub fn bytes(mut self) -> Vec<u8> {
        self.entries.push(file("manifest.json", &self.manifest));
        tar(self.entries)
    }
}
