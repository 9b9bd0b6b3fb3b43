//! A blob on its way.

use bytes::Bytes;

use super::Repository;
use super::wire::{Answer, Body};
use crate::image::Digest;
use crate::image::pull::{Error, Failure};

/// A blob that is being read: exactly the bytes that its size promised, or an error. Whether they have
/// the digest is for the reader to see.
#[derive(Debug)]
pub struct Blob {
    repository: Repository,
    digest: Digest,
    size: u64,
    come: u64,
    body: Body,
}

impl Blob {
    pub(super) fn open(
        repository: Repository,
        digest: Digest,
        size: u64,
        answer: Answer,
    ) -> Result<Blob, Failure> {
        if let Some(length) = answer.length().filter(|length| *length != size) {
            let what = format!("{length} bytes where {size} were promised");
            return Err(Failure::Answer { host: answer.host(), what });
        }
        Ok(Blob { repository, digest, size, come: 0, body: answer.body })
    }

    /// The next bytes; `None` when all have come.
    ///
    /// # Errors
    /// They don't come, or there are more or fewer than were promised.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let told = |failure| self.repository.told(format!("blob {}", self.digest), failure);
        let bytes = self.body.next().await.map_err(told)?;
        self.come += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let wrong = match bytes {
            Some(_) => self.come > self.size,
            None => self.come < self.size,
        };
        if wrong {
            let what = format!("{} bytes where {} were promised", self.come, self.size);
            return Err(told(Failure::Answer { host: self.body.host().to_owned(), what }));
        }
        Ok(bytes)
    }

    /// How many bytes have come.
    #[must_use]
    pub fn come(&self) -> u64 {
        self.come
    }
}
