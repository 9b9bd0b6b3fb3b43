//! What can go wrong on the way from a registry.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::image::load::LoadError;
use crate::image::{Digest, DocumentError, Platform, quoted};

/// Why an image did not come. `Display` tells this level; the source, why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A registry was asked, and what was wanted did not come.
    #[error("{asked}")]
    Registry {
        /// Who was asked, and for what.
        asked: Box<Asked>,
        /// Why it did not come.
        #[source]
        failure: Box<Failure>,
    },
    /// A document is not the one that was promised, or makes no sense.
    #[error("{of}")]
    Document {
        /// The image's name.
        of: String,
        /// What is wrong.
        #[source]
        source: DocumentError,
    },
    /// A registry did not say what its document is.
    #[error("{of}: the registry does not say what its manifest is")]
    Untyped {
        /// The image's name.
        of: String,
    },
    /// There is no image for the platform.
    #[error("{of} is for {}, not for {wanted}", quoted(found))]
    Platform {
        /// The image's name.
        of: String,
        /// The platforms that it is for.
        found: String,
        /// The one that was asked for.
        wanted: Box<Platform>,
    },
    /// Indexes lead to indexes.
    #[error("{of}: more than {limit} indexes lead to one another")]
    Depth {
        /// The image's name.
        of: String,
        /// How many are followed.
        limit: usize,
    },
    /// There is more of it than is fetched for one image.
    #[error("{of} has blobs of {bytes} bytes, more than {limit}")]
    TooLarge {
        /// The image's name.
        of: String,
        /// What its manifest says that they have.
        bytes: u64,
        /// How many are fetched.
        limit: u64,
    },
    /// What came could not be taken into the store.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The system gave no thread to unpack on.
    #[error("no thread to unpack on")]
    Thread {
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Whoever pulled was stopped: its runtime shut down, or its thread panicked.
    #[error("the pull was stopped")]
    Interrupted,
    /// Another caller wanted the same, and this came of it.
    #[error(transparent)]
    Shared(Arc<Error>),
    /// The settings of a registry make no sense.
    #[error("the settings' registry {registry:?} {why}")]
    Settings {
        /// The registry.
        registry: String,
        /// What is wrong with it.
        why: String,
    },
}

/// What a registry was asked for. Its text has no secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Asked {
    /// The registry, as in the image's name.
    pub registry: String,
    /// The repository in it; none where nothing but the registry was asked for.
    pub repository: Option<String>,
    /// What was asked for, such as `manifest latest`.
    pub what: String,
}

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The host's name leads nowhere.
    #[error("the name {host} was not found")]
    Name {
        /// The name.
        host: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Nobody took the connection.
    #[error("no connection to {host}")]
    Connect {
        /// Who should have: host and port.
        host: String,
        /// The answer of the last address that was tried.
        #[source]
        source: io::Error,
    },
    /// No connection that can be trusted.
    #[error("no TLS with {host}")]
    Tls {
        /// Host and port.
        host: String,
        /// What was wrong.
        #[source]
        source: io::Error,
    },
    /// A certificate or key could not be read.
    #[error("{} {why}", path.display())]
    Certificate {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The registry sent us to a place that only those inside should reach.
    #[error("{host} has the {zone} address {address}: the registry may not send there")]
    Forbidden {
        /// Where it sent us: host and port.
        host: String,
        /// What the host's name stands for.
        address: IpAddr,
        /// What kind of address that is.
        zone: &'static str,
    },
    /// Time is up.
    #[error("{host} let {what} wait for more than {} s", limit.as_secs_f32())]
    TimedOut {
        /// Who: host and port.
        host: String,
        /// What was waited for.
        what: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// The connection ended too soon, or what came was no HTTP.
    #[error("the connection to {host} broke")]
    Broken {
        /// With whom: host and port.
        host: String,
        /// What was wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not the one that was hoped for.
    #[error("{host} answered {status}{}", said(message.as_deref()))]
    Status {
        /// Who: host and port.
        host: String,
        /// HTTP's number.
        status: u16,
        /// The registry's own words, or their beginning.
        message: Option<String>,
    },
    /// An answer has a part that makes no sense.
    #[error("{host} answered with {what}")]
    Answer {
        /// Who: host and port.
        host: String,
        /// What makes no sense.
        what: String,
    },
    /// The bytes are not those that were promised.
    #[error("{host} sent bytes with the digest {found}, not {promised}")]
    Digest {
        /// Who: host and port.
        host: String,
        /// What came.
        found: Box<Digest>,
        /// What was asked for.
        promised: Box<Digest>,
    },
    /// The manifest has a form that nobody should use any more.
    #[error(
        "{host} has only a manifest of Docker's schema 1, which does not name what it needs by digest: push the image again"
    )]
    Schema1 {
        /// Who: host and port.
        host: String,
    },
    /// A redirection that is not followed.
    #[error("{host} redirects to {to}: {why}")]
    Redirect {
        /// Who redirects: host and port.
        host: String,
        /// Where to, without secrets.
        to: String,
        /// Why it is not followed.
        why: &'static str,
    },
    /// The registry wants a proof of identity that it does not get.
    #[error("{host} wants credentials {why}")]
    Challenge {
        /// Who: host and port.
        host: String,
        /// Why it does not get them.
        why: String,
    },
    /// The place that gives tokens gave none.
    #[error("no token from {realm}")]
    Token {
        /// The place, without secrets.
        realm: String,
        /// Why there is none.
        #[source]
        source: Box<Failure>,
    },
}

fn said(message: Option<&str>) -> String {
    message.map_or(String::new(), |message| format!(": {message:?}"))
}

impl Error {
    /// HTTP's status, if a registry answered with one that is no success.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.failure()?.status()
    }

    /// Whether time ran out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.failure().is_some_and(Failure::is_timeout)
    }

    /// Whether the same may go well another time: the network failed, or the registry has too much to do
    /// or trouble of its own.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.failure().is_some_and(Failure::is_transient)
    }

    fn failure(&self) -> Option<&Failure> {
        match self {
            Error::Registry { failure, .. } => Some(failure),
            Error::Shared(error) => error.failure(),
            _ => None,
        }
    }
}

impl Failure {
    fn status(&self) -> Option<u16> {
        match self {
            Failure::Status { status, .. } => Some(*status),
            Failure::Token { source, .. } => source.status(),
            _ => None,
        }
    }

    fn is_timeout(&self) -> bool {
        match self {
            Failure::TimedOut { .. } => true,
            Failure::Token { source, .. } => source.is_timeout(),
            _ => false,
        }
    }

    pub(super) fn is_transient(&self) -> bool {
        match self {
            Failure::Name { source, .. } => source.kind() != io::ErrorKind::InvalidInput,
            Failure::Connect { .. } | Failure::TimedOut { .. } | Failure::Broken { .. } => true,
            // What is wrong with a certificate stays wrong.
            Failure::Tls { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
            }
            Failure::Status { status, .. } => *status == 429 || *status >= 500,
            Failure::Token { source, .. } => source.is_transient(),
            _ => false,
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Asked { registry, repository, what } = self;
        match repository {
            Some(repository) => {
                write!(f, "the registry {registry} did not give {repository}'s {what}")
            }
            None => write!(f, "the registry {registry} did not give {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_index_says_of_platforms_stays_in_a_line() {
        let found = format!("\u{1b}[2J\nlinux/{}", "x".repeat(1 << 20));
        let wanted = Box::new(Platform::new("linux", "amd64"));
        let text = Error::Platform { of: "r.example/app:1".to_owned(), found, wanted }.to_string();
        assert!(text.len() < 300 && !text.contains(char::is_control), "{text}");
    }
}
