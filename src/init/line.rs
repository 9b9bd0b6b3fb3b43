//! The line to whoever starts the cell: what is said on it, how it changes hands at the latch, and
//! what else the task will find open.

use super::kernel::{self, Fault, Fd, Outcome};
use super::wire::{CONTROL_FD, Kind, Report};
use crate::sys::raw::{Errno, nr};

/// A socket to the parent; behind the latch, a FIFO to whoever let the cell go.
#[derive(Debug)]
pub(crate) struct Line {
    fd: Fd,
    /// Whether a FIFO has taken the socket's place.
    latched: bool,
    /// The first descriptor that the task does not get.
    pub(crate) closed_from: usize,
}

impl Line {
    pub(crate) fn new() -> Line {
        Line { fd: Fd(CONTROL_FD as i32), latched: false, closed_from: CONTROL_FD }
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.fd
    }

    /// Sends a record; nobody there hears nothing, and then nothing is lost.
    pub(crate) fn report(&self, kind: Kind, step: u32, fault: Fault) {
        let record = Report { kind, call: fault.call, step, value: fault.errno.0 };
        // Not sent but written: a filter that is in force by now may leave a task without sockets,
        // rarely without writing.
        let _ = kernel::write(&self.fd, &record.encode());
    }

    /// Says that all is well.
    pub(crate) fn report_good(&self, kind: Kind) {
        self.report(kind, 0, Fault { call: 0, errno: Errno(0) });
    }

    /// Says what a record was about to one who has no plan to look it up in.
    pub(crate) fn explain(&self, text: &[u8]) {
        if self.latched {
            self.say(text);
        }
    }

    /// Says what belongs to the record before.
    pub(crate) fn say(&self, text: &[u8]) {
        let _ = kernel::write(&self.fd, text);
    }

    /// Tells the parent that it is its turn, and waits until it is done. A parent that ends instead
    /// is an error.
    pub(crate) fn pause(&self) -> Outcome {
        self.ask(Kind::Paused, 0)
    }

    /// The same about something that has a number.
    pub(crate) fn ask(&self, kind: Kind, number: i32) -> Outcome {
        self.report(kind, 0, Fault { call: 0, errno: Errno(number) });
        match kernel::read(&self.fd, &mut [0])? {
            1 => Ok(()),
            _ => Err(Fault::new(nr::read, Errno::EPIPE)),
        }
    }

    /// Lets the parent go its way, and waits to be let go.
    ///
    /// Both FIFOs were opened for reading and writing: there is never an end of the stream, whoever
    /// comes and goes at the other end.
    pub(crate) fn wait_at_latch(&mut self, wait: Fd, tell: Fd) -> Outcome {
        kernel::replace(&self.fd, &tell)?;
        self.latched = true;
        match kernel::read(&wait, &mut [0])? {
            1 => Ok(()),
            _ => Err(Fault::new(nr::read, Errno::EPIPE)),
        }
    }

    /// Moves the `count` descriptors at `from` to behind the streams, where the task expects them.
    /// Nothing else of the init's is open by now.
    pub(crate) fn make_room(&mut self, from: usize, count: usize) -> Outcome {
        if count == 0 {
            return Ok(());
        }
        self.fd = kernel::duplicate_above(&self.fd, from + count)?;
        for at in 0..count {
            // In ascending order none is overwritten before it has been moved.
            kernel::duplicate_number(from + at, CONTROL_FD + at)?;
        }
        self.closed_from = CONTROL_FD + count;
        Ok(())
    }
}
