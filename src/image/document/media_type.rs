//! Media types: what a blob is said to be.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Whose words a document uses. Both mean the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    /// The Open Container Initiative's.
    Oci,
    /// Docker's, schema 2.
    Docker,
}

/// How a layer is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Compression {
    /// Not at all: a plain tar.
    None,
    /// With gzip.
    Gzip,
    /// With Zstandard.
    Zstd,
}

impl Compression {
    /// What the first bytes of a file say: four are enough.
    #[must_use]
    pub fn of(head: &[u8]) -> Compression {
        match head {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            // A frame, or one to be skipped, with which some start.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

/// What a blob is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum MediaType {
    /// A list of manifests, such as one for each platform.
    Index(Family),
    /// An image's manifest.
    Manifest(Family),
    /// An image's configuration.
    Config(Family),
    /// A layer.
    Layer(Family, Compression),
    /// A layer that may not be passed on, and which an archive may therefore lack.
    ForeignLayer(Family, Compression),
    /// Anything else.
    Other(String),
}

/// All but `Other`, by name.
static NAMES: [(&str, MediaType); 18] = {
    use Compression::{Gzip, None, Zstd};
    use Family::{Docker, Oci};
    use MediaType::{Config, ForeignLayer, Index, Layer, Manifest};
    [
        ("application/vnd.oci.image.index.v1+json", Index(Oci)),
        ("application/vnd.docker.distribution.manifest.list.v2+json", Index(Docker)),
        ("application/vnd.oci.image.manifest.v1+json", Manifest(Oci)),
        ("application/vnd.docker.distribution.manifest.v2+json", Manifest(Docker)),
        ("application/vnd.oci.image.config.v1+json", Config(Oci)),
        ("application/vnd.docker.container.image.v1+json", Config(Docker)),
        ("application/vnd.oci.image.layer.v1.tar", Layer(Oci, None)),
        ("application/vnd.oci.image.layer.v1.tar+gzip", Layer(Oci, Gzip)),
        ("application/vnd.oci.image.layer.v1.tar+zstd", Layer(Oci, Zstd)),
        ("application/vnd.docker.image.rootfs.diff.tar", Layer(Docker, None)),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", Layer(Docker, Gzip)),
        ("application/vnd.docker.image.rootfs.diff.tar.zstd", Layer(Docker, Zstd)),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", ForeignLayer(Oci, None)),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", ForeignLayer(Oci, Gzip)),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", ForeignLayer(Oci, Zstd)),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar", ForeignLayer(Docker, None)),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", ForeignLayer(Docker, Gzip)),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.zstd", ForeignLayer(Docker, Zstd)),
    ]
};

impl MediaType {
    /// The name that stands in documents.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            MediaType::Other(name) => name,
            // Every other one is in the list, which a test holds.
            known => NAMES.iter().find(|(_, own)| own == known).map_or("", |(name, _)| name),
        }
    }
}

impl From<&str> for MediaType {
    fn from(name: &str) -> MediaType {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        known.map_or_else(|| MediaType::Other(name.to_owned()), |(_, known)| known.clone())
    }
}

impl FromStr for MediaType {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<MediaType, Infallible> {
        Ok(name.into())
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_media_type_reads_back_from_its_name() {
        for (name, known) in &NAMES {
            assert_eq!((MediaType::from(*name), known.as_str()), (known.clone(), *name));
        }
        let other = MediaType::from("application/vnd.cncf.helm.config.v1+json");
        assert_eq!(other.to_string(), "application/vnd.cncf.helm.config.v1+json");
        assert!(matches!(MediaType::from("APPLICATION/JSON"), MediaType::Other(_)));
        use Compression::{Gzip, None, Zstd};
        for family in [Family::Oci, Family::Docker] {
            let mut all = vec![MediaType::Index(family), MediaType::Manifest(family)];
            all.push(MediaType::Config(family));
            for compression in [None, Gzip, Zstd] {
                all.push(MediaType::Layer(family, compression));
                all.push(MediaType::ForeignLayer(family, compression));
            }
            assert!(all.iter().all(|known| !known.as_str().is_empty()));
        }
    }

    #[test]
    fn compression_is_known_by_the_first_bytes() {
        for (head, compression) in [
            (&[0x1f, 0x8b, 0x08, 0][..], Compression::Gzip),
            (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
            (&[0x50, 0x2a, 0x4d, 0x18], Compression::Zstd),
            (&[0x5f, 0x2a, 0x4d, 0x18], Compression::Zstd),
            (b"etc/", Compression::None),
            (&[0x1f], Compression::None),
            (b"", Compression::None),
        ] {
            assert_eq!(Compression::of(head), compression, "{head:?}");
        }
    }
}
