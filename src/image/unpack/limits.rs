//! How much one layer may ask for, counted while it streams.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::Cause;

/// How much one layer may ask for. The defaults leave room for every honest image known, and end a
/// bomb within seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the layer's archive after decompression, and bytes of its files with their holes
    /// counted as if they were full: each may be this much. 16 GiB.
    pub bytes: u64,
    /// Entries. 2 million.
    pub entries: u64,
    /// How many times larger than its compressed form the archive may be, once it is larger than
    /// [`free_bytes`](Limits::free_bytes). 200.
    pub ratio: u64,
    /// Up to this size nobody asks for the ratio. 256 MiB.
    pub free_bytes: u64,
    /// Directories in one another. 256; each costs a descriptor while something in it is unpacked.
    pub depth: u64,
    /// Bytes of a whole name. 4096.
    pub path_bytes: u64,
    /// The window of a zstd stream as a power of two, in memory while it is read. 25: 32 MiB.
    pub zstd_window_log: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            bytes: 16 << 30,
            entries: 2_000_000,
            ratio: 200,
            free_bytes: 256 << 20,
            depth: 256,
            path_bytes: 4096,
            zstd_window_log: 25,
        }
    }
}

/// Of what a layer has too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes after decompression.
    ArchiveBytes,
    /// Bytes of its files.
    FileBytes,
    /// Entries.
    Entries,
    /// Bytes after decompression for each before.
    Ratio,
    /// Directories in one another.
    Depth,
    /// Bytes of a name.
    PathBytes,
    /// The window of a zstd stream, as a power of two.
    ZstdWindow,
}

impl Limit {
    /// The error that says so.
    pub(super) fn exceeded(self, most: u64) -> Cause {
        Cause::Limit { limit: self, most }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::ArchiveBytes => "the layer's bytes after decompression",
            Limit::FileBytes => "the bytes of the layer's files",
            Limit::Entries => "the layer's entries",
            Limit::Ratio => "the layer's bytes after decompression for each before",
            Limit::Depth => "directories in one another",
            Limit::PathBytes => "the bytes of a name",
            Limit::ZstdWindow => "the bits of the zstd window's size",
        })
    }
}
