//! The hooks that run once a container's command has been started, and once the container is gone.

use super::Error;
use super::error::line;
use super::log::Log;
use super::record::Record;
use crate::bundle::Bundle;
use crate::launch::{HookPoint, hook_state, run_hooks};

/// Runs the hooks of a specification, given as text, for one of these points. One that fails is told
/// and holds nothing up.
pub(super) fn run(record: &Record, config: &[u8], point: HookPoint, log: &Log) {
    if let Err(error) = try_run(record, config, point) {
        log.warning(&line(&error));
    }
}

fn try_run(record: &Record, config: &[u8], point: HookPoint) -> Result<(), Error> {
    let bundle = Bundle::parse(&record.bundle, config)?;
    let (status, pid) = match (point, record.process) {
        (HookPoint::Poststart, Some(process)) => ("running", process.pid),
        _ => ("stopped", 0),
    };
    let state = hook_state(&bundle, &record.id, status, pid);
    Ok(run_hooks(bundle.spec(), point, &state)?)
}
