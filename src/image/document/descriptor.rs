//! Descriptors: what one document says of another blob, and platforms.

use std::collections::BTreeMap;

use serde::Serialize;

use super::json::{Field, Flaw, maybe};
use super::media_type::MediaType;
use crate::image::Digest;

/// What a document says of a blob: what it is, how long, and its digest. URLs, from which some
/// programs would fetch it, are not read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: MediaType,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has, at most 2^63-1.
    pub size: u64,
    /// The platform that an image is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Notes, among them names of images. They are data: nothing here acts on them but names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// A descriptor without platform and notes.
    #[must_use]
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Descriptor {
        Descriptor { media_type, digest, size, platform: None, annotations: BTreeMap::new() }
    }

    /// Whether these bytes are the blob.
    #[must_use]
    pub fn describes(&self, bytes: &[u8]) -> bool {
        self.size == bytes.len() as u64 && self.digest == Digest::of(self.digest.algorithm(), bytes)
    }

    pub(super) fn read(field: Field) -> Result<Descriptor, Flaw> {
        let mut object = field.object()?;
        let descriptor = Descriptor {
            media_type: object.wanted("mediaType")?.parsed()?,
            digest: object.wanted("digest")?.parsed()?,
            size: object.wanted("size")?.number()?,
            platform: maybe(object.field("platform"), Platform::read)?,
            annotations: annotations(object.field("annotations"))?,
        };
        object.finish()?;
        Ok(descriptor)
    }
}

pub(super) fn annotations(field: Option<Field>) -> Result<BTreeMap<String, String>, Flaw> {
    maybe(field, Field::text_map).map(Option::unwrap_or_default)
}

/// What an image runs on, in Go's words: `linux`, `amd64`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Platform {
    /// The kind of processor, such as `amd64`; empty where nobody said.
    pub architecture: String,
    /// The kernel: `linux`; empty where nobody said.
    pub os: String,
    /// Which of the processor's kinds, such as `v8`; mostly empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// A platform without a variant.
    #[must_use]
    pub fn new(os: &str, architecture: &str) -> Platform {
        Platform {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            variant: String::new(),
        }
    }

    /// What this program was built for.
    #[must_use]
    pub fn host() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Platform::new("linux", architecture)
    }

    /// Whether an image for the other platform is one for this.
    ///
    /// A variant counts only if both have one; `arm64` means its `v8`.
    #[must_use]
    pub fn takes(&self, other: &Platform) -> bool {
        let variant = |platform: &Platform| match (&*platform.architecture, &*platform.variant) {
            ("arm64", "v8") => String::new(),
            (_, variant) => variant.to_owned(),
        };
        let (own, its) = (variant(self), variant(other));
        self.os == other.os
            && self.architecture == other.architecture
            && (own.is_empty() || its.is_empty() || own == its)
    }

    /// How well an image for the other platform suits this, if it does; less is better: exactly its
    /// variant, no variant, any other.
    pub(in crate::image) fn rank(&self, other: &Platform) -> Option<u8> {
        self.takes(other).then(|| match (self == other, other.variant.is_empty()) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        })
    }

    fn read(field: Field) -> Result<Platform, Flaw> {
        let mut object = field.object()?;
        let platform = Platform {
            architecture: maybe(object.field("architecture"), Field::text)?.unwrap_or_default(),
            os: maybe(object.field("os"), Field::text)?.unwrap_or_default(),
            variant: maybe(object.field("variant"), Field::text)?.unwrap_or_default(),
        };
        object.finish()?;
        Ok(platform)
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}
