//! A part of a file that holds one blob.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A part of a file. It is read by position, so readers do not disturb each other.
#[derive(Clone, Debug)]
pub struct Region {
    /// The file.
    pub file: Arc<File>,
    /// Where the part begins, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub len: u64,
}

impl Region {
    /// The whole file, as long as it is now.
    ///
    /// # Errors
    /// What `fstat` says.
    pub fn whole(file: File) -> io::Result<Region> {
        let len = file.metadata()?.len();
        Ok(Region { file: Arc::new(file), offset: 0, len })
    }

    /// Reads it from its beginning.
    #[must_use]
    pub fn reader(&self) -> RegionReader {
        RegionReader { region: self.clone(), at: 0 }
    }

    /// Its first bytes, fewer if it is shorter.
    pub(super) fn head<const N: usize>(&self) -> io::Result<Vec<u8>> {
        let mut head = Vec::with_capacity(N);
        self.reader().take(N as u64).read_to_end(&mut head)?;
        Ok(head)
    }
}

/// Reads a [`Region`]. A file that ends within it is an error.
#[derive(Debug)]
pub struct RegionReader {
    region: Region,
    at: u64,
}

impl Read for RegionReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.region.len - self.at;
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.region.file.read_at(&mut buffer[..wanted], self.region.offset + self.at)?;
        if read == 0 {
            let why = format!("the file ends {left} bytes too early");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        self.at += read as u64;
        Ok(read)
    }
}
