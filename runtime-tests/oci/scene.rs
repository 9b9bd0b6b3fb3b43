//! Bundles on the busybox root, and the program called on them with a state directory of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bed::{Bed, Ran, cgroup_parent};
use crate::host::fixture;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_hotcell-oci");

/// How long a container may take to get into a state.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One runtime's containers in one test.
pub struct Scene<'a> {
    bed: &'a Bed,
    program: &'static str,
}

impl<'a> Scene<'a> {
    pub fn new(bed: &'a Bed) -> Scene<'a> {
        Scene { bed, program: PROGRAM }
    }

    /// The same containers under runc.
    pub fn runc(bed: &'a Bed) -> Scene<'a> {
        Scene { bed, program: "runc" }
    }

    fn short(&self) -> &'static str {
        if self.program == "runc" { "runc" } else { "oci" }
    }

    /// The state directory.
    pub fn root(&self) -> PathBuf {
        self.bed.path(&format!("{}-root", self.short()))
    }

    /// A specification that runs a shell script.
    pub fn config(&self, script: &str) -> Value {
        let mut config: Value =
            serde_json::from_str(include_str!("../../src/oci/default-config.json")).unwrap();
        config["root"]["path"] = json!(fixture("busybox"));
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["sh", "-c", script]);
        if self.program == "runc" {
            config["ociVersion"] = json!("1.0.2");
            // runc mounts it without the options that the host's has, which loses them.
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["type"] != "cgroup");
        }
        config
    }

    /// Writes a bundle; its cgroup is named after it.
    pub fn bundle(&self, name: &str, mut config: Value) -> PathBuf {
        if config["linux"]["cgroupsPath"].is_null() {
            let place = format!("/{}/{}-{name}", cgroup_parent(), self.short());
            config["linux"]["cgroupsPath"] = json!(place);
        }
        let dir = self.bed.path(&format!("{}-{name}", self.short()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
        dir
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.arg("--root").arg(self.root()).args(args).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end. What it starts must not hold its streams.
    pub fn call(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// Makes a container that runs a script, its streams the null device.
    pub fn create(&self, name: &str, script: &str) {
        self.create_from(name, self.config(script));
    }

    pub fn create_from(&self, name: &str, config: Value) {
        let bundle = self.bundle(name, config);
        let mut command = self.command(&["create", "--bundle", bundle.to_str().unwrap(), name]);
        let errors = self.bed.path("create-errors");
        let file = std::fs::File::create(&errors).unwrap();
        let status = command.stdout(Stdio::null()).stderr(file).status().unwrap();
        assert!(status.success(), "{}", std::fs::read_to_string(errors).unwrap());
    }

    /// The same, and started.
    pub fn start(&self, name: &str, script: &str) {
        self.create(name, script);
        self.call(&["start", name]).ok();
    }

    pub fn state(&self, name: &str) -> Value {
        serde_json::from_str(&self.call(&["state", name]).ok()).unwrap()
    }

    pub fn status(&self, name: &str) -> String {
        self.state(name)["status"].as_str().unwrap().to_owned()
    }

    /// Waits until the container has this status.
    #[track_caller]
    pub fn until(&self, name: &str, status: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.status(name) != status {
            assert!(Instant::now() < deadline, "{name} is {}, not {status}", self.status(name));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the container's process has a handler for the signal: PID 1 is sent no other.
    #[track_caller]
    pub fn until_caught(&self, name: &str, signal: Signal) {
        let status = format!("/proc/{}/status", self.state(name)["pid"]);
        let is_caught = || {
            let status = std::fs::read_to_string(&status).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
            u64::from_str_radix(caught, 16).unwrap() & 1 << (signal.as_raw() - 1) != 0
        };
        let deadline = Instant::now() + PATIENCE;
        while !is_caught() {
            assert!(Instant::now() < deadline, "{name} has no handler for {signal:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn delete(&self, name: &str) {
        self.call(&["delete", "--force", name]).ok();
        let left = std::fs::read_dir(self.root()).map_or(0, Iterator::count);
        assert!(self.program == "runc" || !self.root().join(name).exists(), "{left} are left");
    }
}

/// A test that failed leaves nothing to the next.
impl Drop for Scene<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in std::fs::read_dir(self.root()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let _ = self.command(&["delete", "--force"]).arg(name).output();
        }
    }
}

/// The one line of a failure, as it stands behind `msg=`.
#[track_caller]
pub fn complaint(ran: &Ran) -> String {
    let (_, text) = ran.err.trim_end().split_once("level=error msg=").unwrap();
    assert!(ran.out.is_empty(), "{ran:?}");
    serde_json::from_str(text).unwrap()
}
