//! Carries bytes between the cell's pipes and this program's streams. The cell never holds a
//! descriptor of the user's: what it could reopen, truncate or type into is its own pipe.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::logs::{Owner, input_pipe, output_pipe};

const BUFFER: usize = 64 << 10;

/// One direction, and the thread that serves it.
pub(super) struct Pump {
    thread: JoinHandle<io::Result<()>>,
    /// Dropped to say that nothing more will come: what is in the pipe is all.
    stop: OwnedFd,
}

impl Pump {
    /// Starts a thread that copies what the cell writes to `to`; returns the cell's end too.
    pub(super) fn output(to: impl AsFd, owner: Owner) -> io::Result<(Pump, OwnedFd)> {
        let to = File::from(to.as_fd().try_clone_to_owned()?);
        let (from, cells_end) = output_pipe(owner)?;
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC)?;
        let thread = std::thread::Builder::new().spawn(move || copy(from, to, &stopped))?;
        Ok((Pump { thread, stop }, cells_end))
    }

    /// Copies what is left. A reader that has gone away is no error.
    pub(super) fn finish(self) -> io::Result<()> {
        drop(self.stop);
        match self.thread.join() {
            Ok(copied) => copied,
            Err(_) => Err(io::Error::other("the copying thread failed")),
        }
    }
}

/// Starts a thread that copies this program's standard input; returns the cell's end. The thread
/// ends with the input, with the cell, or with the program.
pub(super) fn input(owner: Owner) -> io::Result<OwnedFd> {
    let mut from = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (to, cells_end) = input_pipe(owner)?;
    std::thread::Builder::new().spawn(move || {
        let (mut to, mut buffer) = (File::from(to), vec![0; BUFFER]);
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return,
                // The cell closing its input early is its own business.
                Ok(count) if write_all(&mut to, &buffer[..count]).is_err() => return,
                Ok(_) => {}
                Err(error) if wait_for(&from, PollFlags::IN, &error) => {}
                Err(error) => return super::complain(&format!("standard input: {error}")),
            }
        }
    })?;
    Ok(cells_end)
}

/// Whether `error` means "not now"; then returns when it is time again. Our streams are shared with
/// whoever gave them to us, and may have been made non-blocking.
fn wait_for(file: &File, what: PollFlags, error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::Interrupted => true,
        io::ErrorKind::WouldBlock => {
            // An error here shows again at the next try.
            let _ = poll(&mut [PollFd::new(file, what)], None);
            true
        }
        _ => false,
    }
}

fn write_all(to: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if wait_for(to, PollFlags::OUT, &error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn copy(from: OwnedFd, mut to: File, stopped: &OwnedFd) -> io::Result<()> {
    let mut from = File::from(from);
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut watched = [PollFd::new(&from, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut watched, None) {
            Err(Errno::INTR) => continue,
            polled => polled?,
        };
        // The cell is gone, and whoever else holds its end of the pipe isn't waited for.
        if watched[0].revents().is_empty() {
            return Ok(());
        }
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        match write_all(&mut to, &buffer[..count]) {
            // Dropping our end tells the cell, as it would in a shell's pipeline.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
}
