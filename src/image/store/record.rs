//! What the store writes down of images, layers and names, sealed with a digest of its own.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Error;
use super::place::{DOCUMENT_MAX, read_bounded};
use super::tree::Fingerprint;
use crate::image::Digest;

/// An image: what of the store it needs. Its file is named after its configuration's digest.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::image) struct ImageRecord {
    /// The configuration's digest.
    pub(in crate::image) id: Digest,
    pub(in crate::image) manifest: Digest,
    /// From the lowest up.
    pub(in crate::image) layers: Vec<LayerOfImage>,
    /// Bytes that its layers' files take up, unpacked.
    pub(in crate::image) size: u64,
    /// Seconds since 1970.
    pub(in crate::image) loaded: u64,
}

/// A layer as an image names it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::image) struct LayerOfImage {
    pub(in crate::image) chain: Digest,
    pub(in crate::image) blob: Digest,
    /// Of the blob.
    pub(in crate::image) size: u64,
}

/// An unpacked layer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::image) struct LayerRecord {
    /// The directory's name.
    pub(in crate::image) key: String,
    /// What it was unpacked from; a merged tree was not.
    pub(in crate::image) source: Option<LayerSource>,
    pub(in crate::image) tree: Fingerprint,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::image) struct LayerSource {
    pub(in crate::image) diff_id: Digest,
    pub(in crate::image) blob: Digest,
}

/// A name and whose it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::image) struct NameRecord {
    /// In its full form.
    pub(in crate::image) name: String,
    pub(in crate::image) image: Digest,
    /// The manifest under which the image came with this name.
    pub(in crate::image) manifest: Digest,
}

/// A digest of the text, then the text.
pub(in crate::image) fn seal(record: &impl Serialize) -> Vec<u8> {
    // These records have no maps with odd keys and no writer that fails.
    let text = serde_json::to_vec(record).unwrap_or_default();
    let mut sealed = format!("{}\n", Digest::sha256(&text)).into_bytes();
    sealed.extend(text);
    sealed
}

/// `None` unless it is exactly what was sealed.
pub(in crate::image) fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let seal: Digest = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
    let text = &bytes[end + 1..];
    (Digest::sha256(text) == seal).then(|| serde_json::from_slice(text).ok()).flatten()
}

/// The record at `path`, or `None` if there is none.
pub(in crate::image) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let bytes = match read_bounded(path, DOCUMENT_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if is_no_plain_file(&error) => {
            return Err(Error::damaged(path, "it is no plain file"));
        }
        Err(error) => return Err(Error::io("read", path, error)),
    };
    unseal(&bytes).map(Some).ok_or_else(|| Error::damaged(path, "its seal is broken"))
}

/// A link, a directory, a device; or far too much.
fn is_no_plain_file(error: &std::io::Error) -> bool {
    let loops = Some(rustix::io::Errno::LOOP.raw_os_error());
    let device = Some(rustix::io::Errno::NXIO.raw_os_error());
    error.kind() == std::io::ErrorKind::InvalidData
        || [loops, device].contains(&error.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> NameRecord {
        NameRecord {
            name: "docker.io/library/busybox:latest".to_owned(),
            image: Digest::sha256(b"configuration"),
            manifest: Digest::sha256(b"manifest"),
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_passes_for_a_record() {
        let sealed = seal(&record());
        assert_eq!(unseal::<NameRecord>(&sealed), Some(record()));
        for at in 0..sealed.len() {
            assert_eq!(unseal::<NameRecord>(&sealed[..at]), None, "cut at {at}");
            for bit in 0..8 {
                let mut other = sealed.clone();
                other[at] ^= 1 << bit;
                assert_eq!(unseal::<NameRecord>(&other), None, "bit {bit} of {at}");
            }
        }
    }

    #[test]
    fn what_is_no_plain_file_is_damage_and_nothing_is_no_record() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("record");
        assert_eq!(read::<NameRecord>(&path).unwrap(), None);
        let damaged = |what: &str| {
            let found = read::<NameRecord>(&path);
            assert!(matches!(found, Err(Error::Damaged { .. })), "{what}: {found:?}");
        };
        std::fs::create_dir(&path).unwrap();
        damaged("a directory");
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(at.path().join("other"), seal(&record())).unwrap();
        std::os::unix::fs::symlink(at.path().join("other"), &path).unwrap();
        damaged("a link");
        std::fs::remove_file(&path).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, 0o600.into(), 0).unwrap();
        damaged("a FIFO");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        damaged("an empty file");
    }
}
