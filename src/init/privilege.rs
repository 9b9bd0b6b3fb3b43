//! Giving up privilege: the bounding set, the user, the ambient set.

use super::kernel::{self, Outcome};
use crate::sys::abi::*;

/// Drops all capabilities but those in `keep` from the bounding set; no exec gets them back.
pub(crate) fn keep_bounding(keep: u64, last: u64) -> Outcome {
    for capability in 0..=last {
        if keep & (1 << capability) == 0 {
            kernel::prctl(PR_CAPBSET_DROP, capability as usize, 0)?;
        }
    }
    Ok(())
}

/// Becomes root of the user namespace this process was born in, where it has no id yet. Files made
/// from here on belong to somebody there. The capabilities stay.
pub(crate) fn become_root() -> Outcome {
    kernel::set_groups(&[])?;
    kernel::set_gids(0)?;
    kernel::set_uids(0)?;
    // A change of user makes the process dumpable by the host's policy again.
    kernel::prctl(PR_SET_DUMPABLE, 0, 0)
}

/// Becomes the user. The permitted set survives the change of uid, because the step that follows
/// sets all capability sets to exactly what the task gets.
pub(crate) fn become_user(uid: u64, gid: u64, groups: &[u8]) -> Outcome {
    kernel::prctl(PR_SET_KEEPCAPS, 1, 0)?;
    kernel::set_groups(groups)?;
    kernel::set_gids(gid)?;
    kernel::set_uids(uid)?;
    kernel::prctl(PR_SET_KEEPCAPS, 0, 0)?;
    // A change of user makes the process dumpable by the host's policy again.
    kernel::prctl(PR_SET_DUMPABLE, 0, 0)
}

/// Clears the ambient set, then raises what is in `capabilities`.
pub(crate) fn raise_ambient(capabilities: u64) -> Outcome {
    kernel::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0)?;
    for capability in 0..64 {
        if capabilities & (1 << capability) != 0 {
            kernel::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)?;
        }
    }
    Ok(())
}
