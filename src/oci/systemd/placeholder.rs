//! The process that a scope begins with, until the container's is in it.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::Error;
use crate::cgroup::{Cgroup, Enforced};

/// The verb that makes this program a placeholder.
const VERB: &str = "hold";

/// A process that waits in a scope. It ends when this is dropped, and when this program ends.
#[derive(Debug)]
pub(in super::super) struct Placeholder {
    child: Child,
    /// The limit of processes, which leaves no room for the container's first as long as this counts.
    most: Option<u64>,
}

impl Placeholder {
    pub(super) fn start(unit: &str) -> Result<Placeholder, Error> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(VERB).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // What is typed at the terminal is not meant for it.
        let child = command.process_group(0).current_dir("/").spawn();
        match child {
            Ok(child) => Ok(Placeholder { child, most: None }),
            Err(source) => Err(Error::Placeholder { unit: unit.to_owned(), source }),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets one process more into the cgroup, as this is one there.
    pub(in super::super) fn make_room(
        &mut self,
        cgroup: &Cgroup,
    ) -> Result<(), crate::cgroup::Error> {
        if cgroup.enforced().iter().any(|limit| limit.file == PIDS) {
            self.most = cgroup.value(PIDS)?.trim().parse().ok();
        }
        self.most.map_or(Ok(()), |most| limit(cgroup, most.saturating_add(1)))
    }

    /// Leaves, as the container's process is there now. Its limit holds from before that on.
    pub(in super::super) fn leave(self, cgroup: &Cgroup) -> Result<(), crate::cgroup::Error> {
        self.most.map_or(Ok(()), |most| limit(cgroup, most))
    }
}

const PIDS: &str = "pids.max";

fn limit(cgroup: &Cgroup, most: u64) -> Result<(), crate::cgroup::Error> {
    cgroup.write_again(&[Enforced { file: PIDS.into(), value: most.to_string() }])
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        // Only once it has been waited for does it count no more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the placeholder does: it waits until nobody holds the other end of its standard input.
pub(in super::super) fn hold() -> Result<u8, super::super::Error> {
    let mut byte = [0];
    while !matches!(io::stdin().read(&mut byte), Ok(0) | Err(_)) {}
    Ok(0)
}
