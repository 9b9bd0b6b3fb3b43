//! The room: the only place of the library with `unsafe`, one file for each thing that needs it.
//!
//! Rules of the room. What leaves it is safe to call with any argument: descriptors are
//! `OwnedFd`/`BorrowedFd`, sizes travel with their buffers, and errors name the call that failed.
//! What a well-kept crate offers (rustix, nix) is not written again here. [`raw`] and [`abi`] are
//! shared with the init, which compiles them on its own.
#![allow(unsafe_code, reason = "this is the room")]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "the init sees the shared files from another root"
)]

pub mod abi;
pub(crate) mod berths;
pub(crate) mod bpf;
#[cfg(feature = "image")]
pub(crate) mod filter;
pub(crate) mod inherited;
pub(crate) mod limits;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod pidfd;
#[allow(dead_code, reason = "the init uses calls that the library leaves to rustix")]
pub mod raw;
pub(crate) mod record_lock;
pub(crate) mod spawn;
pub(crate) mod unshare;
pub(crate) mod watch;
