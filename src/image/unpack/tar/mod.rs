//! A strict reader of tar archives: it sees what every other program sees, or refuses.
//!
//! Understood are the old format, POSIX's with extended headers, and GNU's long names and sparse
//! files. Programs disagree on much beyond that: sizes that are given twice, extended headers that
//! pile up, numbers with something behind them. Whoever checks an archive with one program and
//! unpacks it with another can be shown two sets of files, so all of this is refused by name.

mod header;
mod pax;
mod record;
mod refusal;
mod sparse;

#[cfg(test)]
pub(super) mod build;
#[cfg(test)]
mod tests;

pub(crate) use header::BLOCK;
use header::{Dialect, Header};
pub(crate) use pax::Attribute;
use pax::Pax;
pub use refusal::Refusal;
pub(crate) use sparse::Sparse;

use super::error::{Cause, Error, Place};

/// The most bytes of one extended header.
const LARGEST_EXTENSION: u64 = 1 << 20;
/// The most bytes of one of GNU's long names: the longest path of Linux, and its end.
const LONGEST_NAME: u64 = 4097;
/// What the header alone can say of a size.
const LARGEST_OCTAL: u64 = 0o77_777_777_777;

/// A point in time, since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    /// Below a billion.
    pub(crate) nanoseconds: u32,
}

/// Where an archive's bytes come from, in pieces.
pub(crate) trait Blocks {
    /// The next block; `None` at the end of everything.
    fn block(&mut self) -> Result<Option<&[u8; BLOCK]>, Cause>;

    /// Some of the next bytes: at least one, at most `most`, which is not 0. Whoever takes less than
    /// a block takes the rest of it before asking for the next.
    fn some(&mut self, most: u64) -> Result<&[u8], Cause>;

    /// Passes over some of the next bytes, at least one and at most `most`, which is not 0; and says
    /// how many.
    fn pass(&mut self, most: u64) -> Result<u64, Cause> {
        self.some(most).map(|piece| piece.len() as u64)
    }
}

/// What an entry is, with what only this kind has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    File(Option<Sparse>),
    Directory,
    Symlink(Vec<u8>),
    /// The name in the archive that it is another name for.
    HardLink(Vec<u8>),
    Fifo,
    Device,
}

/// One entry of an archive. Names are as they stand there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
    /// Permissions, with set-user-id, set-group-id and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    /// How many bytes of content the archive holds.
    pub(crate) size: u64,
    pub(crate) attributes: Vec<Attribute>,
}

/// Headers that say more about the entry behind them.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

/// Reads the entries of an archive one after the other.
pub(crate) struct Reader<B> {
    blocks: B,
    /// How much of the current entry's content has not been read, and how much fills up its block.
    left: u64,
    padding: u64,
    number: u64,
    name: Vec<u8>,
}

impl<B: Blocks> Reader<B> {
    pub(crate) fn new(blocks: B) -> Reader<B> {
        Reader { blocks, left: 0, padding: 0, number: 0, name: Vec::new() }
    }

    /// The entry that was read last, or whose header was.
    pub(crate) fn place(&self) -> Option<Place> {
        (self.number > 0).then(|| Place::new(self.number, &self.name))
    }

    /// Where the bytes come from.
    pub(crate) fn blocks(&self) -> &B {
        &self.blocks
    }

    /// The next entry; what is left of the last one's content is skipped. `None` once the archive is
    /// read to the last byte.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Error> {
        self.read_next().map_err(|cause| Error::new(self.place(), cause))
    }

    /// The next piece of the current entry's content; `None` at its end.
    pub(crate) fn content(&mut self) -> Result<Option<&[u8]>, Cause> {
        if self.left == 0 {
            return Ok(None);
        }
        let piece = self.blocks.some(self.left)?;
        self.left -= piece.len() as u64;
        Ok(Some(piece))
    }

    fn read_next(&mut self) -> Result<Option<Entry>, Cause> {
        self.skip()?;
        let mut extensions = Extensions::default();
        loop {
            let block = match self.blocks.block()? {
                Some(block) if block.iter().any(|byte| *byte != 0) => *block,
                last => {
                    let marked = last.is_some();
                    self.finish(marked)?;
                    return match extensions.is_empty() {
                        true => Ok(None),
                        false => Err(Refusal::Dangling.into()),
                    };
                }
            };
            if extensions.is_empty() {
                self.number += 1;
                self.name = header::raw_name(&block).to_vec();
            }
            let header = Header::new(&block)?;
            let size = header.size()?;
            match header.kind() {
                b'x' if extensions.is_empty() => {
                    let pax = Pax::parse(&self.extension(size, LARGEST_EXTENSION)?)?;
                    if let Some(path) = &pax.path {
                        self.name.clone_from(path);
                    }
                    extensions.pax = Some(pax);
                }
                b'g' if extensions.is_empty() => {
                    pax::refuse_global(&self.extension(size, LARGEST_EXTENSION)?)?;
                    // It is no entry.
                    self.number -= 1;
                }
                b'L' if extensions.pax.is_none() && extensions.long_name.is_none() => {
                    let name = self.long_name(size)?;
                    self.name.clone_from(&name);
                    extensions.long_name = Some(name);
                }
                b'K' if extensions.pax.is_none() && extensions.long_link.is_none() => {
                    extensions.long_link = Some(self.long_name(size)?);
                }
                b'x' | b'g' | b'L' | b'K' => return Err(Refusal::Headers.into()),
                _ => return self.entry(&header, size, extensions).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        header: &Header<'_>,
        said: u64,
        extensions: Extensions,
    ) -> Result<Entry, Cause> {
        let Extensions { pax, long_name, long_link } = extensions;
        let pax = pax.unwrap_or_default();
        let mut name = pax.path.or(long_name).unwrap_or_else(|| header.name());
        self.name.clone_from(&name);
        let link = pax.link.or(long_link).unwrap_or_else(|| header.link());
        let size = one_size(said, pax.size)?;
        let mut kind = kind(header, &name, link)?;
        if !matches!(kind, Kind::File(_)) && size > 0 {
            return Err(Refusal::Content(size).into());
        }
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        if let Kind::File(sparse) = &mut kind {
            *sparse = self.sparse(header, &pax.sparse)?;
            if let Some(real) = pax.sparse.name {
                name = real;
                self.name.clone_from(&name);
            }
        } else if !pax.sparse.is_empty() {
            return Err(Refusal::Sparse.into());
        }
        let ends_in_slash = name.ends_with(b"/") && !matches!(kind, Kind::Directory);
        if name.is_empty() || ends_in_slash {
            return Err(Refusal::Name.into());
        }
        Ok(Entry {
            name,
            kind,
            mode: header.mode()?,
            uid: pax.uid.map_or_else(|| header.uid(), Ok)?,
            gid: pax.gid.map_or_else(|| header.gid(), Ok)?,
            mtime: match pax.mtime {
                Some(time) => time,
                None => Time { seconds: header.mtime()?, nanoseconds: 0 },
            },
            size: self.left,
            attributes: pax.attributes,
        })
    }

    /// How a file with holes says where they are; its map may be part of the content.
    fn sparse(
        &mut self,
        header: &Header<'_>,
        records: &pax::SparseRecords,
    ) -> Result<Option<Sparse>, Cause> {
        let gnu = header.kind() == b'S';
        match (gnu, records.is_empty()) {
            (false, true) => Ok(None),
            (true, false) => Err(Refusal::Sparse.into()),
            (true, true) => {
                Sparse::gnu(header.gnu_sparse()?, self.left, &mut self.blocks).map(Some)
            }
            (false, false) if records.major == Some(1) => {
                Sparse::in_content(records, &mut self.left, &mut self.blocks).map(Some)
            }
            (false, false) => Ok(Some(Sparse::records(records, self.left)?)),
        }
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, Cause> {
        let mut name = self.extension(size, LONGEST_NAME)?;
        if let Some(end) = name.iter().position(|byte| *byte == 0) {
            name.truncate(end);
        }
        Ok(name)
    }

    /// The content of a header that says more about the next entry.
    fn extension(&mut self, size: u64, most: u64) -> Result<Vec<u8>, Cause> {
        if size > most {
            return Err(Refusal::Extension(size, most).into());
        }
        let mut text = Vec::with_capacity(size as usize);
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        while let Some(piece) = self.content()? {
            text.extend_from_slice(piece);
        }
        self.skip()?;
        Ok(text)
    }

    fn skip(&mut self) -> Result<(), Cause> {
        for left in [&mut self.left, &mut self.padding] {
            while *left > 0 {
                *left -= self.blocks.pass(*left)?;
            }
        }
        Ok(())
    }

    /// Reads on to the last byte. Behind the mark of the end, two blocks of zeros or one, there is
    /// nothing but more of them: some programs read on behind them, or start again behind one.
    fn finish(&mut self, marked: bool) -> Result<(), Cause> {
        if !marked {
            return Ok(());
        }
        while let Some(block) = self.blocks.block()? {
            if block.iter().any(|byte| *byte != 0) {
                return Err(Refusal::Trailing.into());
            }
        }
        Ok(())
    }
}

/// The extended header wins; the header may only differ where it could not say it.
fn one_size(said: u64, extended: Option<u64>) -> Result<u64, Refusal> {
    match extended {
        None => Ok(said),
        Some(size) if size == said || size > LARGEST_OCTAL => Ok(size),
        Some(size) => Err(Refusal::TwoSizes(said, size)),
    }
}

fn kind(header: &Header<'_>, name: &[u8], link: Vec<u8>) -> Result<Kind, Refusal> {
    Ok(match header.kind() {
        // Before there was a type for directories, a slash made them.
        0 if name.ends_with(b"/") => Kind::Directory,
        0 | b'0' => Kind::File(None),
        b'S' if header.dialect() == Dialect::Gnu => Kind::File(None),
        b'1' => Kind::HardLink(link),
        b'2' => Kind::Symlink(link),
        b'3' | b'4' => Kind::Device,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => return Err(Refusal::Type(char::from(other))),
    })
}
