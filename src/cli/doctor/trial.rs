//! The trial: one small cell, really run, and the checks that only it can prove.

use std::path::Path;
use std::time::{Duration, Instant};

use super::limits::Swap;
use super::{Check, Failure};
use crate::bundle::{Bytes, CellConfig, MilliCpu, Upper};
use crate::cgroup::{Controller, Enforced, Hierarchies};
use crate::launch::{Exit, Stdio};
use crate::native::{Error, Instance, Options};
use crate::{launch, sys};

/// How long `true` may take on a host that is worth the name.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a check says of a thing that the trial did not come to.
const NOT_TRIED: &str = "not tried: no cell ran (see trial-cell)";

/// How far the trial came. The default: nowhere.
#[derive(Default, Debug)]
pub(super) struct Trial {
    birth: Birth,
    /// What the cell proved, if it ran to its end.
    pub(super) ran: Option<Ran>,
    took: Duration,
    /// Why no cell can run; `None` when one did.
    pub(super) failure: Option<String>,
}

/// What became of the cell's first process.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Birth {
    #[default]
    NotTried,
    Refused,
    Born,
}

/// What a cell that ran to its end has proved.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) enforced: Vec<Enforced>,
    pub(super) counts_disk: bool,
    pub(super) exit_kept: bool,
    pub(super) freeze: Result<(), String>,
    pub(super) kill: Result<(), String>,
}

impl Ran {
    /// Whether the limit in this file held.
    pub(super) fn enforces(&self, file: &str) -> bool {
        self.enforced.iter().any(|limit| limit.file == file)
    }
}

impl Trial {
    /// Runs `true` in a cell on the host's own root and takes everything back.
    pub(super) fn run(options: &Options) -> Trial {
        let mut trial = Trial::default();
        trial.failure = trial.attempt(options).err().map(|failure| failure.line);
        trial
    }

    fn attempt(&mut self, options: &Options) -> Result<(), Failure> {
        let driver = Instance::open(options.clone())?;
        let host = driver.hierarchies();
        let config = config(host, Swap::look(host, &options.cgroup_parent));
        let started = Instant::now();
        let created = driver.create(None, &config, None)?;
        let mut running = created.run(Stdio::default()).inspect_err(|error| {
            self.birth = birth(error);
        })?;
        self.birth = Birth::Born;
        let pidfd = running.cell().pidfd().try_clone_to_owned()?;
        let Some(outcome) = running.wait(Some(started + PATIENCE))?.cloned() else {
            running.close()?;
            return Err(Failure::refused(format!("`true` did not end within {PATIENCE:?}")));
        };
        let cgroup = running.cgroup();
        let line = |error| Failure::from(error).line;
        self.ran = Some(Ran {
            enforced: outcome.enforced,
            counts_disk: outcome.usage.disk_read_bytes.is_some(),
            // The status has been taken by now, as it would be by a stranger's wait.
            exit_kept: sys::pidfd::exit_info(&pidfd).is_some(),
            freeze: cgroup.freeze().and_then(|()| cgroup.thaw()).map_err(line),
            kill: cgroup.kill().map_err(line),
        });
        running.close()?;
        self.took = started.elapsed();
        match outcome.exit {
            Exit::Code(0) => Ok(()),
            Exit::Code(code) => Err(Failure::refused(format!("`true` ended with code {code}"))),
            Exit::Signal(signal) => {
                Err(Failure::refused(format!("`true` was ended by signal {signal}")))
            }
        }
    }

    /// The last line, which decides.
    pub(super) fn verdict(&self) -> Check {
        const NAME: &str = "trial-cell";
        match &self.failure {
            Some(why) => Check::missing(NAME, why.as_str()),
            None => {
                let millis = self.took.as_secs_f64() * 1000.0;
                Check::ok(NAME, format!("made, run and removed in {millis:.1} ms"))
            }
        }
    }
}

/// The smallest useful cell, with every limit that the host doesn't refuse.
fn config(host: &Hierarchies, swap: Swap) -> CellConfig {
    let mut config = CellConfig::new("/", ["true"]);
    config.upper = Upper::Tmpfs;
    let memory = host.offers(Controller::Memory) && !swap.blocks_memory();
    config.limits.memory = memory.then_some(Bytes(64 << 20));
    config.limits.cpu = host.offers(Controller::Cpu).then_some(MilliCpu(500));
    config.limits.pids = host.offers(Controller::Pids).then_some(32);
    config
}

/// Whether there was a process before the launch failed.
fn birth(error: &Error) -> Birth {
    use launch::Error as Launch;
    match error {
        Error::Launch(Launch::System { call: "clone3", .. }) => Birth::Refused,
        Error::Launch(
            Launch::Step { .. }
            | Launch::Exec { .. }
            | Launch::Died { .. }
            | Launch::TimedOut { .. },
        ) => Birth::Born,
        _ => Birth::NotTried,
    }
}

/// Stopping a cell where it is.
pub(super) fn freeze(trial: &Trial, parent: Option<&Path>) -> Check {
    let tried = trial.ran.as_ref().map(|ran| &ran.freeze);
    file("freeze", "cgroup.freeze", "the trial cell's cgroup froze and thawed", tried, parent)
}

/// Killing a cell as a whole.
pub(super) fn kill(trial: &Trial, parent: Option<&Path>) -> Check {
    let tried = trial.ran.as_ref().map(|ran| &ran.kill);
    file("kill", "cgroup.kill", "the trial cell's cgroup took it", tried, parent)
}

/// A file of each v2 cgroup: tried in the cell, or looked for in the parent of all cells.
fn file(
    name: &'static str,
    file: &str,
    proof: &str,
    tried: Option<&Result<(), String>>,
    parent: Option<&Path>,
) -> Check {
    match (tried, parent.filter(|parent| parent.is_dir())) {
        (Some(Ok(())), _) => Check::ok(name, format!("v2 {file}: {proof}")),
        (Some(Err(why)), _) => Check::missing(name, why.as_str()),
        (None, Some(parent)) if !parent.join(file).exists() => {
            Check::missing(name, format!("no {file} in {}: use a newer kernel", parent.display()))
        }
        (None, _) => Check::degraded(name, NOT_TRIED),
    }
}

/// Being born in a cgroup, and known by a descriptor.
pub(super) fn clone3(trial: &Trial) -> Check {
    const NAME: &str = "clone3";
    match trial.birth {
        Birth::Born => Check::ok(NAME, "the trial cell was born in its cgroup, with a pidfd"),
        Birth::Refused => Check::missing(
            NAME,
            "refused (see trial-cell): a seccomp filter, a limit or a foreign cgroup namespace is in the \
             way (in a container: --privileged)",
        ),
        Birth::NotTried => Check::degraded(NAME, NOT_TRIED),
    }
}

/// How a cell ended, when an embedder's other thread has taken the status.
pub(super) fn exit_status(trial: &Trial) -> Check {
    const NAME: &str = "exit-status";
    match &trial.ran {
        Some(ran) if ran.exit_kept => {
            Check::ok(NAME, "kept by the kernel after a foreign wait (PIDFD_GET_INFO)")
        }
        Some(_) => Check::degraded(
            NAME,
            "after a foreign wait from the init's record only: cells without --init report an error",
        ),
        None => Check::degraded(NAME, NOT_TRIED),
    }
}

/// What cells can reach. The trial cell has had its own network, with the loopback interface up.
pub(super) fn network(trial: &Trial) -> Check {
    match trial.ran {
        Some(_) => Check::ok("network", "none (loopback only) or host"),
        None => Check::degraded("network", NOT_TRIED),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    impl Ran {
        /// A cell without limits on a host that has the rest.
        pub(in super::super) fn fixture() -> Ran {
            Ran {
                enforced: vec![],
                counts_disk: true,
                exit_kept: true,
                freeze: Ok(()),
                kill: Ok(()),
            }
        }
    }

    fn states(trial: &Trial, parent: Option<&Path>) -> [State; 5] {
        let checks = [freeze(trial, parent), kill(trial, parent), clone3(trial)];
        let [freeze, kill, clone3] = checks.map(|check| check.state);
        [freeze, kill, clone3, exit_status(trial).state, network(trial).state]
    }

    #[test]
    fn a_cell_that_ran_proves_what_it_used() {
        let trial = Trial { birth: Birth::Born, ran: Some(Ran::fixture()), ..Trial::default() };
        assert_eq!(states(&trial, None), [State::Ok; 5]);
        let ran = Ran { exit_kept: false, kill: Err("denied".into()), ..Ran::fixture() };
        let trial = Trial { birth: Birth::Born, ran: Some(ran), ..Trial::default() };
        use State::{Degraded, Missing, Ok};
        assert_eq!(states(&trial, None), [Ok, Missing, Ok, Degraded, Ok]);
        assert_eq!(kill(&trial, None).detail, "denied");
    }

    #[test]
    fn what_was_not_tried_is_neither_ok_nor_missing_unless_it_is_seen_to_be() {
        let trial = Trial::default();
        assert_eq!(states(&trial, None), [State::Degraded; 5]);
        let parent = tempfile::tempdir().unwrap();
        std::fs::write(parent.path().join("cgroup.freeze"), "").unwrap();
        let [freeze, kill, ..] = states(&trial, Some(parent.path()));
        assert_eq!([freeze, kill], [State::Degraded, State::Missing]);
    }

    #[test]
    fn the_verdict_tells_the_time_or_the_whole_reason() {
        let mut trial = Trial { took: Duration::from_micros(8_260), ..Trial::default() };
        let text = "made, run and removed in 8.3 ms";
        assert_eq!(trial.verdict(), Check::ok("trial-cell", text));
        trial.failure = Some("clone3: no".into());
        assert_eq!(trial.verdict(), Check::missing("trial-cell", "clone3: no"));
    }

    #[test]
    fn a_failed_step_proves_the_birth_and_a_refused_call_does_not() {
        let source = || std::io::Error::from_raw_os_error(1);
        let call = |call| Error::Launch(launch::Error::System { call, hint: "", source: source() });
        assert_eq!(birth(&call("clone3")), Birth::Refused);
        assert_eq!(birth(&call("socketpair")), Birth::NotTried);
        let command = "true".to_owned();
        let late = Error::Launch(launch::Error::Exec { command, source: source() });
        assert_eq!(birth(&late), Birth::Born);
    }

    #[test]
    fn only_limits_that_the_host_takes_are_asked_for() {
        let at = tempfile::tempdir().unwrap();
        let unified = at.path().to_owned();
        let mut host = Hierarchies { unified, v2: vec![], v1: [].into(), mounted: vec![] };
        let asked = |host: &Hierarchies| {
            let limits = config(host, Swap::look(host, "hotcell")).limits;
            (limits.memory.is_some(), limits.cpu.is_some(), limits.pids.is_some())
        };
        assert_eq!(asked(&host), (false, false, false));
        host.v2 = Controller::ALL.to_vec();
        assert_eq!(asked(&host), (true, true, true));
    }
}
