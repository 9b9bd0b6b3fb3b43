//! Sparse files: where the pieces of content lie, in GNU's four ways to say it.

use super::header::{BLOCK, more, number};
use super::pax::SparseRecords;
use super::record::plain_decimal;
use super::{Blocks, Cause, Refusal};

/// The most pieces of one file: a mebibyte of memory.
const MOST_PIECES: usize = 1 << 16;
/// The longest number of a map in the content.
const LONGEST_NUMBER: usize = 20;

/// The size that a file appears to have, and the pieces that are not holes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sparse {
    pub(crate) size: u64,
    /// Offsets and lengths, in order.
    pub(crate) pieces: Vec<(u64, u64)>,
}

impl Sparse {
    /// Pairs of offsets and lengths become pieces that do not overlap and hold exactly what is stored.
    fn new(size: u64, numbers: &[u64], stored: u64) -> Result<Sparse, Refusal> {
        let (mut end, mut sum) = (0u64, 0u64);
        let mut pieces = Vec::with_capacity(numbers.len() / 2);
        for pair in numbers.chunks(2) {
            let &[offset, length] = pair else {
                return Err(Refusal::Sparse);
            };
            let over = offset.checked_add(length).filter(|over| *over <= size);
            let over = over.filter(|_| offset >= end).ok_or(Refusal::Sparse)?;
            sum += length;
            end = over;
            if length > 0 {
                pieces.push((offset, length));
            }
        }
        match sum == stored {
            true => Ok(Sparse { size, pieces }),
            false => Err(Refusal::Sparse),
        }
    }

    /// GNU's own header, and the blocks behind it while each says that another follows.
    pub(super) fn gnu(
        (first, mut follows, size): (&[u8], bool, u64),
        stored: u64,
        blocks: &mut impl Blocks,
    ) -> Result<Sparse, Cause> {
        let mut numbers = Vec::new();
        let mut ended = false;
        table(first, &mut numbers, &mut ended)?;
        while follows {
            let block = blocks.block()?.ok_or(Cause::Truncated)?;
            table(&block[..504], &mut numbers, &mut ended)?;
            follows = more(block[504])?;
            if numbers.len() > 2 * MOST_PIECES {
                return Err(Refusal::Sparse.into());
            }
        }
        Ok(Sparse::new(size, &numbers, stored)?)
    }

    /// Records of versions 0.0 and 0.1, which hold the whole map.
    pub(super) fn records(records: &SparseRecords, stored: u64) -> Result<Sparse, Refusal> {
        let size = records.size.ok_or(Refusal::Sparse)?;
        let numbers = match &records.map {
            Some(_) if !records.pieces.is_empty() => return Err(Refusal::Sparse),
            Some(map) => map,
            None => &records.pieces,
        };
        let counted =
            records.count.is_none_or(|count| count.checked_mul(2) == Some(numbers.len() as u64));
        let old = records.real_size.is_none() && records.major.unwrap_or(0) == 0;
        match counted && old && numbers.len() <= 2 * MOST_PIECES {
            true => Sparse::new(size, numbers, stored),
            false => Err(Refusal::Sparse),
        }
    }

    /// Version 1.0: decimal lines in the first blocks of the content. Takes them off `stored`.
    pub(super) fn in_content(
        records: &SparseRecords,
        stored: &mut u64,
        blocks: &mut impl Blocks,
    ) -> Result<Sparse, Cause> {
        let version = (records.major, records.minor) == (Some(1), Some(0));
        let others = records.size.is_some()
            || records.map.is_some()
            || records.count.is_some()
            || !records.pieces.is_empty();
        let Some(size) = records.real_size.filter(|_| version && !others) else {
            return Err(Refusal::Sparse.into());
        };
        let mut lines = Lines::default();
        while !lines.complete() {
            if *stored < BLOCK as u64 {
                return Err(Refusal::Sparse.into());
            }
            let block = blocks.block()?.ok_or(Cause::Truncated)?;
            *stored -= BLOCK as u64;
            lines.take(block)?;
        }
        Ok(Sparse::new(size, &lines.numbers[1..], *stored)?)
    }
}

/// The numbers of a map in the content as they come: how many pieces, then the pieces.
#[derive(Default)]
struct Lines {
    numbers: Vec<u64>,
    line: Vec<u8>,
}

impl Lines {
    fn complete(&self) -> bool {
        let wanted = self.numbers.first().map(|count| count.saturating_mul(2).saturating_add(1));
        wanted.is_some_and(|wanted| self.numbers.len() as u64 == wanted)
    }

    fn take(&mut self, block: &[u8; BLOCK]) -> Result<(), Refusal> {
        for byte in block {
            match byte {
                // What fills up the last block.
                0 if self.complete() => {}
                _ if self.complete() => return Err(Refusal::Sparse),
                b'\n' => {
                    let number = plain_decimal(&self.line).ok_or(Refusal::Sparse)?;
                    if self.numbers.is_empty() && number > MOST_PIECES as u64 {
                        return Err(Refusal::Sparse);
                    }
                    self.numbers.push(number);
                    self.line.clear();
                }
                digit if self.line.len() < LONGEST_NUMBER => self.line.push(*digit),
                _ => return Err(Refusal::Sparse),
            }
        }
        Ok(())
    }
}

/// Pairs of twelve-byte numbers; the first blank one ends the table for good.
fn table(bytes: &[u8], numbers: &mut Vec<u64>, ended: &mut bool) -> Result<(), Refusal> {
    for pair in bytes.chunks_exact(24) {
        let read = |field: &[u8]| number(field).map_err(|_| Refusal::Sparse);
        match (read(&pair[..12])?, read(&pair[12..])?) {
            (None, None) => *ended = true,
            (Some(offset), Some(length)) if !*ended => {
                numbers.push(u64::try_from(offset).map_err(|_| Refusal::Sparse)?);
                numbers.push(u64::try_from(length).map_err(|_| Refusal::Sparse)?);
            }
            _ => return Err(Refusal::Sparse),
        }
    }
    Ok(())
}
