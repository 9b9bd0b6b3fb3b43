//! The init's memory: where it lies, and what of it a staying init keeps.

use super::kernel::{Outcome, call};
use crate::sys::abi::*;
use crate::sys::raw::{self, nr};

/// Where the init's memory should lie: behind its image, so that one page tells the processor of all.
pub(crate) const PLAN_AT: usize = 0x28_0000;
pub(crate) const STACK_AT: usize = 0x26_0000;
/// What lies above this the kernel chose: the first stack, its own code and data for programs, and what
/// found no place below.
const OURS_END: usize = 1 << 30;

/// `size` bytes of zeroed memory that live until the process ends or settles down; at that address, if it
/// is free.
pub(crate) fn allocate(at: usize, size: usize) -> Outcome<&'static mut [u8]> {
    let args = [at, size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, usize::MAX, 0];
    // SAFETY: a fresh anonymous mapping aliases nothing.
    let start = unsafe { call(nr::mmap, args) }?;
    // SAFETY: the kernel just mapped `size` bytes there, zeroed, and nobody unmaps them while they are used.
    Ok(unsafe { core::slice::from_raw_parts_mut(start as *mut u8, size) })
}

/// Goes on as `entry(argument)` on another stack, without the memory that the kernel chose the place of:
/// the first stack above all, with the pages of tables that lead to it. Where the new stack lies there
/// too, it stays.
///
/// # Safety
/// Nothing of the old stack may be used any more. `argument` must be good for `entry`.
pub(crate) unsafe fn settle_on(stack: &'static mut [u8], entry: raw::Entry, argument: usize) -> ! {
    let top = stack.as_mut_ptr() as usize + stack.len();
    // SAFETY: the stack is nobody else's, and the rest is the caller's promise.
    unsafe { raw::go_on(top & !15, entry, argument) }
}

/// Lets go of what [`settle_on`] left behind, as far as the kernel lets: it may have sealed its own part.
/// To be called on a stack that it gave.
pub(crate) fn let_go_above() {
    // Where addresses end, a page below; it depends on the kernel, which refuses more than it has.
    #[cfg(target_arch = "x86_64")]
    const ENDS: [u32; 1] = [47];
    #[cfg(target_arch = "aarch64")]
    const ENDS: [u32; 4] = [48, 47, 42, 39];
    const LARGEST_PAGE: usize = 64 << 10;
    let here = 0u8;
    if (&raw const here as usize) >= OURS_END {
        return;
    }
    for bits in ENDS {
        let page = if cfg!(target_arch = "x86_64") { 4096 } else { LARGEST_PAGE };
        let length = (1usize << bits) - page - OURS_END;
        // SAFETY: the image and this stack lie below. The plan may not, and has been done with.
        if unsafe { call(nr::munmap, [OURS_END, length]) }.is_ok() {
            return;
        }
    }
}
