//! podman 4.3 with its conmon: one store per test, no daemon.

mod exec;
mod life;
mod limits;
mod mounts;
mod pods;
mod rights;

use std::path::PathBuf;
use std::process::Command;

use super::image;
use super::stage::{PATIENCE, Stage, until};
use super::{fed, good, on_terminal, runtime};
use crate::Test;
use crate::bed::{Bed, Ran};

pub fn tests() -> Vec<Test> {
    [life::tests(), exec::tests(), limits::tests(), mounts::tests(), rights::tests(), pods::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// Raising a hard limit needs CAP_SYS_RESOURCE, which hosts may lack: podman's defaults are too high.
const CONTAINERS_CONF: &str = "
[containers]
default_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]
[engine]
cgroup_manager = \"cgroupfs\"
events_logger = \"none\"
";

const OURS: &str = "[engine]
runtime = \"ours\"
[engine.runtimes]
ours = [\"RUNTIME\"]
";

/// A store with the busybox image.
pub struct Podman {
    stage: Stage,
    conf: PathBuf,
}

impl Podman {
    /// Plays `story` on a stage of its own; containers that it leaves are removed.
    pub fn with(bed: &Bed, story: impl FnOnce(&Podman)) {
        let ours = OURS.replace("RUNTIME", runtime().to_str().unwrap());
        Podman::configured(bed, &ours, story);
    }

    /// The same with these lines in its containers.conf, which must begin with `[engine]`.
    pub fn configured(bed: &Bed, engine: &str, story: impl FnOnce(&Podman)) {
        let conf = bed.path("containers.conf");
        let first = "[engine]\n";
        assert!(engine.starts_with(first), "{engine}");
        let engine = engine.replacen(first, "", 1);
        std::fs::write(&conf, format!("{CONTAINERS_CONF}{engine}")).unwrap();
        let podman = Podman { stage: Stage::set_up(bed, "libpod-", &["root/overlay"]), conf };
        let archive = image::archive(bed);
        podman.good(&["load", "--input", archive.to_str().unwrap()]);
        story(&podman);
        for what in [&["pod", "rm"][..], &["rm"]] {
            let remove = [what, &["--all", "--force", "--time", "0"]].concat();
            // conmon may still be at its own cleaning up, and then says that something is busy.
            let removed = until(PATIENCE, || {
                let ran = podman.call(&remove);
                if ran.code == Some(0) { Ok(()) } else { Err(ran) }
            });
            assert!(removed.is_ok(), "{removed:?}");
        }
        podman.good(&["volume", "rm", "--all", "--force"]);
        podman.stage.finish();
    }

    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.stage.command("podman");
        command.env("CONTAINERS_CONF", &self.conf);
        for (flag, name) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(flag).arg(self.stage.dir().join(name));
        }
        command.args(["--storage-driver", "overlay"]).args(args);
        command
    }

    /// Lines for a shell, in which `podman` is this one.
    pub fn shell(&self, script: &str) -> Ran {
        let command = self.command(&[]);
        let words = command.get_args().skip_while(|word| *word != "podman");
        let line: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
        let mut shell = self.stage.command("sh");
        shell.env("CONTAINERS_CONF", &self.conf);
        shell.args(["-c", &format!("podman() {{ command {} \"$@\"; }}\n{script}", line.join(" "))]);
        Ran::from(shell.output().unwrap())
    }

    pub fn call(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    #[track_caller]
    pub fn good(&self, args: &[&str]) -> String {
        good(self.call(args))
    }

    /// The same with `input` on its standard input.
    pub fn fed(&self, args: &[&str], input: &str) -> Ran {
        fed(self.command(args), input)
    }

    /// With a terminal around it; the lines of its output end as a terminal ends them.
    pub fn on_terminal(&self, args: &[&str]) -> Ran {
        on_terminal(&self.command(args))
    }

    /// A script in a container of its own, to its end.
    pub fn run(&self, flags: &[&str], script: &str) -> Ran {
        self.call(&self.words(&["run", "--rm"], flags, &["sh", "-c", script]))
    }

    /// A script in a container that stays, by name.
    #[track_caller]
    pub fn start(&self, name: &str, flags: &[&str], script: &str) {
        let verb = ["run", "--detach", "--name", name];
        self.good(&self.words(&verb, flags, &["sh", "-c", script]));
    }

    /// A command in a running container.
    pub fn exec(&self, name: &str, flags: &[&str], script: &str) -> Ran {
        let words = [&["exec"], flags, &[name, "sh", "-c", script]].concat();
        self.call(&words)
    }

    /// A command line with what every container here is given, and the image.
    pub fn words<'a>(&self, verb: &[&'a str], flags: &[&'a str], what: &[&'a str]) -> Vec<&'a str> {
        let parent: &'static str = self.stage.cgroup_parent().leak();
        let network: &[_] = match flags.iter().any(|flag| flag.starts_with("--network")) {
            true => &[],
            false => &["--network", "none"],
        };
        let place: &[&str] = match flags.iter().any(|flag| flag.starts_with("--pod")) {
            true => &[],
            false => &[&["--cgroup-parent", parent], network].concat(),
        };
        [verb, place, flags, &["busybox:local"], what].concat()
    }

    #[track_caller]
    pub fn inspect(&self, name: &str, format: &str) -> String {
        self.good(&["inspect", "--format", format, name])
    }
}
