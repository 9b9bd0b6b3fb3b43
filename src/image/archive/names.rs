//! Names that an archive gives its images.

use std::collections::BTreeMap;

use super::Error;
use crate::image::{Digest, Reference, excerpt};

/// The full name, as containerd and newer Dockers write it.
pub(super) const FULL: &str = "io.containerd.image.name";
/// A name or a tag, as OCI's specification has it.
pub(super) const SHORT: &str = "org.opencontainers.image.ref.name";

/// What an entry of an index says about the name of its image.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Named {
    Fully(Reference),
    /// A tag of a repository that only whoever wrote it knows.
    Tag(String),
}

/// The name in the notes of an index's entry. It may say a digest only if that is the entry's.
pub(super) fn of_entry(
    notes: &BTreeMap<String, String>,
    entry: &Digest,
    member: &str,
) -> Result<Option<Named>, Error> {
    let short = notes.get(SHORT).filter(|name| !name.is_empty());
    let full = notes.get(FULL).filter(|name| !name.is_empty());
    match (full, short) {
        (Some(name), _) => full_name(name, Some(entry), member).map(Named::Fully).map(Some),
        (None, Some(name)) if name.contains(['/', ':', '@']) => {
            full_name(name, Some(entry), member).map(Named::Fully).map(Some)
        }
        (None, Some(tag)) => bare(tag, member).map(Some),
        (None, None) => Ok(None),
    }
}

fn bare(tag: &str, member: &str) -> Result<Named, Error> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    match tag.len() <= 128 && tag.bytes().all(letter) {
        true => Ok(Named::Tag(tag.to_owned())),
        false => {
            Err(Error::member(member, format!("has the tag {:?}, which is none", excerpt(tag))))
        }
    }
}

/// A name with at least a repository. A digest in it must be that of the image it names; where that
/// has none, there must not be one.
pub(super) fn full_name(name: &str, of: Option<&Digest>, member: &str) -> Result<Reference, Error> {
    let wrong = |source| Error::Name { member: excerpt(member), source };
    let reference: Reference = name.parse().map_err(wrong)?;
    match reference.digest() {
        Some(digest) if Some(digest) != of => Err(Error::Contradiction {
            what: format!("the image name {:?}", reference.familiar()),
            why: "the image has another digest".to_owned(),
        }),
        _ => Ok(reference),
    }
}
