//! Where tests run cells: a state directory and a cgroup parent of their own, and the program.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio as Pipes};

use hotcell::bundle::CellConfig;
use hotcell::cgroup::{Hierarchies, OwnPlace};
use hotcell::launch::Stdio;
use hotcell::native::{Instance, Options, Outcome, Running};

use crate::host::fixture;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_hotcell");

/// One test's surroundings. All tests of a run share the cgroup parent.
pub struct Bed {
    dir: tempfile::TempDir,
}

/// What the program did.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The name of the cgroup above all cells of this run; other runs have their own.
pub fn cgroup_parent() -> String {
    let number =
        std::env::var("HOTCELL_TEST_RUN").unwrap_or_else(|_| std::process::id().to_string());
    format!("hotcell-test-{number}")
}

impl Bed {
    pub fn new() -> Bed {
        Bed { dir: tempfile::Builder::new().prefix("hotcell-test").tempdir().unwrap() }
    }

    /// For files of the test's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn options(&self) -> Options {
        let mut options = Options::default();
        options.state_dir = self.path("state");
        options.data_dir = self.path("data");
        options.image_dir = self.path("images");
        options.cgroup_parent = cgroup_parent();
        if crate::own_place::may_move() {
            options.own_place = OwnPlace::MoveAside;
        }
        options
    }

    pub fn driver(&self) -> Instance {
        Instance::open(self.options()).unwrap()
    }

    /// The program with this bed's directories; `args` follow the command's name.
    pub fn command<S: AsRef<OsStr>>(
        &self,
        verb: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let options = self.options();
        let mut command = Command::new(PROGRAM);
        command
            .env("HOTCELL_STATE_DIR", &options.state_dir)
            .env("HOTCELL_DATA_DIR", &options.data_dir)
            .env("HOTCELL_IMAGE_DIR", self.path("images"))
            .env("HOTCELL_CGROUP_PARENT", &options.cgroup_parent)
            .arg(verb)
            .args(args)
            .stdin(Pipes::null());
        command
    }

    /// `hotcell run` with `args`, to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::from(self.command("run", args).output().unwrap())
    }

    /// `hotcell run` on the busybox root: flags, then a shell script.
    pub fn sh(&self, flags: &[&str], script: &str) -> Ran {
        let rootfs = fixture("busybox");
        let rootfs = ["--rootfs", rootfs.to_str().unwrap()];
        self.run(rootfs.iter().chain(flags).chain(&["--", "sh", "-c", script]))
    }

    /// The same, started and left alone.
    pub fn spawn_sh(&self, flags: &[&str], script: &str) -> Child {
        let rootfs = fixture("busybox");
        let rootfs = ["--rootfs", rootfs.to_str().unwrap()];
        let shell = ["--", "sh", "-c", script];
        let mut command = self.command("run", rootfs.iter().chain(flags).chain(&shell));
        command.stdout(Pipes::piped()).stderr(Pipes::piped()).spawn().unwrap()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// The output of a command that must have succeeded without a word.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.code == Some(0) && self.err.is_empty(), "{self:?}");
        self.out
    }
}

/// A shell script on the busybox root.
pub fn script(text: &str) -> CellConfig {
    CellConfig::new(fixture("busybox"), ["sh", "-c", text])
}

/// Starts `config` in this process with null streams.
pub fn start(driver: &Instance, config: &CellConfig) -> Running {
    driver.create(None, config, None).unwrap().run(Stdio::default()).unwrap()
}

/// Runs `config` in this process from start to close.
pub fn finish(driver: &Instance, config: &CellConfig) -> Outcome {
    let mut running = start(driver, config);
    let outcome = running.wait(None).unwrap().unwrap().clone();
    running.close().unwrap();
    outcome
}

/// The cgroup above all cells of this run, in every hierarchy that a driver uses.
pub fn cgroup_dirs() -> Vec<PathBuf> {
    let Ok(hierarchies) = Hierarchies::detect() else {
        return Vec::new();
    };
    let mounts = hierarchies.v1.into_values().chain([hierarchies.unified]);
    dirs_below(mounts)
}

/// The same in every hierarchy that is mounted: engines' containers are in all of them.
pub fn every_cgroup_dir() -> Vec<PathBuf> {
    let Ok(hierarchies) = Hierarchies::detect() else {
        return Vec::new();
    };
    let all = hierarchies.mounted.into_iter().map(|mounted| mounted.at);
    dirs_below(all.chain(hierarchies.v1.into_values()).chain([hierarchies.unified]))
}

fn dirs_below(mounts: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut dirs: Vec<_> = mounts.map(|mount| mount.join(cgroup_parent())).collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

/// What is left of the cgroup parents when all tests have run; a cell's would keep them.
pub fn remove_all() {
    for dir in every_cgroup_dir() {
        let _ = std::fs::remove_dir(dir);
    }
}

/// Every file below `dir` with its type, mode, size and time of change, to see that none changed.
pub fn listing(dir: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut all = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.path().symlink_metadata().unwrap();
            let (path, mode, size) = (entry.path(), meta.mode(), meta.size());
            all.push(format!(
                "{} {mode:o} {size} {}.{}",
                path.display(),
                meta.ctime(),
                meta.ctime_nsec()
            ));
            if meta.is_dir() {
                dirs.push(path);
            }
        }
    }
    all.sort();
    all
}
