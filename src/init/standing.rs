//! What the embedder's own standing would give the cell, given up: its keyring, its CPUs and memory
//! nodes, its priorities, its personality, its dislike of huge pages, its place before the
//! out-of-memory killer.
//!
//! All of these outlive exec, and none of them is the task's business.

use super::files;
use super::kernel::{self, Outcome, Text, call};
use crate::sys::abi::*;
use crate::sys::raw::{Errno, nr};

/// What the kernel starts with, in nanoseconds. Its own "default" is the parent's.
const TIMER_SLACK: usize = 50_000;

/// Starts over as an ordinary process.
pub(crate) fn leave() -> Outcome {
    const JOIN_SESSION_KEYRING: usize = 1;
    // SAFETY: no name, so the kernel makes an anonymous keyring.
    match unsafe { call(nr::keyctl, [JOIN_SESSION_KEYRING, 0]) } {
        // No keyrings in this kernel, or a filter in front of them that binds the task as well.
        Err(fault) if fault.is(Errno::ENOSYS) || fault.is(Errno::EPERM) => {}
        joined => joined.map(drop)?,
    }
    let all = [u8::MAX; 1024];
    // SAFETY: the kernel reads the mask only.
    unsafe { call(nr::sched_setaffinity, [0, all.len(), all.as_ptr() as usize]) }?;
    // SAFETY: the default policy has no mask. A kernel without memory nodes has nothing to reset.
    let _ = unsafe { call(nr::set_mempolicy, [0, 0, 0]) };
    ordinary_scheduling()?;
    ordinary_io()?;
    // After the scheduling class: a real-time process has no slack to set.
    kernel::prctl(PR_SET_TIMERSLACK, TIMER_SLACK, 0)?;
    kernel::prctl(PR_SET_THP_DISABLE, 0, 0)?;
    // SAFETY: a number only.
    unsafe { call(nr::personality, [0]) }.map(drop)
}

/// The time-sharing class with nice 0. The embedder is there already, mostly: to ask is cheaper.
fn ordinary_scheduling() -> Outcome {
    const SIZE: usize = size_of::<SchedAttr>();
    const REAL_TIME: [u32; 3] = [1, 2, 6];
    let mut now = SchedAttr::default();
    // SAFETY: the kernel writes at most the size given.
    unsafe { call(nr::sched_getattr, [0, &raw mut now as usize, SIZE, 0]) }?;
    if now.policy == 0 && now.nice == 0 {
        return Ok(());
    }
    match set_nice(0) {
        // Without CAP_SYS_NICE nobody becomes less nice. One who already runs after others harms
        // nobody; one who runs before them does, and may always become the nicest.
        Err(fault) if fault.is(Errno::EPERM) && REAL_TIME.contains(&now.policy) => set_nice(19),
        Err(fault) if fault.is(Errno::EPERM) => Ok(()),
        done => done,
    }
}

fn set_nice(nice: i32) -> Outcome {
    let ordinary = SchedAttr { size: size_of::<SchedAttr>() as u32, nice, ..SchedAttr::default() };
    // SAFETY: the structure says its own size; policy 0 is the time-sharing class.
    unsafe { call(nr::sched_setattr, [0, &raw const ordinary as usize, 0]) }.map(drop)
}

/// No I/O priority of its own: the kernel takes it from the nice value then.
fn ordinary_io() -> Outcome {
    const PROCESS: usize = 1;
    const CLASS_SHIFT: usize = 13;
    // SAFETY: numbers only.
    match unsafe { call(nr::ioprio_get, [PROCESS, 0]) } {
        Ok(now) if now >> CLASS_SHIFT == 0 => Ok(()),
        // SAFETY: numbers only.
        Ok(_) => unsafe { call(nr::ioprio_set, [PROCESS, 0, 0]) }.map(drop),
        // A kernel without block devices has no priorities for them.
        Err(_) => Ok(()),
    }
}

/// Sets what `struct sched_attr`, whose bytes these are, asks for.
pub(crate) fn set_scheduler(attr: &[u8]) -> Outcome {
    // SAFETY: the plan gave the structure's whole size, which it says itself.
    unsafe { call(nr::sched_setattr, [0, attr.as_ptr() as usize, 0]) }.map(drop)
}

/// Sets the I/O priority: a class, and a number in it.
pub(crate) fn set_io_priority(priority: u64) -> Outcome {
    const PROCESS: usize = 1;
    // SAFETY: numbers only.
    unsafe { call(nr::ioprio_set, [PROCESS, 0, priority as usize]) }.map(drop)
}

/// Runs on the CPUs of the mask alone.
pub(crate) fn set_affinity(mask: &[u8]) -> Outcome {
    // SAFETY: the kernel reads the mask only.
    unsafe { call(nr::sched_setaffinity, [0, mask.len(), mask.as_ptr() as usize]) }.map(drop)
}

/// Takes memory from the nodes of the mask, as the mode says.
pub(crate) fn set_memory_policy(mode: u64, nodes: &[u8]) -> Outcome {
    // The kernel takes the number of bits and one more; none at all is no mask.
    let (mask, bits) = match nodes.len() {
        0 => (0, 0),
        bytes => (nodes.as_ptr() as usize, bytes * 8 + 1),
    };
    // SAFETY: the mask is whole words, of which the kernel reads as many as it is told.
    unsafe { call(nr::set_mempolicy, [mode as usize, mask, bits]) }.map(drop)
}

/// Sets the execution domain.
pub(crate) fn set_personality(domain: u64) -> Outcome {
    // SAFETY: a number only.
    unsafe { call(nr::personality, [domain as usize]) }.map(drop)
}

/// Writes the score. One that is only wished for may be refused.
pub(crate) fn set_oom_score(score: &[u8], required: bool) -> Outcome {
    let file = match files::open(Text::literal(c"/proc/self/oom_score_adj"), O_RDWR) {
        // A kernel without the killer has no score.
        Err(fault) if fault.is(Errno::ENOENT) && !required => return Ok(()),
        file => file?,
    };
    match kernel::write(&file, score) {
        Err(fault) if required => Err(fault),
        _ => Ok(()),
    }
}

/// Makes a time namespace and enters it: by itself a process is in the one that it makes only after
/// its next exec, on newer kernels, or never.
pub(crate) fn enter_own_time(offsets: &[u8]) -> Outcome {
    kernel::unshare(CLONE_NEWTIME)?;
    if !offsets.is_empty() {
        let file = files::open(Text::literal(c"/proc/self/timens_offsets"), O_RDWR)?;
        kernel::write(&file, offsets)?;
    }
    let made = files::open(Text::literal(c"/proc/self/ns/time_for_children"), 0)?;
    kernel::enter_namespace(&made, CLONE_NEWTIME)
}
