//! Lists of samples: their text in a database column, and how a long one is thinned.
//!
//! With the feature `rusqlite` or `sqlx`, [`Stats`] goes into a text column of that crate's
//! databases as it is.

use std::fmt;
use std::ops::{Deref, DerefMut};

use thiserror::Error;

use crate::contract::Stat;

mod codec;
mod decimate;
mod meter;
#[cfg(any(feature = "rusqlite", feature = "sqlx"))]
mod sql;
mod timestamp;
#[cfg(test)]
mod vectors;

pub use decimate::decimate;
pub(crate) use meter::Meter;

/// The samples of a call, oldest first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Stats(pub Vec<Stat>);

/// Why a text is no list of samples.
#[derive(Error, Debug)]
#[non_exhaustive]
pub enum ScanError {
    /// The text is not one JSON value.
    #[error("the text is not JSON")]
    Syntax(#[source] serde_json::Error),
    /// The text is JSON, but not of samples: another type, a number that 64 bits without sign can't
    /// hold, a timestamp in no known form.
    #[error("the JSON is not a list of samples")]
    Shape(#[source] serde_json::Error),
}

impl Stats {
    /// The text for a database column: nothing for no samples, else a JSON list and a newline.
    ///
    /// It is what Go's `json.Encoder` writes: RFC 3339 times in UTC, cut to milliseconds, metrics
    /// sorted by name, `null` for those of a sample without a map.
    #[must_use]
    pub fn to_text(&self) -> String {
        codec::write(&self.0)
    }

    /// Reads a column's text; nothing and `null` are `None`, which is Go's nil list.
    ///
    /// It accepts what Go's `json.Unmarshal` does: names of fields in any case, unknown fields, a
    /// timestamp that is missing or `null` (the year 1), metrics that are (`None`). A timestamp is
    /// RFC 3339 with any fraction of a second and any offset, or without offset, which means UTC;
    /// an empty one is the Unix epoch.
    ///
    /// A column of another type is scanned by its text, which is never a list.
    ///
    /// # Errors
    ///
    /// If the text is no JSON, or not of samples. Unlike Go's, the caller's list is never half
    /// filled then.
    pub fn scan(text: &str) -> Result<Option<Stats>, ScanError> {
        codec::read(text.as_bytes())
    }

    /// Reads a column's bytes as [`Stats::scan`] does its text; what is not UTF-8 in a name becomes
    /// U+FFFD.
    ///
    /// # Errors
    ///
    /// As [`Stats::scan`].
    pub fn scan_bytes(bytes: &[u8]) -> Result<Option<Stats>, ScanError> {
        codec::read(bytes)
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl Deref for Stats {
    type Target = Vec<Stat>;

    fn deref(&self) -> &Vec<Stat> {
        &self.0
    }
}

impl DerefMut for Stats {
    fn deref_mut(&mut self) -> &mut Vec<Stat> {
        &mut self.0
    }
}

impl From<Vec<Stat>> for Stats {
    fn from(stats: Vec<Stat>) -> Stats {
        Stats(stats)
    }
}

impl FromIterator<Stat> for Stats {
    fn from_iter<I: IntoIterator<Item = Stat>>(stats: I) -> Stats {
        Stats(stats.into_iter().collect())
    }
}

impl IntoIterator for Stats {
    type Item = Stat;
    type IntoIter = std::vec::IntoIter<Stat>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Stats {
    type Item = &'a Stat;
    type IntoIter = std::slice::Iter<'a, Stat>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
