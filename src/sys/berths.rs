//! Berths: low descriptor numbers, kept for starts of an embedder that has many descriptors open.
//!
//! A new process gets a copy of the whole table, and its exec closes all of it again: a quarter of a
//! microsecond for each descriptor, and every live cell has a dozen. A child whose descriptors lie low
//! shares the table instead, until it takes a copy of the low end alone.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, OnceLock};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{DupFlags, dup3, fcntl_dupfd_cloexec};

use super::spawn::LOWEST_SOURCE;
use crate::unpoisoned::lock;

/// Enough for the program, the streams, the control socket, the cradle and four cgroups.
const NUMBERS: usize = 12;
/// The most starts that can be between clone and exec at once and are worth it.
const MOST: usize = 8;
/// From this number on a table is long enough for a berth to pay.
const LONG: i32 = 256;

/// The numbers of one start; each holds `/dev/null` while nobody needs it.
#[derive(Debug)]
struct Numbers(Vec<OwnedFd>);

#[derive(Debug)]
struct Harbour {
    null: OwnedFd,
    free: Mutex<Vec<Numbers>>,
}

/// Where one start's descriptors lie until its child has been executed.
#[derive(Debug)]
pub(crate) struct Berth {
    harbour: &'static Harbour,
    numbers: Numbers,
    used: usize,
}

/// The berths of this process.
static HARBOUR: OnceLock<Option<Harbour>> = OnceLock::new();

/// Takes them while low numbers are still free; there are none where descriptors are so scarce that
/// there are not enough for that. For a process that is going to start many cells.
pub(crate) fn reserve() {
    let build = || {
        let null = open("/dev/null", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let number = |_| fcntl_dupfd_cloexec(&null, LOWEST_SOURCE).ok();
        let numbers = |_| (0..NUMBERS).map(number).collect::<Option<_>>().map(Numbers);
        let count = std::thread::available_parallelism().map_or(1, |cpus| cpus.get().min(MOST));
        let free = (0..count).map(numbers).collect::<Option<_>>()?;
        Some(Harbour { null, free: Mutex::new(free) })
    };
    HARBOUR.get_or_init(build);
}

impl Berth {
    /// Copies the descriptors to low numbers, if the table is so long that it pays and a berth has
    /// been reserved and is free.
    pub(crate) fn take(descriptors: &[BorrowedFd<'_>]) -> Option<Berth> {
        let harbour = HARBOUR.get()?.as_ref()?;
        let long = descriptors.iter().any(|fd| fd.as_raw_fd() >= LONG);
        if !long || descriptors.len() > NUMBERS {
            return None;
        }
        let numbers = lock(&harbour.free).pop()?;
        let mut berth = Berth { harbour, numbers, used: 0 };
        for fd in descriptors {
            dup3(fd, &mut berth.numbers.0[berth.used], DupFlags::CLOEXEC).ok()?;
            berth.used += 1;
        }
        Some(berth)
    }

    /// The numbers of the copies, in the order of the descriptors.
    pub(crate) fn numbers(&self) -> Vec<i32> {
        self.numbers.0[..self.used].iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// The first number that no copy lies at or above.
    pub(crate) fn end(&self) -> i32 {
        self.numbers().into_iter().max().map_or(0, |highest| highest + 1)
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        let mut numbers = Numbers(std::mem::take(&mut self.numbers.0));
        // What lay there must not be held open any longer: its end is somebody's end of stream.
        let cleared =
            numbers.0.iter_mut().try_for_each(|at| dup3(&self.harbour.null, at, DupFlags::CLOEXEC));
        if cleared.is_ok() {
            lock(&self.harbour.free).push(numbers);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_lay_in_a_berth_is_let_go() {
        reserve();
        let (reader, writer) = std::io::pipe().unwrap();
        let high = fcntl_dupfd_cloexec(&writer, LONG).unwrap();
        drop(writer);
        let berth = Berth::take(&[high.as_fd()]).unwrap();
        assert!(berth.numbers().iter().all(|number| *number >= LOWEST_SOURCE));
        assert_eq!(berth.end(), berth.numbers()[0] + 1);
        drop((high, berth));
        assert_eq!(std::io::read_to_string(reader).unwrap(), "");
    }

    #[test]
    fn a_short_table_or_too_many_descriptors_need_none() {
        reserve();
        let file = tempfile::tempfile().unwrap();
        let high = fcntl_dupfd_cloexec(&file, LONG).unwrap();
        assert!(Berth::take(&[high.as_fd(); NUMBERS + 1]).is_none());
        if file.as_raw_fd() < LONG {
            assert!(Berth::take(&[file.as_fd()]).is_none());
        }
    }
}
