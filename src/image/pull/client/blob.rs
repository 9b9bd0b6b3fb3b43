//! A blob on its way: it goes on where it was cut.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_RANGE, HeaderValue, RANGE};
use http::{HeaderMap, StatusCode};

use super::Repository;
use super::ask::Source;
use super::range::Range;
use super::wire::{Answer, Body};
use crate::image::Digest;
use crate::image::pull::{Error, Failure};

/// How often in a row it may be cut without moving on, and how many bytes that is.
const CUTS: u32 = 5;
const MOVES: u64 = 64 << 10;
/// How long is waited after the first cut; after each other one twice as long. Half of it either way is
/// chance.
const PAUSE: Duration = Duration::from_millis(100);

/// A blob that is being read: exactly the bytes that its size promised, or an error. Whether they have
/// the digest is for the reader to see.
#[derive(Debug)]
pub struct Blob {
    repository: Repository,
    digest: Digest,
    size: u64,
    come: u64,
    /// Mirrors that have not failed yet, and the registry.
    sources: Vec<Source>,
    body: Option<Body>,
    /// The next bytes, if they came along with others that were there already.
    held: Option<Bytes>,
    cuts: u32,
    /// How many bytes had come when the cuts were counted from none.
    moved: u64,
}

impl Blob {
    pub(super) async fn open(
        repository: Repository,
        sources: Vec<Source>,
        digest: Digest,
        size: u64,
    ) -> Result<Blob, Error> {
        let (body, held) = (None, None);
        let mut blob =
            Blob { repository, digest, size, come: 0, sources, body, held, cuts: 0, moved: 0 };
        while let Err(failure) = blob.reach().await {
            blob.survive(failure).await?;
        }
        Ok(blob)
    }

    /// The next bytes; `None` when all have come.
    ///
    /// # Errors
    /// They don't come, or there are more or fewer than were promised.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.step().await {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => self.survive(failure).await?,
            }
        }
    }

    /// How many bytes have come.
    #[must_use]
    pub fn come(&self) -> u64 {
        self.come
    }

    async fn step(&mut self) -> Result<Option<Bytes>, Failure> {
        let missing = self.size - self.come;
        if self.body.is_none() {
            if missing == 0 {
                return Ok(None);
            }
            self.reach().await?;
        }
        let Some(body) = &mut self.body else { return Ok(None) };
        let bytes = match self.held.take() {
            Some(bytes) => Some(bytes),
            None => body.next().await?,
        };
        let host = || body.host().to_owned();
        match bytes {
            Some(bytes) if bytes.len() as u64 > missing => {
                let what = format!("more than the {} bytes that were promised", self.size);
                Err(Failure::Answer { host: host(), what })
            }
            Some(bytes) => {
                self.come += bytes.len() as u64;
                Ok(Some(bytes))
            }
            None if missing > 0 => {
                let source = format!("{missing} of {} bytes are missing", self.size).into();
                Err(Failure::Broken { host: host(), source })
            }
            None => {
                self.body = None;
                Ok(None)
            }
        }
    }

    /// Asks the first source for what is missing.
    async fn reach(&mut self) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        if self.come > 0 {
            let range = HeaderValue::try_from(format!("bytes={}-", self.come));
            headers.extend(range.ok().map(|range| (RANGE, range)));
        }
        let Some(source) = self.sources.first() else { return Ok(()) };
        let what = format!("blobs/{}", self.digest);
        let answer = self.repository.get(source, &what, &headers).await?;
        let there = self.check(&answer)?;
        let mut body = answer.body;
        self.held = pass_over(&mut body, there).await?;
        self.body = Some(body);
        Ok(())
    }

    /// How many bytes of the answer are there already, if it fits.
    fn check(&self, answer: &Answer) -> Result<u64, Failure> {
        let Blob { come, size, .. } = *self;
        let wrong = |what| Err(Failure::Answer { host: answer.host(), what });
        let (there, wanted) = match answer.head.status {
            StatusCode::PARTIAL_CONTENT => {
                let said =
                    answer.head.headers.get(CONTENT_RANGE).and_then(|said| said.to_str().ok());
                let range = said.and_then(Range::parse).filter(|range| range.continues(come, size));
                match range {
                    Some(range) if come > 0 => (0, range.length()),
                    _ => return wrong(format!("another part than from byte {come} of {size} on")),
                }
            }
            _ => (come, size),
        };
        match answer.length() {
            Some(length) if length != wanted => {
                wrong(format!("{length} bytes where {wanted} were promised"))
            }
            _ => Ok(there),
        }
    }

    /// Gets ready for another try, if there is to be one: a mirror is given up, the registry waited for.
    async fn survive(&mut self, failure: Failure) -> Result<(), Error> {
        (self.body, self.held) = (None, None);
        if self.come - self.moved >= MOVES {
            (self.cuts, self.moved) = (0, self.come);
        }
        if self.come == self.size && self.size > 0 && failure.is_transient() {
            return Ok(());
        }
        if self.sources.len() > 1 {
            let mirror = self.sources.remove(0);
            tracing::debug!(mirror = %mirror.origin, blob = %self.digest, %failure, "mirror failed");
            return Ok(());
        }
        // One that is asked too often isn't asked more often.
        let busy = matches!(failure, Failure::Status { status: 429, .. });
        if self.cuts == CUTS || busy || !failure.is_transient() {
            return Err(self.repository.told(format!("blob {}", self.digest), failure));
        }
        self.cuts += 1;
        tokio::time::sleep(pause(self.cuts, random())).await;
        Ok(())
    }
}

/// Reads `count` bytes and gives back what came along behind them.
async fn pass_over(body: &mut Body, mut count: u64) -> Result<Option<Bytes>, Failure> {
    while count > 0 {
        let Some(mut bytes) = body.next().await? else { return Ok(None) };
        let old = bytes.len().min(usize::try_from(count).unwrap_or(usize::MAX));
        let new = bytes.split_off(old);
        count -= old as u64;
        if !new.is_empty() {
            return Ok(Some(new));
        }
    }
    Ok(None)
}

/// How long to wait after so many cuts.
fn pause(cuts: u32, random: u8) -> Duration {
    let whole = PAUSE * 2u32.saturating_pow(cuts.saturating_sub(1));
    whole / 2 + whole * u32::from(random) / 255
}

fn random() -> u8 {
    let mut byte = [0];
    // Without chance the pause is the same for all, which is bearable.
    let _ = rustix::rand::getrandom(&mut byte, rustix::rand::GetRandomFlags::empty());
    byte[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_vary_by_half() {
        let pauses = |random| [1, 2, 5].map(|cuts| pause(cuts, random).as_millis());
        assert_eq!((pauses(0), pauses(255)), ([50, 100, 800], [150, 300, 2400]));
    }
}
