//! What a registry has, and the right answer about it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::answer::Answer;
use super::http::{Asked, Request};

/// Repositories by name.
#[derive(Clone, Default)]
pub struct Content {
    repositories: BTreeMap<String, Repository>,
}

#[derive(Clone, Default)]
struct Repository {
    /// By tag and by digest.
    documents: BTreeMap<String, Document>,
    blobs: BTreeMap<String, Arc<Vec<u8>>>,
}

/// A manifest or an index.
#[derive(Clone)]
pub struct Document {
    pub media_type: String,
    pub bytes: Arc<Vec<u8>>,
}

pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    let mut text = "sha256:".to_owned();
    for byte in sha2::Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

impl Content {
    /// A blob under its digest.
    pub fn blob(&mut self, repository: &str, bytes: impl Into<Vec<u8>>) -> String {
        let bytes = bytes.into();
        let digest = digest(&bytes);
        self.blob_as(repository, &digest, bytes);
        digest
    }

    /// A blob under a digest that may be another's.
    pub fn blob_as(&mut self, repository: &str, digest: &str, bytes: impl Into<Vec<u8>>) {
        let blobs = &mut self.repositories.entry(repository.to_owned()).or_default().blobs;
        blobs.insert(digest.to_owned(), Arc::new(bytes.into()));
    }

    /// A manifest or an index, under its digest and under a tag.
    pub fn document(
        &mut self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> String {
        let (media_type, bytes) = (media_type.to_owned(), Arc::new(bytes.into()));
        let digest = digest(&bytes);
        let documents = &mut self.repositories.entry(repository.to_owned()).or_default().documents;
        for name in tag.into_iter().chain([digest.as_str()]) {
            let document = Document { media_type: media_type.clone(), bytes: Arc::clone(&bytes) };
            documents.insert(name.to_owned(), document);
        }
        digest
    }

    /// The first image of an OCI layout, tagged. Gives the digest of its manifest.
    pub fn layout(&mut self, repository: &str, tag: &str, dir: &Path) -> String {
        let at = |digest: &str| dir.join("blobs").join(digest.replace(':', "/"));
        let index: Value =
            serde_json::from_slice(&std::fs::read(dir.join("index.json")).unwrap()).unwrap();
        let named = &index["manifests"][0];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let bytes = std::fs::read(at(&text(&named["digest"]))).unwrap();
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        for blob in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
            let digest = text(&blob["digest"]);
            self.blob_as(repository, &digest, std::fs::read(at(&digest)).unwrap());
        }
        self.document(repository, Some(tag), &text(&named["mediaType"]), bytes)
    }

    /// What an honest registry says.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        if !["GET", "HEAD"].contains(&request.method.as_str()) {
            return Answer::error(405, "UNSUPPORTED", "only pulls");
        }
        let of = |repository: &str| self.repositories.get(repository);
        match request.asked() {
            Asked::Version => Answer::new(200).saying("{}"),
            Asked::Manifest { repository, reference } => {
                match of(&repository).and_then(|found| found.documents.get(&reference)) {
                    Some(document) => Answer::new(200)
                        .with("Content-Type", &document.media_type)
                        .with("Docker-Content-Digest", digest(&document.bytes))
                        .bytes(Arc::clone(&document.bytes)),
                    None => Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
                }
            }
            Asked::Blob { repository, digest } => {
                match of(&repository).and_then(|found| found.blobs.get(&digest)) {
                    Some(bytes) => blob(request, bytes).with("Docker-Content-Digest", digest),
                    None => Answer::error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
                }
            }
            Asked::Token | Asked::Other => Answer::error(404, "UNSUPPORTED", "no such place"),
        }
    }
}

fn blob(request: &Request, bytes: &Arc<Vec<u8>>) -> Answer {
    let answer = Answer::new(200)
        .with("Content-Type", "application/octet-stream")
        .with("Accept-Ranges", "bytes")
        .bytes(Arc::clone(bytes));
    match request.range(bytes.len()) {
        Some((first, end)) => answer
            .status(206)
            .with("Content-Range", format!("bytes {first}-{}/{}", end - 1, bytes.len()))
            .only(first..end),
        None if request.header("range").is_some() => {
            Answer::new(416).with("Content-Range", format!("bytes */{}", bytes.len()))
        }
        None => answer,
    }
}
