//! Other runtimes, run on a bundle of a test's for what their containers see.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::bed::{Bed, Ran};

/// A runtime of the distribution's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    Runc,
    Crun,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Peer::Runc => "runc",
            Peer::Crun => "crun",
        }
    }

    pub fn version(self) -> Option<String> {
        let output = Command::new(self.name()).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().next().filter(|_| output.status.success()).map(str::to_owned)
    }

    /// Runs a container from `config` to its end. `name` is unique in the bed.
    pub fn run(self, bed: &Bed, name: &str, mut config: Value) -> Ran {
        if self == Peer::Crun {
            // crun knows unified hierarchies only, where a hybrid host has no controllers.
            config["linux"].as_object_mut().unwrap().remove("resources");
        }
        let dir = bed.path(&format!("{}-{name}", self.name()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
        let id = format!("hotcell-{}-{name}-{}", self.name(), std::process::id());
        Ran::from(
            self.command(&bed.path(&format!("{}-state", self.name())), &dir, &id).output().unwrap(),
        )
    }

    fn command(self, state: &Path, bundle: &Path, id: &str) -> Command {
        let mut command = match self {
            Peer::Runc => Command::new("runc"),
            Peer::Crun => {
                // In a mount namespace of its own a hybrid host may look unified.
                let script = "mount --make-rprivate / && \
                              { [ -e /sys/fs/cgroup/cgroup.controllers ] || \
                                mount -t cgroup2 none /sys/fs/cgroup; } && exec crun \"$@\"";
                let mut command = Command::new("unshare");
                command.args(["-m", "sh", "-c", script, "crun"]);
                command
            }
        };
        command.arg("--root").arg(state).arg("run").arg("-b").arg(bundle).arg(id);
        command.stdin(std::process::Stdio::null());
        command
    }
}
