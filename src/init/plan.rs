//! The plan as the init holds it: received whole, every offset checked before it is followed.

use core::ffi::CStr;

use super::kernel::{Fault, Fd, Filter, Outcome, Text, read, receive};
use super::memory::{PLAN_AT, allocate};
use super::wire::{Header, LARGEST, MAGIC, MOST_TREES, Step};
use crate::sys::raw::{Errno, nr};

/// A received plan. Its memory lives as long as the process.
#[derive(Debug)]
pub(crate) struct Plan {
    bytes: &'static mut [u8],
    pub(crate) header: Header,
    /// Descriptors that came along, mounts above all, by number; -1 where none did or it has been taken.
    trees: [i32; MOST_TREES],
}

fn malformed() -> Fault {
    Fault::new(nr::read, Errno::EINVAL)
}

/// Reads until `bytes` is full; the end of the stream before that means that the parent is gone.
fn read_whole(control: &Fd, bytes: &mut [u8]) -> Outcome {
    let mut filled = 0;
    while filled < bytes.len() {
        match read(control, &mut bytes[filled..])? {
            0 => return Err(Fault::new(nr::read, Errno::EPIPE)),
            count => filled += count,
        }
    }
    Ok(())
}

/// Reads the plan's header from the control socket.
pub(crate) fn receive_header(control: &Fd) -> Outcome<Header> {
    let mut head = [0u8; size_of::<Header>()];
    read_whole(control, &mut head)?;
    // SAFETY: `Header` is plain integers, any bytes are one, and the sizes are equal.
    let header = unsafe { head.as_ptr().cast::<Header>().read_unaligned() };
    let size = header.size as usize;
    if header.magic != MAGIC || size <= head.len() || size > LARGEST {
        return Err(malformed());
    }
    Ok(header)
}

impl Plan {
    /// Reads what follows the header from the control socket.
    pub(crate) fn receive(control: &Fd, header: Header) -> Outcome<Plan> {
        let bytes = allocate(PLAN_AT, header.size as usize)?;
        let body = &mut bytes[size_of::<Header>()..];
        let mut trees = [-1; MOST_TREES];
        let (came, _) = receive(control, body, &mut trees)?;
        if came == 0 {
            return Err(Fault::new(nr::recvmsg, Errno::EPIPE));
        }
        read_whole(control, &mut body[came..])?;
        Plan::over(bytes, header, trees)
    }

    /// Waits for what comes after the plan, whose numbers begin with `first`.
    pub(crate) fn receive_more(&mut self, control: &Fd, first: u64) -> Outcome {
        let slots = self.trees.get_mut(first as usize..).ok_or(malformed())?;
        match receive(control, &mut [0], slots)? {
            (0, _) => Err(Fault::new(nr::recvmsg, Errno::EPIPE)),
            _ => Ok(()),
        }
    }

    /// Checks what later reads rely on.
    fn over(bytes: &'static mut [u8], header: Header, trees: [i32; MOST_TREES]) -> Outcome<Plan> {
        let steps_end = size_of::<Header>() + header.steps as usize * size_of::<Step>();
        if steps_end > bytes.len() {
            return Err(malformed());
        }
        Ok(Plan { bytes, header, trees })
    }

    /// What came along under this number, mostly a mount; it can be had once.
    pub(crate) fn tree(&mut self, number: u64) -> Outcome<Fd> {
        let slot = self.trees.get_mut(number as usize).ok_or(malformed())?;
        match core::mem::replace(slot, -1) {
            -1 => Err(malformed()),
            fd => Ok(Fd(fd)),
        }
    }

    pub(crate) fn step(&self, index: u32) -> Step {
        let at = size_of::<Header>() + index as usize * size_of::<Step>();
        // SAFETY: `over` checked that all steps lie within the bytes; `Step` is plain integers.
        unsafe { self.bytes.as_ptr().add(at).cast::<Step>().read_unaligned() }
    }

    /// The string at `offset`, or none for offset 0.
    pub(crate) fn text(&self, offset: u32) -> Outcome<Text> {
        if offset == 0 {
            return Ok(Text::NONE);
        }
        let bytes = self.bytes.get(offset as usize..).ok_or(malformed())?;
        Text::within(bytes).ok_or(malformed())
    }

    /// `size` raw bytes at `offset`.
    pub(crate) fn raw(&self, offset: u32, size: usize) -> Outcome<&[u8]> {
        let start = offset as usize;
        self.bytes.get(start..start.saturating_add(size)).ok_or(malformed())
    }

    /// The task's system call filter.
    pub(crate) fn filter(&self) -> Outcome<Filter> {
        let length = self.header.filter_length;
        let code = self.raw(self.header.filter, length as usize * 8)?;
        Ok(Filter { length: length as u16, code: code.as_ptr() })
    }

    /// The string that entry `at` of the array of offsets at `offset` names, or none at its end.
    /// Not for an array that [`pointers`](Plan::pointers) has turned.
    pub(crate) fn list_entry(&self, offset: u32, at: u32) -> Outcome<Text> {
        let slot = self.raw(offset.saturating_add(8 * at), 8)?;
        let mut value = [0; 8];
        value.copy_from_slice(slot);
        self.text(u64::from_ne_bytes(value) as u32)
    }

    /// Turns the array of offsets at `offset` into the array of pointers that `execve` takes.
    /// To be called once for each array.
    pub(crate) fn pointers(&mut self, offset: u32) -> Outcome<*const usize> {
        let base = self.bytes.as_ptr() as usize;
        let mut at = offset as usize;
        loop {
            let slot = self.bytes.get_mut(at..at + 8).ok_or(malformed())?;
            let mut value = [0; 8];
            value.copy_from_slice(slot);
            let string = u64::from_ne_bytes(value) as usize;
            if string == 0 {
                break;
            }
            slot.copy_from_slice(&((base + string) as u64).to_ne_bytes());
            let tail = self.bytes.get(string..).ok_or(malformed())?;
            CStr::from_bytes_until_nul(tail).map_err(|_| malformed())?;
            at += 8;
        }
        Ok((base + offset as usize) as *const usize)
    }
}
