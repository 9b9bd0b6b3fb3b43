//! Real engines on this runtime: each case holds with runc, so it has to hold with hotcell-oci.
//!
//! ```text
//! stage      namespaces and a directory for one engine   image       what its containers run on
//! podman     podman, through conmon
//! ```
//!
//! `HOTCELL_CLIENTS_RUNTIME` names another runtime for the same cases.

mod image;
mod podman;
mod stage;

use std::path::PathBuf;

use crate::Test;
use crate::bed::Ran;

pub fn tests() -> Vec<Test> {
    [podman::tests()].into_iter().flatten().collect()
}

/// The runtime that engines are given.
pub fn runtime() -> PathBuf {
    match std::env::var_os("HOTCELL_CLIENTS_RUNTIME") {
        Some(path) => PathBuf::from(path),
        None => option_env!("CARGO_BIN_EXE_hotcell-oci").unwrap_or("/usr/sbin/runc").into(),
    }
}

/// What a command that must have succeeded printed, without the last line's end. Engines write
/// warnings to the other stream.
#[track_caller]
pub fn good(ran: Ran) -> String {
    assert!(ran.code == Some(0), "{ran:?}");
    ran.out.trim_end().to_owned()
}
