//! One repository of one registry: its manifests and blobs.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use super::address::Reach;
use super::url::Url;
use super::wire::{Answer, Ask};
use super::{Blob, Client};
use crate::image::pull::{Asked, Credentials, Error, Failure};
use crate::image::{DOCUMENT_LIMIT, Digest, Reference};

/// What a manifest may be.
const MANIFESTS: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json",
);

/// A repository, as somebody with certain credentials sees it. A clone is the same.
#[derive(Clone)]
pub struct Repository {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) client: Client,
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

    /// Asks for a manifest or an index.
    ///
    /// # Errors
    /// It does not come, is too long, or is not what its digest promised.
    pub async fn manifest(&self, which: Which<'_>) -> Result<Found, Error> {
        let told = |failure| self.told(format!("manifest {which}"), failure);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, MANIFESTS);
        let answer = self.ask(&format!("manifests/{which}"), headers).await.map_err(told)?;
        let media_type =
            answer.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type
            .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let from = self.inner.client.origin(&self.inner.registry).map_err(told)?;
        let bytes = answer.body.whole("a manifest", DOCUMENT_LIMIT).await.map_err(told)?;
        if let Which::Digest(promised) = which {
            let found = Digest::of(promised.algorithm(), &bytes);
            if found != *promised {
                let host = from.authority();
                let (found, promised) = (Box::new(found), Box::new(*promised));
                return Err(told(Failure::Digest { host, found, promised }));
            }
        }
        Ok(Found { bytes, media_type, from: from.to_string() })
    }

    /// Opens a blob of `size` bytes to be read.
    ///
    /// # Errors
    /// It does not come, or is said to have another size.
    pub async fn blob(&self, digest: &Digest, size: u64) -> Result<Blob, Error> {
        let told = |failure| self.told(format!("blob {digest}"), failure);
        let answer = self.ask(&format!("blobs/{digest}"), HeaderMap::new()).await.map_err(told)?;
        Blob::open(self.clone(), *digest, size, answer).map_err(told)
    }

    async fn ask(&self, what: &str, headers: HeaderMap) -> Result<Answer, Failure> {
        let Inner { client, registry, name, .. } = &*self.inner;
        let url = Url::new(client.origin(registry)?, format!("/v2/{name}/{what}"));
        good(client.inner.wire.send(&Ask::get(headers), &url, Reach::Anywhere).await?).await
    }

    pub(super) fn told(&self, what: String, failure: Failure) -> Error {
        let (registry, name) = (self.inner.registry.clone(), self.inner.name.clone());
        let asked = Asked { registry, repository: Some(name), what };
        Error::Registry { asked: Box::new(asked), failure: Box::new(failure) }
    }
}

pub(super) async fn good(answer: Answer) -> Result<Answer, Failure> {
    match answer.head.status.as_u16() {
        200 => Ok(answer),
        status => Err(Failure::Status { host: answer.host(), status, message: None }),
    }
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
