//! The tar file around an archive: where its members are, and how one is written.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Error;
use super::members::Member;
use super::region::Region;
use crate::image::excerpt;
use crate::image::unpack::tar::{BLOCK, Blocks, Kind, Reader};
use crate::image::unpack::{self, Cause, Refusal};

/// How many bytes the list of members may cost.
const LIST_LIMIT: u64 = 16 << 20;
/// What a member costs beside its names.
const MEMBER: u64 = 128;

/// Lists the members of a tar file. What they hold is passed over.
pub(super) fn list(file: &Region, from: &Path) -> Result<BTreeMap<String, Member>, Error> {
    let mut members = BTreeMap::new();
    let mut reader = Reader::new(At { file, at: 0, piece: [0; BLOCK] });
    let mut cost = 0;
    while let Some(entry) = reader.next().map_err(|error| no_tar(error, from))? {
        let link = match &entry.kind {
            Kind::Symlink(target) => target.len(),
            _ => 0,
        };
        cost += MEMBER + (entry.name.len() + link) as u64;
        if cost > LIST_LIMIT {
            let (what, limit) = ("bytes of names of members", LIST_LIMIT);
            return Err(Error::Limit { from: from.to_owned(), what, limit });
        }
        let Some(name) = plain(&entry.name) else {
            return Err(Error::member(&shown(&entry.name), "has a name that leads elsewhere"));
        };
        let member = match entry.kind {
            Kind::File(None) => Member::File { offset: reader.blocks().at, len: entry.size },
            Kind::File(Some(_)) => Member::Other("a file with holes"),
            Kind::Directory => Member::Directory,
            Kind::Symlink(target) => match String::from_utf8(target) {
                Ok(target) => Member::Symlink(target),
                Err(_) => Member::Other("a symbolic link"),
            },
            Kind::HardLink(_) => Member::Other("a hard link"),
            Kind::Fifo => Member::Other("a FIFO"),
            Kind::Device => Member::Other("a device"),
        };
        let directory = member == Member::Directory;
        match members.insert(name.clone(), member) {
            Some(Member::Directory) if directory => {}
            Some(_) => return Err(Error::member(&name, "is there twice")),
            None => {}
        }
    }
    Ok(members)
}

fn no_tar(error: unpack::Error, from: &Path) -> Error {
    let (from, (place, cause)) = (from.to_owned(), error.into_parts());
    match (place, cause) {
        // Not even its first block is a header, so it is something else.
        (Some(place), Cause::Refused(Refusal::Checksum)) if place.number == 1 => {
            Error::Unknown { from, why: "is no tar file" }
        }
        (place, cause) => {
            let member = place.map_or_else(String::new, |place| excerpt(&place.name));
            match cause {
                Cause::Truncated => Error::member(&member, "is where the archive is cut off"),
                cause => Error::Tar { from, member, source: cause },
            }
        }
    }
}

/// The name as others give it: without what `tar` writes before and behind it. `None` if it is no
/// plain path in the archive.
fn plain(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let inner = name.strip_suffix('/').unwrap_or(name);
    let inner = inner.strip_prefix("./").unwrap_or(inner);
    match inner == "." || inner.split('/').all(|part| !matches!(part, "" | "." | "..")) {
        true => Some(inner.to_owned()),
        false => None,
    }
}

fn shown(name: &[u8]) -> String {
    excerpt(&String::from_utf8_lossy(name))
}

/// The blocks of a region, read by position, so that content is passed over without being read.
struct At<'a> {
    file: &'a Region,
    at: u64,
    piece: [u8; BLOCK],
}

impl Blocks for At<'_> {
    fn block(&mut self) -> Result<Option<&[u8; BLOCK]>, Cause> {
        if self.at == self.file.len {
            return Ok(None);
        }
        self.fill(BLOCK)?;
        Ok(Some(&self.piece))
    }

    fn some(&mut self, most: u64) -> Result<&[u8], Cause> {
        let len = usize::try_from(most).unwrap_or(BLOCK).min(BLOCK);
        self.fill(len)?;
        Ok(&self.piece[..len])
    }

    fn pass(&mut self, most: u64) -> Result<u64, Cause> {
        self.take(most)?;
        Ok(most)
    }
}

impl At<'_> {
    fn fill(&mut self, len: usize) -> Result<(), Cause> {
        let at = self.file.offset + self.at;
        self.take(len as u64)?;
        let read = self.file.file.read_exact_at(&mut self.piece[..len], at);
        read.map_err(|source| Cause::System { call: "read".into(), source })
    }

    fn take(&mut self, bytes: u64) -> Result<(), Cause> {
        if bytes > self.file.len - self.at {
            return Err(Cause::Truncated);
        }
        self.at += bytes;
        Ok(())
    }
}

/// Writes a tar file: members of root, of no time, so that the same members give the same bytes.
pub(super) struct Writer<W> {
    to: W,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(to: W) -> Writer<W> {
        Writer { to }
    }

    pub(super) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.header(name, 0, b'5', 0o755)
    }

    /// A member of so many bytes, which must come.
    pub(super) fn file(&mut self, name: &str, len: u64, from: &mut dyn Read) -> io::Result<()> {
        self.start(name, len)?;
        self.content(len, from)
    }

    /// What stands before a member's bytes.
    pub(super) fn start(&mut self, name: &str, len: u64) -> io::Result<()> {
        // What the header has digits for.
        if len >= 1 << 33 {
            let record = record("size", len);
            self.header("pax", record.len() as u64, b'x', 0o644)?;
            self.content(record.len() as u64, &mut record.as_bytes())?;
        }
        self.header(name, if len >= 1 << 33 { 0 } else { len }, b'0', 0o644)
    }

    fn content(&mut self, len: u64, from: &mut dyn Read) -> io::Result<()> {
        let copied = io::copy(from, &mut self.to)?;
        if copied != len {
            let why = format!("there were {copied} bytes, not {len}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let padding = (len.wrapping_neg() % BLOCK as u64) as usize;
        self.to.write_all(&[0; BLOCK][..padding])
    }

    fn header(&mut self, name: &str, len: u64, kind: u8, mode: u32) -> io::Result<()> {
        let mut block = [0; BLOCK];
        if name.len() > 100 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name is too long"));
        }
        block[..name.len()].copy_from_slice(name.as_bytes());
        for (at, digits) in [
            (100, format!("{mode:07o}")),
            (108, "0000000".to_owned()),
            (116, "0000000".to_owned()),
            (124, format!("{len:011o}")),
            (136, "00000000000".to_owned()),
        ] {
            block[at..at + digits.len()].copy_from_slice(digits.as_bytes());
        }
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        // The sum counts its own field as spaces.
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.to.write_all(&block)
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        self.to.flush()
    }
}

#[cfg(test)]
impl<W> Writer<W> {
    pub(super) fn into_inner(self) -> W {
        self.to
    }
}

/// `LENGTH KEY=VALUE\n`, the length being that of the whole.
fn record(key: &str, value: u64) -> String {
    let rest = format!(" {key}={value}\n");
    let mut len = rest.len();
    while len != rest.len() + len.to_string().len() {
        len = rest.len() + len.to_string().len();
    }
    format!("{len}{rest}")
}
