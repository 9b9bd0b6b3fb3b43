//! What can go wrong while a layer is unpacked, and at which entry.

use std::borrow::Cow;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use super::limits::Limit;
use super::tar::Refusal;

/// How much of a name an error text shows.
const SHOWN: usize = 200;

/// Which entry of an archive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Counted from 1.
    pub number: u64,
    /// Its name as it stands in the archive; the first 200 bytes, and what is no UTF-8 replaced.
    pub name: String,
}

impl Place {
    pub(super) fn new(number: u64, name: &[u8]) -> Place {
        let shown = &name[..name.len().min(SHOWN)];
        Place { number, name: String::from_utf8_lossy(shown).into_owned() }
    }
}

/// A layer was not unpacked: the cause, and the entry at which it showed itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Error {
    entry: Option<Place>,
    cause: Cause,
}

impl Error {
    pub(super) fn new(entry: Option<Place>, cause: Cause) -> Error {
        Error { entry, cause }
    }

    /// The archive has more bytes than it may, which was seen before it was read.
    #[cfg(feature = "pull")]
    pub(in crate::image) fn too_long(most: u64) -> Error {
        Error::new(None, Cause::Limit { limit: Limit::ArchiveBytes, most })
    }

    /// The entry that was being read or made, if any was.
    #[must_use]
    pub fn entry(&self) -> Option<&Place> {
        self.entry.as_ref()
    }

    /// What was wrong.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Both, to keep.
    pub(crate) fn into_parts(self) -> (Option<Place>, Cause) {
        (self.entry, self.cause)
    }

    /// Whether the archive is to blame, and not this host.
    #[must_use]
    pub fn is_the_archives(&self) -> bool {
        match self.cause {
            Cause::Refused(_) | Cause::Limit { .. } | Cause::Truncated => true,
            Cause::Compression { .. } | Cause::Format(_) => true,
            Cause::System { .. } | Cause::Helper { .. } | Cause::NotServing => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(Place { number, name }) => {
                write!(f, "entry {number} of the layer, {name:?}: {}", self.cause)
            }
            None => write!(f, "{}", self.cause),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.cause)
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Error {
        Error::new(None, cause)
    }
}

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Cause {
    /// An entry that is not taken.
    #[error("{0}")]
    Refused(Refusal),
    /// More than the limits allow.
    #[error("{limit} exceed the limit of {most}")]
    Limit {
        /// Of what there is too much.
        limit: Limit,
        /// How much there may be.
        most: u64,
    },
    /// The layer ends within an entry, or the file before the layer does.
    #[error("the layer is cut off")]
    Truncated,
    /// The compressed stream is damaged.
    #[error("the {format} stream is damaged")]
    Compression {
        /// `gzip` or `zstd`.
        format: Cow<'static, str>,
        /// What its reader says.
        #[source]
        #[serde(with = "as_text")]
        source: io::Error,
    },
    /// The layer is compressed in a way that images are not.
    #[error("the layer is compressed with {0}; gzip, zstd and none are read")]
    Format(Cow<'static, str>),
    /// A system call failed: on reading the layer, or on making what an entry says.
    #[error("{call}")]
    System {
        /// Which one.
        call: Cow<'static, str>,
        /// What the kernel said.
        #[source]
        #[serde(with = "as_text")]
        source: io::Error,
    },
    /// The process that unpacks could not be started, confined or heard to the end. Nothing else is
    /// done instead; [`Unpacker::InProcess`](super::Unpacker::InProcess) has to be asked for.
    #[error("the process that unpacks: {what}")]
    Helper {
        /// What could not be done.
        what: Cow<'static, str>,
        /// Why.
        #[source]
        #[serde(with = "as_text")]
        source: io::Error,
    },
    /// This program was to run a second time to unpack, but does not call
    /// [`serve_if_asked`](super::serve_if_asked) first in its `main`.
    #[error("this program can't be its own unpacker: its main does not call serve_if_asked")]
    NotServing,
}

impl From<Refusal> for Cause {
    fn from(refusal: Refusal) -> Cause {
        Cause::Refused(refusal)
    }
}

impl Cause {
    pub(super) fn system(call: &'static str, source: impl Into<io::Error>) -> Cause {
        Cause::System { call: Cow::Borrowed(call), source: source.into() }
    }

    pub(super) fn helper(what: &'static str, source: impl Into<io::Error>) -> Cause {
        Cause::Helper { what: Cow::Borrowed(what), source: source.into() }
    }
}

/// An error of the operating system on its way from one process to another: its number, or its text.
mod as_text {
    use std::io;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    enum Form {
        Number(i32),
        Text(String),
    }

    pub(super) fn serialize<S: Serializer>(error: &io::Error, to: S) -> Result<S::Ok, S::Error> {
        let form = match error.raw_os_error() {
            Some(number) => Form::Number(number),
            None => Form::Text(error.to_string()),
        };
        form.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<io::Error, D::Error> {
        Ok(match Form::deserialize(from)? {
            Form::Number(number) => io::Error::from_raw_os_error(number),
            Form::Text(text) => io::Error::other(text),
        })
    }
}
