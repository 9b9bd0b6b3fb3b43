//! Where a run happens: the root file system, the built floor, directories of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use hotcell::bundle::CAPABILITIES;
use hotcell::native::Options;
use hotcell::seccomp::{Architecture, Kernel, Profile, Program, compile};

/// Where the workers' drivers keep their things, told by the run that starts them.
const STATE: &str = "HOTCELL_BENCH_STATE";

pub(crate) struct Bed {
    pub(crate) rootfs: PathBuf,
    /// Removed with all that is in it.
    pub(crate) dir: tempfile::TempDir,
    floor: PathBuf,
    filter: PathBuf,
}

impl Bed {
    pub(crate) fn make() -> Bed {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor");
        let floor = Path::new(env!("CARGO_TARGET_TMPDIR")).join("floor");
        let sources = ["main.c", "root.c", "start.c", "tools.c"].map(|name| top.join(name));
        let mut build = Command::new("cc");
        build.args(["-O2", "-static", "-o"]).arg(&floor).args(sources);
        assert!(build.status().unwrap().success(), "the floor did not build");
        let dir = tempfile::Builder::new().prefix("hotcell-bench").tempdir_in(memory()).unwrap();
        let filter = dir.path().join("filter");
        std::fs::write(&filter, bytes(&default_filter())).unwrap();
        let bed = Bed { rootfs: fixture("busybox"), dir, floor, filter };
        assert!(bed.rootfs.is_dir(), "{} is missing: run scripts/setup", bed.rootfs.display());
        bed
    }

    /// The floor, which wants more words.
    pub(crate) fn tool(&self) -> Command {
        Command::new(&self.floor)
    }

    /// The floor, answering requests.
    pub(crate) fn floor(&self) -> Command {
        self.floor_on(std::slice::from_ref(&self.rootfs))
    }

    /// The same on a root of several directories, topmost first.
    pub(crate) fn floor_on(&self, lowers: &[PathBuf]) -> Command {
        let mut command = self.tool();
        let lowers: Vec<_> = lowers.iter().map(|dir| dir.to_str().unwrap()).collect();
        command.arg("serve").arg(lowers.join(":")).arg(&self.filter);
        command
    }

    /// This library in a process of its own that holds so much memory.
    pub(crate) fn worker(&self, megabytes: usize) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--worker").arg(megabytes.to_string()).env(STATE, self.dir.path());
        command
    }

    /// What a driver of this run is called, and where it keeps its things.
    pub(crate) fn options(&self) -> Options {
        options_below(self.dir.path())
    }
}

/// A directory that is no disk's, as the driver's state directory shall be.
fn memory() -> &'static Path {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    let is_memory = |path: &Path| {
        rustix::fs::statfs(path).is_ok_and(|found| found.f_type as u64 == TMPFS_MAGIC)
    };
    let run = Path::new("/run");
    if is_memory(run) { run } else { Path::new("/dev/shm") }
}

/// The same in a worker.
pub(crate) fn options() -> Options {
    options_below(Path::new(&std::env::var(STATE).unwrap()))
}

fn options_below(dir: &Path) -> Options {
    let mut options = Options::default();
    options.state_dir = dir.join("state");
    options.data_dir = dir.join("data");
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    options.cgroup_parent = name.trim_start_matches('.').to_owned();
    options
}

/// What `scripts/setup` made.
pub(crate) fn fixture(name: &str) -> PathBuf {
    let cache = std::env::var("HOTCELL_FIXTURES").map(PathBuf::from);
    let home = || Path::new(&std::env::var("HOME").unwrap()).join(".cache/hotcell/fixtures");
    cache.unwrap_or_else(|_| home()).join(name)
}

/// The filter of a cell without wishes.
pub(crate) fn default_filter() -> Program {
    let native = Architecture::NATIVE;
    compile(&Profile::hotcell().resolve(&CAPABILITIES, native, Kernel::running()), native).unwrap()
}

pub(crate) fn bytes(program: &Program) -> Vec<u8> {
    program.instructions().iter().flat_map(|word| word.to_ne_bytes()).collect()
}
