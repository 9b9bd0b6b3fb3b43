//! Containers whose cgroup systemd makes: each is a transient scope unit.
//!
//! ```text
//! cgroupsPath ──► Scope ──► StartTransientUnit ──► own limits ──► SetUnitProperties ──► birth
//!  slice:prefix:name          with a placeholder     cgroup/        the same limits       placeholder ends
//! ```
//!
//! Systemd makes no scope without a process, and lets go of one whose last process has ended; but a
//! container's first process is born in its cgroup, which has to be there before. So a placeholder,
//! which is this program waiting at a pipe, is the scope's first process, and ends when the
//! container's is in. The scope is never empty before that. If this program is killed meanwhile, the
//! pipe ends, the placeholder too, and systemd removes the scope.
//!
//! Limits are written by hotcell's own code, as everywhere. Systemd is then told what the kernel's
//! files say: it writes them anew when its configuration is loaded again, and would take them back.

mod annotation;
mod bus;
mod error;
mod message;
mod placeholder;
mod property;
mod scope;

pub(super) use error::Error;
pub(super) use placeholder::{Placeholder, hold};
pub(super) use scope::{Scope, is_scope};

use std::path::Path;

use bus::Bus;
use message::Argument;

use crate::cgroup::{Cgroup, Enforced, Hierarchies};

/// Whether systemd can make cgroups here.
pub(super) fn check(host: &Hierarchies) -> Result<(), Error> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(Error::Absent);
    }
    match host.mounted.is_empty() {
        true => Ok(()),
        false => Err(Error::NotUnified),
    }
}

/// Tells systemd the limits that have been written to a scope's cgroup, and writes them again: where
/// systemd can't say them exactly, it has now written something near.
pub(super) fn tell(unit: &str, cgroup: &Cgroup, written: &[Enforced]) -> Result<(), super::Error> {
    let properties = property::of(cgroup, written)?;
    if properties.is_empty() {
        return Ok(());
    }
    let now = Argument::Bool(true);
    let arguments = [Argument::Text(unit), now, Argument::Properties(&properties)];
    Bus::connect()?.call_systemd("SetUnitProperties", &arguments)?;
    Ok(cgroup.write_again(written)?)
}

/// Ends a scope, of which nothing may be left.
pub(super) fn end(unit: &str) -> Result<(), Error> {
    let mut bus = Bus::connect()?;
    match bus.run("StopUnit", &[Argument::Text(unit), Argument::Text("replace")]) {
        // Systemd forgets it as soon as it is empty.
        Err(error) if error.is("NoSuchUnit") => return Ok(()),
        ended => ended?,
    };
    reset(&mut bus, unit)
}

/// Makes systemd forget that a unit failed.
fn reset(bus: &mut Bus, unit: &str) -> Result<(), Error> {
    match bus.call_systemd("ResetFailedUnit", &[Argument::Text(unit)]) {
        Err(error) if error.is("NoSuchUnit") => Ok(()),
        reset => reset.map(drop),
    }
}
