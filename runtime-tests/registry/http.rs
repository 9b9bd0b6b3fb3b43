//! Requests as they are read, and what they ask for.

use std::io::{self, BufRead, Read};

/// What no request of an honest client comes near to.
const MOST: u64 = 1 << 20;

/// One request with everything that came with it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// What a request means to a registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    Version,
    Manifest { repository: String, reference: String },
    Blob { repository: String, digest: String },
    Token,
    Other,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// What follows the scheme's name in `Authorization`.
    pub fn shown(&self, scheme: &str) -> Option<&str> {
        let (given, rest) = self.header("authorization")?.split_once(' ')?;
        given.eq_ignore_ascii_case(scheme).then_some(rest)
    }

    /// The bytes that `Range: bytes=FIRST-[LAST]` names, of so many.
    pub fn range(&self, length: usize) -> Option<(usize, usize)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let first: usize = first.parse().ok()?;
        let last = last.parse().unwrap_or(usize::MAX).min(length.checked_sub(1)?);
        (first <= last).then_some((first, last + 1))
    }

    pub fn asked(&self) -> Asked {
        let own = |text: &str| text.to_owned();
        if self.path == "/token" {
            return Asked::Token;
        }
        let Some(path) = self.path.strip_prefix("/v2/") else { return Asked::Other };
        if path.is_empty() {
            return Asked::Version;
        }
        if let Some((repository, reference)) = path.rsplit_once("/manifests/") {
            return Asked::Manifest { repository: own(repository), reference: own(reference) };
        }
        match path.rsplit_once("/blobs/") {
            Some((repository, digest)) => {
                Asked::Blob { repository: own(repository), digest: own(digest) }
            }
            None => Asked::Other,
        }
    }

    /// Everything that was said, to look for what should not have been.
    pub fn text(&self) -> String {
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("{} {}?{}\n{headers}\n{}", self.method, self.path, self.query, self.body)
    }
}

/// The next request of a connection; nothing when the client has ended it.
pub fn read(from: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut left = MOST;
    // Who speaks TLS, or something else, would wait for an answer as long as this for a line.
    if from.fill_buf()?.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let Some(first) = line(from, &mut left)? else { return Ok(None) };
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = Vec::new();
    while let Some(line) = line(from, &mut left)?.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut request = Request { method, path, query, headers, body: String::new() };
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; usize::try_from(MOST.min(length)).unwrap()];
    from.read_exact(&mut body)?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(request))
}

fn line(from: &mut impl BufRead, left: &mut u64) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = from.take(*left).read_until(b'\n', &mut line)?;
    *left -= read as u64;
    match line.strip_suffix(b"\n") {
        Some(line) => Ok(Some(String::from_utf8_lossy(line).trim_end_matches('\r').to_owned())),
        None if line.is_empty() && *left > 0 => Ok(None),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}
