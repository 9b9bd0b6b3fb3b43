//! One repository of one registry: its manifests and blobs.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::ask::Source;
use super::wire::Answer;
use super::{Blob, Client, blocking};
use crate::image::pull::{Asked, Credentials, Error, Failure};
use crate::image::{DOCUMENT_LIMIT, Digest, Reference};

/// What a manifest may be.
const MANIFESTS: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json",
);

/// How the names of manifests begin that nobody should use any more.
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";

/// A repository, as somebody with certain credentials sees it. A clone is the same.
#[derive(Clone)]
pub struct Repository {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    client: Client,
    registry: String,
    name: String,
    credentials: Credentials,
}

/// Which manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which<'a> {
    /// The one that the tag names now.
    Tag(&'a str),
    /// The one with the digest.
    Digest(&'a Digest),
}

/// A manifest that a registry gave.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The manifest, at most [`DOCUMENT_LIMIT`] bytes. If it was asked for by digest, it has the digest.
    pub bytes: Bytes,
    /// What the registry says that it is, in lower case and without parameters.
    pub media_type: Option<String>,
    /// Who gave it: the registry or a mirror, as `https://HOST[:PORT]`.
    pub from: String,
}

impl Repository {
    pub(super) fn new(
        client: Client,
        reference: &Reference,
        credentials: &Credentials,
    ) -> Repository {
        let (registry, name) = (reference.registry().to_owned(), reference.repository().to_owned());
        let credentials = credentials.clone();
        Repository { inner: Arc::new(Inner { client, registry, name, credentials }) }
    }

    /// Asks for a manifest or an index: mirrors first, then the registry.
    ///
    /// # Errors
    /// It does not come, is too long, or is not what its digest promised.
    pub async fn manifest(&self, which: Which<'_>) -> Result<Found, Error> {
        let told = |failure| self.told(format!("manifest {which}"), failure);
        let Inner { client, registry, credentials, .. } = &*self.inner;
        for mirror in client.mirrors(registry) {
            match self.manifest_of(&mirror, which).await {
                Ok(found) => return Ok(found),
                Err(failure) => {
                    tracing::debug!(mirror = %mirror.origin, %which, %failure, "mirror failed");
                }
            }
        }
        let source = client.source(registry, credentials).await.map_err(told)?;
        self.manifest_of(&source, which).await.map_err(told)
    }

    async fn manifest_of(&self, source: &Source, which: Which<'_>) -> Result<Found, Failure> {
        let headers = HeaderMap::from_iter([(ACCEPT, MANIFESTS)]);
        let answer = self.get(source, &format!("manifests/{which}"), &headers).await?;
        let host = answer.host();
        if answer.head.status != StatusCode::OK {
            return Err(Failure::Answer { host, what: "a part of a manifest".to_owned() });
        }
        let media_type = answer.head.headers.get(CONTENT_TYPE).and_then(media_type);
        if media_type.as_ref().is_some_and(|media_type| media_type.starts_with(SCHEMA_1)) {
            return Err(Failure::Schema1 { host });
        }
        let bytes = answer.body.whole("a manifest", DOCUMENT_LIMIT).await?;
        if let Which::Digest(promised) = which {
            let (algorithm, hashed) = (promised.algorithm(), bytes.clone());
            let found = blocking(move || Digest::of(algorithm, &hashed)).await;
            if found != *promised {
                let (found, promised) = (Box::new(found), Box::new(*promised));
                return Err(Failure::Digest { host, found, promised });
            }
        }
        Ok(Found { bytes, media_type, from: source.origin.to_string() })
    }

    /// Opens a blob of `size` bytes to be read.
    ///
    /// # Errors
    /// It does not come, or is said to have another size.
    pub async fn blob(&self, digest: &Digest, size: u64) -> Result<Blob, Error> {
        let Inner { client, registry, credentials, .. } = &*self.inner;
        let told = |failure| self.told(format!("blob {digest}"), failure);
        let mut sources = client.mirrors(registry);
        sources.push(client.source(registry, credentials).await.map_err(told)?);
        Blob::open(self.clone(), sources, *digest, size).await
    }

    pub(super) async fn get(
        &self,
        source: &Source,
        what: &str,
        headers: &HeaderMap,
    ) -> Result<Answer, Failure> {
        let Inner { client, name, .. } = &*self.inner;
        client.inner.asker.get(source, Some(name), what, headers).await
    }

    pub(super) fn told(&self, what: String, failure: Failure) -> Error {
        let (registry, name) = (self.inner.registry.clone(), self.inner.name.clone());
        let asked = Asked { registry, repository: Some(name), what };
        Error::Registry { asked: Box::new(asked), failure: Box::new(failure) }
    }
}

/// A media type without its parameters.
fn media_type(value: &HeaderValue) -> Option<String> {
    let name = value.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase();
    (!name.is_empty()).then_some(name)
}

impl fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::Tag(tag) => f.write_str(tag),
            Which::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({}/{})", self.inner.registry, self.inner.name)
    }
}
