//! The latch: where a cell that is made, and not started yet, waits for whoever starts it.
//!
//! ```text
//! create                      the cell's init                       start
//! make `start`, `started` ──► inherits both
//! AllClear  ◄──────────────── all steps done
//!                             lets go of the control socket
//!                             reads `start`     ◄────────────────── a byte
//!                             start hooks, AllClear, execve ──────► `started`: AllClear, end
//!                             or Failed and why             ──────► `started`: Failed and why
//! ```
//!
//! Both are FIFOs in a directory of the host, and outlive the command that made them. The init has
//! them from birth, open for reading and writing, so no end of a stream wakes it and no path is looked
//! up again; the command's execution closes them.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::io::Errno;

use super::{Error, inside};
use crate::init::wire::{Kind, REPORT_SIZE, Report};
use crate::sys::raw;

/// The FIFO that a cell waits at.
const START: &str = "start";
/// The FIFO that it answers through.
const STARTED: &str = "started";
/// The most that is read of an answer.
const LONGEST_ANSWER: u64 = 64 << 10;

/// A cell's ends of the two FIFOs.
#[derive(Debug)]
pub struct Latch {
    wait: OwnedFd,
    tell: OwnedFd,
}

impl Latch {
    /// Makes the FIFOs `start` and `started` in `dir`, which must be its owner's alone, and opens
    /// them for a cell.
    ///
    /// # Errors
    /// [`Error::Latch`] with the file.
    pub fn create(dir: &Path) -> Result<Latch, Error> {
        let make = |name: &str| {
            let path = dir.join(name);
            let mode = Mode::RUSR | Mode::WUSR;
            mknodat(CWD, &path, FileType::Fifo, mode, 0).map_err(|e| failed("make", &path, e))?;
            // For both ways, so that opening waits for nobody.
            let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            open(&path, flags, Mode::empty()).map_err(|e| failed("open", &path, e))
        };
        Ok(Latch { wait: make(START)?, tell: make(STARTED)? })
    }

    /// Lets the cell whose latch was created in `dir` go; returns when its command has been executed.
    ///
    /// # Errors
    /// [`Error::NotWaiting`] when nobody waits there; [`Error::Exec`] or [`Error::Hook`] when it came
    /// to nothing, [`Error::Died`] when it ended without a word, [`Error::Latch`] about the files.
    pub fn release(dir: &Path) -> Result<(), Error> {
        let open = |name: &str, mode: OFlags| {
            let path = dir.join(name);
            let flags = mode | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            match open(&path, flags, Mode::empty()) {
                // Nobody has the other end.
                Err(Errno::NXIO) => Err(Error::NotWaiting { dir: dir.to_owned() }),
                opened => Ok(File::from(opened.map_err(|errno| failed("open", &path, errno))?)),
            }
        };
        let mut started = open(STARTED, OFlags::RDONLY)?;
        open(START, OFlags::WRONLY)?
            .write_all(b"1")
            .map_err(|source| failed("write", &dir.join(START), source))?;
        let answer = read_to_end(&mut started)
            .map_err(|source| failed("read", &dir.join(STARTED), source))?;
        judge(&answer)
    }

    /// What the cell's init waits at.
    pub(super) fn wait(&self) -> BorrowedFd<'_> {
        self.wait.as_fd()
    }

    /// What it answers through.
    pub(super) fn tell(&self) -> BorrowedFd<'_> {
        self.tell.as_fd()
    }
}

fn failed(what: &'static str, path: &Path, source: impl Into<std::io::Error>) -> Error {
    Error::Latch { what, path: path.to_owned(), source: source.into() }
}

/// Everything until nobody has the other end open. A task with a slow start takes its time.
fn read_to_end(started: &mut File) -> std::io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    loop {
        match poll(&mut [PollFd::new(&*started, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let left = LONGEST_ANSWER - (answer.len() as u64).min(LONGEST_ANSWER);
        match started.take(left).read_to_end(&mut answer) {
            Ok(_) => return Ok(answer),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// What an answer means. It is records, and behind the one that says what failed, what that was about.
fn judge(mut answer: &[u8]) -> Result<(), Error> {
    let mut all_clear = false;
    while let Some((record, rest)) = answer.split_first_chunk::<REPORT_SIZE>() {
        match Report::decode(record) {
            Some(Report { kind: Kind::AllClear, .. }) => all_clear = true,
            Some(report) if report.kind == Kind::Failed => return Err(why(&report, rest)),
            Some(report) => match inside::failure(&report, rest) {
                Some(error) => return Err(error),
                None => break,
            },
            None => break,
        }
        answer = rest;
    }
    match all_clear {
        true => Ok(()),
        false => Err(Error::Died { how: "between its start and its command".to_owned() }),
    }
}

fn why(report: &Report, about: &[u8]) -> Error {
    let source = std::io::Error::from_raw_os_error(report.value);
    let about = String::from_utf8_lossy(about).into_owned();
    match raw::name(usize::from(report.call)) {
        "execve" => Error::Exec { command: about, source },
        call => Error::system(call, source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kind: Kind, call: usize, value: i32) -> Vec<u8> {
        Report { kind, call: call as u16, step: 0, value }.encode().to_vec()
    }

    #[test]
    fn only_an_end_after_all_clear_is_a_start() {
        let clear = report(Kind::AllClear, 0, 0);
        assert!(judge(&clear).is_ok());
        assert!(matches!(judge(b""), Err(Error::Died { .. })), "killed while it started");
        assert!(matches!(judge(b"sixteen foreign b"), Err(Error::Died { .. })));
        let failed = [clear, report(Kind::Failed, raw::nr::execve, 8), b"/bin/x".to_vec()].concat();
        let error = judge(&failed).unwrap_err();
        assert_eq!(error.exec_errno(), Some(8));
        assert_eq!(error.to_string(), "cannot execute \"/bin/x\"");
    }

    #[test]
    fn nobody_waits_where_nobody_has_the_fifos_open() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Latch::release(dir.path()), Err(Error::Latch { .. })));
        drop(Latch::create(dir.path()).unwrap());
        assert!(matches!(Latch::release(dir.path()), Err(Error::NotWaiting { .. })));
        assert!(Latch::create(dir.path()).unwrap_err().to_string().contains("make"));
    }
}
