//! dockerd 20.10 with our runtime as its default: one daemon per test.

mod cell;
mod daemon;
mod life;

use std::path::PathBuf;
use std::process::Command;

use super::image;
use super::stage::{Daemon, Stage, wait_for};
use super::{good, runtime};
use crate::Test;
use crate::bed::{Bed, Ran};

pub fn tests() -> Vec<Test> {
    [life::tests(), cell::tests(), daemon::tests()].into_iter().flatten().collect()
}

/// A daemon with the busybox image.
pub struct Docker {
    stage: Stage,
    daemon: Option<Daemon>,
    flags: Vec<String>,
    log: PathBuf,
}

impl Docker {
    /// Plays `story` with a daemon of its own; containers that it leaves are removed.
    pub fn with(bed: &Bed, flags: &[&str], story: impl FnOnce(&mut Docker)) {
        let runtime = format!("--add-runtime=ours={}", runtime().display());
        let ours = [&runtime, "--default-runtime=ours"];
        Docker::play(bed, &[&ours[..], flags].concat(), story);
    }

    /// The same with this daemon.json, and no runtime of the test's own.
    pub fn configured(bed: &Bed, config: &str, story: impl FnOnce(&mut Docker)) {
        let path = bed.path("daemon.json");
        std::fs::write(&path, config).unwrap();
        Docker::play(bed, &[&format!("--config-file={}", path.display())], story);
    }

    fn play(bed: &Bed, flags: &[&str], story: impl FnOnce(&mut Docker)) {
        let stage = Stage::set_up(bed, "", &["data", "exec/netns/default"]);
        let own = [
            "--iptables=false".to_owned(),
            "--ip6tables=false".to_owned(),
            "--bridge=none".to_owned(),
            "--storage-driver=overlay2".to_owned(),
            format!("--data-root={}", stage.path("data")),
            format!("--exec-root={}", stage.path("exec")),
            format!("--pidfile={}", stage.path("pid")),
            format!("--host=unix://{}", stage.path("docker.sock")),
            format!("--cgroup-parent={}", stage.cgroup_parent()),
        ];
        let flags = own.into_iter().chain(flags.iter().map(|flag| (*flag).to_owned())).collect();
        let mut docker = Docker { stage, daemon: None, flags, log: bed.path("log") };
        docker.start_daemon();
        docker.good(&["load", "--input", image::archive(bed).to_str().unwrap()]);
        story(&mut docker);
        for name in docker.good(&["ps", "--all", "--quiet"]).lines() {
            docker.good(&["rm", "--force", name]);
        }
        docker.stop_daemon();
        docker.stage.finish();
    }

    pub fn stop_daemon(&mut self) {
        self.daemon.take().unwrap().stop(&self.stage);
    }

    pub fn start_daemon(&mut self) {
        let flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        self.daemon = Some(self.stage.daemon("dockerd", &flags, &self.log));
        wait_for("dockerd answers", || self.call(&["version"]).code == Some(0));
    }

    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.stage.command("docker");
        command.args(["--host", &format!("unix://{}", self.stage.path("docker.sock"))]).args(args);
        command
    }

    /// Lines for a shell, in which `docker` speaks to this daemon.
    pub fn shell(&self, script: &str) -> Ran {
        let mut shell = self.stage.command("sh");
        shell.env("DOCKER_HOST", format!("unix://{}", self.stage.path("docker.sock")));
        Ran::from(shell.args(["-c", script]).output().unwrap())
    }

    pub fn call(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    #[track_caller]
    pub fn good(&self, args: &[&str]) -> String {
        good(self.call(args))
    }

    /// A command line with what every container here is given, and the image.
    pub fn words<'a>(&self, verb: &[&'a str], flags: &[&'a str], script: &'a str) -> Vec<&'a str> {
        let network: &[_] = match flags.iter().any(|flag| flag.starts_with("--network")) {
            true => &[],
            false => &["--network", "none"],
        };
        [verb, network, flags, &["busybox:local", "sh", "-c", script]].concat()
    }

    /// A script in a container of its own, to its end.
    pub fn run(&self, flags: &[&str], script: &str) -> Ran {
        self.call(&self.words(&["run", "--rm"], flags, script))
    }

    /// A script in a container that stays, by name. One letter is no name.
    #[track_caller]
    pub fn start(&self, name: &str, flags: &[&str], script: &str) {
        self.good(&self.words(&["run", "--detach", "--name", name], flags, script));
    }

    /// A script in a running container.
    pub fn exec(&self, name: &str, flags: &[&str], script: &str) -> Ran {
        self.call(&[&["exec"], flags, &[name, "sh", "-c", script]].concat())
    }

    #[track_caller]
    pub fn inspect(&self, name: &str, format: &str) -> String {
        self.good(&["inspect", "--format", format, name])
    }
}
