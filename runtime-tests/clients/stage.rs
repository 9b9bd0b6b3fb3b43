//! Where an engine plays: namespaces of its own that take everything along when the test ends.
//!
//! ```text
//! this test ──► unshare ──► bash, PID 1 of the stage ──► engines, shims, conmon, containers
//!                           tmpfs on DIR, /run and /dev/shm; lo is the whole network
//! ```
//!
//! PID 1 reads a pipe that the test holds, so nothing on the stage outlives the test. Control groups
//! are the host's own: the stage has one parent for all of its containers, and removes it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio as Pipes};
use std::time::{Duration, Instant};

use crate::bed::{Bed, Ran};

/// How long anything on the stage may take. Emulated machines are slow.
pub const PATIENCE: Duration = Duration::from_secs(150);

const SET_UP: &str = "
set -e
mount -t tmpfs -o size=1g,mode=755 tmpfs $1
mount -t tmpfs -o size=64m,mode=755 tmpfs /run
mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm
/bin/busybox ip link set lo up
echo ready
exec >/dev/null
trap : CHLD
while read -r _; do :; done";

/// One test's stage.
pub struct Stage {
    holder: Child,
    init: i32,
    dir: PathBuf,
    /// The name of the cgroup above all containers.
    parent: String,
    /// How the cgroups of containers begin; engines have others of their own there.
    cells: &'static str,
    /// What the engine keeps mounted for its next start, below the directory.
    kept: &'static [&'static str],
    mounts: Vec<String>,
}

impl Stage {
    pub fn set_up(bed: &Bed, cells: &'static str, kept: &'static [&'static str]) -> Stage {
        let dir = bed.path("stage");
        std::fs::create_dir(&dir).unwrap();
        let namespaces = ["--mount", "--pid", "--net", "--fork", "--mount-proc", "--kill-child"];
        let mut holder = Command::new("unshare")
            .args(namespaces)
            .args(["--propagation", "private", "bash", "-c", SET_UP, "stage"])
            .arg(&dir)
            .stdin(Pipes::piped())
            .stdout(Pipes::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the stage was not set up");
        let children = format!("/proc/{0}/task/{0}/children", holder.id());
        let init = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
        let parent = format!("hotcell-clients-{}", std::process::id());
        let mounts = mounts_of(init);
        Stage { holder, init, dir, parent, cells, kept, mounts }
    }

    /// A directory that only the stage sees: a tmpfs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    /// The cgroup above all containers, as engines want it: absolute.
    pub fn cgroup_parent(&self) -> String {
        format!("/{}", self.parent)
    }

    /// A program on the stage. It ends by itself when it takes too long.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.enter();
        let patience = PATIENCE.as_secs().to_string();
        command.args(["timeout", "--foreground", "-k", "1", &patience]).arg(program);
        command
    }

    /// A program that runs until it is stopped. What it writes goes to `log` in the bed.
    pub fn daemon(&self, name: &str, words: &[&str], log: &Path) -> Daemon {
        let pid_file = self.path(&format!("{name}.started"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = self.enter();
        command.args(["sh", "-c", "echo $$ >$0; exec \"$@\"", &pid_file, name]).args(words);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Daemon { child: command.spawn().unwrap(), pid_file }
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--pid", "--net", "--target", &self.init.to_string(), "--"]);
        command.stdin(Pipes::null());
        command
    }

    pub fn sh(&self, script: &str) -> Ran {
        Ran::from(self.command("sh").args(["-c", script]).output().unwrap())
    }

    /// Ends the stage; what the engine's containers left on it is a failure.
    pub fn finish(self) {
        let left = until(Duration::from_secs(5), || {
            let left = self.left();
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
        drop(self);
        if let Err(left) = left {
            panic!("left on the stage:\n  {}", left.join("\n  "));
        }
    }

    /// Processes, mounts and cgroups that were not there at first.
    fn left(&self) -> Vec<String> {
        let mounts = mounts_of(self.init);
        let kept = |line: &str| {
            self.kept.iter().any(|one| line.contains(&format!(" {} ", self.path(one))))
        };
        let mut left: Vec<_> =
            mounts.into_iter().filter(|line| !self.mounts.contains(line) && !kept(line)).collect();
        left.extend(self.processes());
        for parent in self.cgroups() {
            let cells = below(&parent)
                .into_iter()
                .filter(|dir| dir.file_name().unwrap().to_string_lossy().starts_with(self.cells));
            left.extend(cells.map(|dir| format!("cgroup {}", dir.display())));
        }
        left
    }

    /// All but PID 1 that live in the stage's PID namespace.
    fn processes(&self) -> Vec<String> {
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let stage = namespace(&self.init.to_string());
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().into_string().ok());
        let here = pids.filter(|pid| {
            pid.bytes().all(|byte| byte.is_ascii_digit())
                && *pid != self.init.to_string()
                && namespace(pid) == stage
        });
        let named = here.map(|pid| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            format!("process {pid}: {}", line.replace('\0', " "))
        });
        named.collect()
    }

    /// The parent's directories, one in each hierarchy that the host has mounted.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let hierarchies = fields.filter(|fields| fields[2] == "cgroup" || fields[2] == "cgroup2");
        let parents = hierarchies.map(|fields| Path::new(fields[1]).join(&self.parent));
        parents.filter(|parent| parent.is_dir()).collect()
    }
}

/// A daemon on a stage.
pub struct Daemon {
    /// nsenter, which waits for it.
    child: Child,
    pid_file: String,
}

impl Daemon {
    /// Asks it to end, and waits.
    pub fn stop(mut self, stage: &Stage) {
        let ran = stage.sh(&format!("kill $(cat {})", self.pid_file));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let ended = until(PATIENCE, || self.child.try_wait().unwrap().ok_or(()));
        assert!(ended.is_ok(), "a daemon does not end");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        for parent in self.cgroups() {
            for cell in below(&parent) {
                // What is frozen by cgroup v1 does not die.
                let _ = std::fs::write(cell.join("freezer.state"), "THAWED");
            }
        }
        for parent in self.cgroups() {
            let _ = until(Duration::from_secs(5), || remove_tree(&parent));
        }
    }
}

/// The directories below one, those deeper down first.
fn below(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(below(&entry.path()));
            all.push(entry.path());
        }
    }
    all
}

/// What still holds a dying process is refused.
fn remove_tree(top: &Path) -> std::io::Result<()> {
    for dir in below(top).iter().map(PathBuf::as_path).chain([top]) {
        match std::fs::remove_dir(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn mounts_of(pid: i32) -> Vec<String> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap_or_default();
    table.lines().map(|line| format!("mount {line}")).collect()
}

/// Tries until it works or the time is up, and gives the last failure.
pub fn until<T, E>(patience: Duration, mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let deadline = Instant::now() + patience;
    loop {
        match attempt() {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            outcome => return outcome,
        }
    }
}

/// Waits until `what` holds.
#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let outcome = until(PATIENCE, || if holds() { Ok(()) } else { Err(()) });
    assert!(outcome.is_ok(), "waited in vain: {what}");
}
