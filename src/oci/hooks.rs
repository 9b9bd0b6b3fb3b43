//! The hooks that run once a container's command has been started, and once the container is gone.

use super::Error;
use super::error::line;
use super::log::Log;
use super::record::Record;
use crate::bundle::Bundle;
use crate::launch::{HookPoint, hook_state, run_all_hooks};

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
    let state = hook_state(&bundle, &record.id, status, pid);
    for error in run_all_hooks(bundle.spec(), point, &state) {
        log.warning(&error.to_string().replace('\n', " "));
    }
}
