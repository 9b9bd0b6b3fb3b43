//! The hooks that run once a container's command has been started, and once the container is gone.

use std::io;

use super::Error;
use super::error::line;
use super::log::Log;
use super::record::Record;
use crate::bundle::Bundle;
use crate::launch::{HookPoint, hook_state, run_all_hooks};
use crate::sys::inherited;

/// Keeps what an engine left open in this program from hooks, but for so many descriptors that the
/// container's process is to have.
pub(super) fn keep_from_hooks(preserved: u32) -> Result<(), Error> {
    inherited::keep_from(preserved.saturating_add(3))
        .map_err(|errno| Error::io("mark", "descriptors", io::Error::from_raw_os_error(errno.0)))
}

/// Runs the hooks of a specification, given as text, for one of these points. One that fails is told
/// and holds nothing up, those behind it neither.
pub(super) fn run(record: &Record, config: &[u8], point: HookPoint, log: &Log) {
    let bundle = match Bundle::parse(&record.bundle, config) {
        Ok(bundle) => bundle,
        Err(error) => return log.warning(&line(&Error::from(error))),
    };
    let (status, pid) = match (point, record.process) {
        (HookPoint::Poststart, Some(process)) => ("running", process.pid),
        _ => ("stopped", 0),
    };
    if let Err(error) = keep_from_hooks(0) {
        log.warning(&line(&error));
    }
    let state = hook_state(&bundle, &record.id, status, pid);
    for error in run_all_hooks(bundle.spec(), point, &state) {
        log.warning(&error.to_string().replace('\n', " "));
    }
}
