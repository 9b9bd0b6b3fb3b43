//! Bytes on their way from one pipe to several writers, each with its own place in them.

use std::collections::VecDeque;

use super::scratch;

/// The most bytes that wait for writers while the cell runs.
pub(super) const CAPACITY: usize = 256 << 10;
/// A ring that was full takes bytes again when this many fit: else a writer that takes one at a
/// time would have the pipe read one at a time.
const ROOM: usize = CAPACITY / 4;
/// The least memory asked for.
const LEAST: usize = 4 << 10;

/// The ring. It grows with what is in it, never beyond [`CAPACITY`] unless more is pushed, and has
/// no memory when it is empty and nothing is on its way.
#[derive(Default)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    /// How many bytes came before those.
    start: u64,
    /// Where each writer is; `None`: it has left.
    places: Vec<Option<u64>>,
    /// It has been full and is not yet empty enough.
    full: bool,
    /// Nothing is on its way: the memory is given back as soon as it is empty.
    idle: bool,
}

impl Ring {
    /// An empty ring with this many writers, numbered from 0.
    pub(super) fn new(writers: usize) -> Ring {
        Ring { places: vec![Some(0); writers], ..Ring::default() }
    }

    /// How many bytes it takes; 0 until it is worth a read.
    pub(super) fn room(&mut self) -> usize {
        let room = CAPACITY.saturating_sub(self.bytes.len());
        match room {
            0 => self.full = true,
            ROOM.. => self.full = false,
            _ => {}
        }
        if self.full { 0 } else { room }
    }

    /// Takes all of `bytes`, whether they fit or not; without writers they are gone.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.idle = false;
        if self.writers() == 0 {
            self.start += bytes.len() as u64;
            return;
        }
        let need = self.bytes.len() + bytes.len();
        if need > self.bytes.capacity() {
            let size = match need <= CAPACITY {
                true => need.next_power_of_two().max(LEAST),
                false => need.next_multiple_of(scratch::SIZE),
            };
            self.bytes.reserve_exact(size - self.bytes.len());
        }
        self.bytes.extend(bytes);
    }

    /// Copies what comes next for this writer, as much as fits.
    pub(super) fn copy(&self, writer: usize, to: &mut [u8]) -> usize {
        let count = self.left(writer).min(to.len());
        let (front, back) = self.bytes.as_slices();
        let from = self.bytes.len() - self.left(writer);
        let first = front.get(from..).unwrap_or_default();
        let first = &first[..first.len().min(count)];
        let (to_first, to_second) = to[..count].split_at_mut(first.len());
        to_first.copy_from_slice(first);
        let from = from.saturating_sub(front.len());
        to_second.copy_from_slice(&back[from..from + to_second.len()]);
        count
    }

    /// How many bytes this writer has not taken.
    pub(super) fn left(&self, writer: usize) -> usize {
        let end = self.start + self.bytes.len() as u64;
        // A difference of places in memory fits.
        self.places[writer].map_or(0, |place| (end - place) as usize)
    }

    /// This writer has taken `count` bytes.
    pub(super) fn advance(&mut self, writer: usize, count: usize) {
        let count = count.min(self.left(writer)) as u64;
        if let Some(place) = &mut self.places[writer] {
            *place += count;
        }
        self.trim();
    }

    /// This writer takes no more.
    pub(super) fn leave(&mut self, writer: usize) {
        self.places[writer] = None;
        self.trim();
    }

    /// How many writers are there.
    pub(super) fn writers(&self) -> usize {
        self.places.iter().flatten().count()
    }

    /// Nothing is on its way now.
    pub(super) fn rest(&mut self) {
        self.idle = true;
        self.trim();
    }

    /// Forgets what every writer has.
    fn trim(&mut self) {
        let end = self.start + self.bytes.len() as u64;
        let start = self.places.iter().flatten().min().copied().unwrap_or(end);
        self.bytes.drain(..(start - self.start) as usize);
        self.start = start;
        if self.idle && self.bytes.is_empty() {
            self.bytes = VecDeque::new();
        }
    }

    /// How much memory it has.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_bytes_cost_no_more_than_the_bound() {
        let mut ring = Ring::new(1);
        let mut pushed = 0;
        while ring.room() > 0 {
            ring.push(&[7]);
            pushed += 1;
            assert!(ring.memory() <= CAPACITY);
        }
        assert_eq!((pushed, ring.memory()), (CAPACITY, CAPACITY));
    }

    #[test]
    fn a_full_ring_takes_bytes_again_when_a_read_is_worth_it() {
        let mut ring = Ring::new(1);
        ring.push(&[0; CAPACITY]);
        assert_eq!(ring.room(), 0);
        ring.advance(0, ROOM - 1);
        assert_eq!(ring.room(), 0);
        ring.advance(0, 1);
        assert_eq!(ring.room(), ROOM);
    }

    #[test]
    fn memory_is_given_back_when_it_is_empty_and_nothing_comes() {
        let mut ring = Ring::new(2);
        ring.push(b"bytes");
        ring.rest();
        ring.advance(0, 5);
        assert_eq!((ring.left(0), ring.left(1)), (0, 5));
        ring.leave(1);
        assert_eq!(ring.memory(), 0);
        ring.push(b"more");
        ring.advance(0, 4);
        assert!(ring.memory() > 0, "more may be on its way");
        ring.rest();
        assert_eq!(ring.memory(), 0);
    }

    #[test]
    fn every_writer_reads_across_the_seam_in_pieces_of_any_size() {
        let mut ring = Ring::new(2);
        let (mut written, mut read, mut to) = (0, [0; 2], [0; 97]);
        for round in 1..4000 {
            let bytes: Vec<u8> = (written..).take(round % 89).map(|at: usize| at as u8).collect();
            ring.push(&bytes);
            written += bytes.len();
            for (writer, at) in read.iter_mut().enumerate() {
                let count = ring.copy(writer, &mut to[..(round * (writer + 3)) % 97]);
                assert!(to[..count].iter().enumerate().all(|(i, byte)| *byte == (*at + i) as u8));
                ring.advance(writer, count);
                *at += count;
            }
        }
        assert!(ring.memory() <= CAPACITY && read.iter().all(|at| *at > 100_000), "{read:?}");
    }
}
