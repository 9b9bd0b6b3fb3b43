//! From a name to the documents of one image: an index leads to a manifest, a manifest to a configuration.

use std::collections::BTreeSet;
use std::io::Read;

use super::{Error, Repository, Which};
use crate::image::store::Store;
use crate::image::{
    DOCUMENT_LIMIT, Descriptor, Digest, Document, DocumentError, ImageConfig, Index, Manifest,
    MediaType, Platform, Reference, archive,
};

/// How many indexes may lead to one another.
const DEPTH: usize = 4;

/// How many bytes the blobs of an image may have together: they come while the first is unpacked, and
/// what is too large is seen before they fill the disk.
const BYTES: u64 = 64 << 30;

/// The documents of an image, checked.
pub(super) struct Documents {
    /// What the name leads to: an index's digest, or the manifest's.
    pub(super) named: Digest,
    pub(super) manifest: Document<Manifest>,
    pub(super) config: Document<ImageConfig>,
}

/// Asks for the documents of the image that is for the platform.
pub(super) async fn read(
    repository: &Repository,
    store: &Store,
    reference: &Reference,
    platform: &Platform,
) -> Result<Documents, Error> {
    let (named, manifest) = manifest(repository, reference, platform).await?;
    let wrong = |source| Error::Document { of: reference.to_string(), source };
    let described = &manifest.config;
    if described.size > DOCUMENT_LIMIT as u64 {
        let (what, found) = ("the image's configuration", described.size);
        return Err(wrong(DocumentError::TooLong { what, found }));
    }
    let bytes = match stored(store, described).await {
        Some(bytes) => bytes,
        None => fetched(repository, described).await?,
    };
    let config: Document<ImageConfig> = Document::described(&bytes, described).map_err(wrong)?;
    let name = reference.to_string();
    check_size(&manifest, &name)?;
    archive::check(&config, manifest.layers.len(), &name)
        .map_err(|error| Error::Load(error.into()))?;
    match platform.takes(&config.platform) {
        true => Ok(Documents { named, manifest, config }),
        false => Err(Error::Platform {
            of: name,
            found: config.platform.to_string(),
            wanted: Box::new(platform.clone()),
        }),
    }
}

fn check_size(manifest: &Manifest, name: &str) -> Result<(), Error> {
    let sizes = manifest.layers.iter().map(|layer| layer.size);
    match sizes.fold(0, u64::saturating_add) {
        bytes if bytes > BYTES => Err(Error::TooLarge { of: name.to_owned(), bytes, limit: BYTES }),
        _ => Ok(()),
    }
}

/// The manifest, and the digest of what the name itself leads to.
async fn manifest(
    repository: &Repository,
    reference: &Reference,
    platform: &Platform,
) -> Result<(Digest, Document<Manifest>), Error> {
    let name = || reference.to_string();
    let wrong = |source| Error::Document { of: name(), source };
    let which = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => Which::Digest(digest),
        (None, tag) => Which::Tag(tag.unwrap_or("latest")),
    };
    let found = repository.manifest(which).await?;
    let digest = reference.digest().copied().unwrap_or_else(|| Digest::sha256(&found.bytes));
    let Some(said) = found.media_type else {
        return Err(Error::Untyped { of: name() });
    };
    let named = digest;
    let mut bytes = found.bytes;
    let mut descriptor = Descriptor::new(said.as_str().into(), digest, bytes.len() as u64);
    for _ in 0..DEPTH {
        if !matches!(descriptor.media_type, MediaType::Index(_)) {
            return Ok((named, Document::described(&bytes, &descriptor).map_err(wrong)?));
        }
        let index: Document<Index> = Document::described(&bytes, &descriptor).map_err(wrong)?;
        descriptor = choose(&index, platform, reference)?;
        let found = repository.manifest(Which::Digest(&descriptor.digest)).await?;
        let said = found.media_type.as_deref().map(MediaType::from);
        if let Some(said) = said.filter(|said| *said != descriptor.media_type) {
            let (digest, found) = (descriptor.digest.into(), said.to_string());
            return Err(wrong(DocumentError::MediaType { what: "the manifest", digest, found }));
        }
        bytes = found.bytes;
    }
    Err(Error::Depth { of: name(), limit: DEPTH })
}

/// The entry of an index that suits the platform best; the first, if several do. One that does not
/// say what it is for is taken when nothing else is: its configuration has to say it.
fn choose(index: &Index, platform: &Platform, reference: &Reference) -> Result<Descriptor, Error> {
    const UNSAID: u8 = u8::MAX;
    let mut best: Option<(u8, &Descriptor)> = None;
    let mut others = BTreeSet::new();
    for entry in &index.manifests {
        if !matches!(entry.media_type, MediaType::Manifest(_) | MediaType::Index(_)) {
            continue;
        }
        let rank = entry.platform.as_ref().map_or(Some(UNSAID), |its| platform.rank(its));
        match rank {
            Some(rank) if best.is_none_or(|(other, _)| rank < other) => best = Some((rank, entry)),
            Some(_) => {}
            None => others.extend(entry.platform.as_ref().map(Platform::to_string)),
        }
    }
    let found = match others.is_empty() {
        true => "no platform".to_owned(),
        false => others.into_iter().collect::<Vec<_>>().join(", "),
    };
    best.map(|(_, entry)| entry.clone()).ok_or_else(|| Error::Platform {
        of: reference.to_string(),
        found,
        wanted: Box::new(platform.clone()),
    })
}

/// The store's copy, if it has a good one: then nobody needs to be asked.
async fn stored(store: &Store, described: &Descriptor) -> Option<Vec<u8>> {
    let (store, wanted) = (store.clone(), described.clone());
    let read = move || {
        let lease = store.blob(&wanted.digest, wanted.size).ok().flatten()?;
        let mut bytes = Vec::new();
        lease.file().take(wanted.size + 1).read_to_end(&mut bytes).ok()?;
        wanted.describes(&bytes).then_some(bytes)
    };
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

async fn fetched(repository: &Repository, described: &Descriptor) -> Result<Vec<u8>, Error> {
    let mut blob = repository.blob(&described.digest, described.size).await?;
    let mut bytes = Vec::new();
    while let Some(more) = blob.next().await? {
        bytes.extend_from_slice(&more);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_no_more_than_is_fetched() {
        let of = |kind: &str, size| Descriptor::new(kind.into(), Digest::sha256(b""), size);
        let image = |sizes: &[u64]| {
            let kind = "application/vnd.oci.image.layer.v1.tar";
            let layers = sizes.iter().map(|size| of(kind, *size)).collect();
            Manifest::new(of("application/vnd.oci.image.config.v1+json", 2), layers)
        };
        assert!(check_size(&image(&[BYTES / 2, BYTES / 2]), "it").is_ok());
        for sizes in [&[BYTES, 1][..], &[u64::MAX, u64::MAX]] {
            assert!(matches!(check_size(&image(sizes), "it"), Err(Error::TooLarge { .. })));
        }
    }
}
