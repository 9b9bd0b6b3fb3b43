//! What this host offers to the tests, probed before they are listed.

use std::path::{Path, PathBuf};

use hotcell::cgroup::{Controller, Hierarchies};

/// Something a test can't do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Root with a cgroup v2 tree it can write to.
    Cells,
    Memory,
    Cpu,
    Pids,
    /// The freezer of cgroup v1, which keeps what it froze from dying.
    OldFreezer,
    /// The busybox root.
    Busybox,
    /// The Debian root with python3.
    Debian,
    /// The test images.
    Images,
    /// A C compiler and the static C library.
    Compiler,
    Runc,
    Crun,
    Podman,
    Containerd,
    Dockerd,
    /// The distribution's registry.
    Distribution,
    /// What makes certificates.
    Openssl,
    /// The tests were started by cargo.
    Cargo,
    /// umoci and skopeo, which make a bundle of an image.
    Umoci,
    /// A C compiler and libseccomp's headers.
    Libseccomp,
    /// The specification's schemas, and what checks documents by them.
    Schemas,
    /// Podman's profile.
    PodmansProfile,
    /// A host whose one cgroup tree is v2, controllers and all.
    Unified,
    /// A host with v1 controllers beside the v2 tree.
    Hybrid,
    /// A unified host whose PID 1 is systemd.
    Systemd,
}

/// There while systemd is PID 1.
const SYSTEMD: &str = "/run/systemd/system";
/// Where distributions mount it.
pub const OLD_FREEZER: &str = "/sys/fs/cgroup/freezer";

/// Where Debian's golang-github-opencontainers-specs-dev puts the specification's schemas.
pub const SCHEMAS: &str = "/usr/share/gocode/src/github.com/opencontainers/runtime-spec/schema";
/// Where python3-jsonschema is.
const CHECKER: &str = "/usr/lib/python3/dist-packages/jsonschema";

/// The answers.
#[derive(Debug)]
pub struct Host {
    root: bool,
    hierarchies: Option<Hierarchies>,
}

impl Host {
    pub fn probe() -> Host {
        Host { root: rustix::process::geteuid().is_root(), hierarchies: Hierarchies::detect().ok() }
    }

    /// Whether the need is for the other kind of host. Nobody can install that: such a test runs
    /// elsewhere, which `scripts/test` sees to.
    pub fn is_other_than(&self, need: Need) -> bool {
        let hybrid = self.hierarchies.as_ref().is_some_and(Hierarchies::is_hybrid);
        match need {
            Need::Unified => hybrid,
            Need::Hybrid => !hybrid,
            Need::Cargo => std::env::var_os("CARGO").is_none(),
            Need::Systemd => hybrid || !Path::new(SYSTEMD).is_dir(),
            _ => false,
        }
    }

    /// The name of what is missing, if it is.
    pub fn lacks(&self, need: Need) -> Option<&'static str> {
        let offers = |c| self.hierarchies.as_ref().is_some_and(|h| h.offers(c));
        let (there, name) = match need {
            Need::Cells => (self.root && self.hierarchies.is_some(), "root and a cgroup v2 tree"),
            Need::Memory => (offers(Controller::Memory), "the memory controller"),
            Need::Cpu => (offers(Controller::Cpu), "the cpu controller"),
            Need::Pids => (offers(Controller::Pids), "the pids controller"),
            Need::OldFreezer => (Path::new(OLD_FREEZER).is_dir(), "the freezer of cgroup v1"),
            Need::Busybox => (fixture("busybox").is_dir(), "the busybox root (scripts/setup)"),
            Need::Debian => (fixture("debian").is_dir(), "the Debian root (scripts/setup)"),
            Need::Images => (fixture("images").is_dir(), "the images (scripts/setup)"),
            Need::Compiler => (installed("cc"), "a C compiler (scripts/setup)"),
            Need::Runc => (installed("runc"), "runc (scripts/setup)"),
            Need::Crun => (installed("crun"), "crun (scripts/setup)"),
            Need::Podman => (installed("podman"), "podman (scripts/setup)"),
            Need::Containerd => (installed("containerd"), "containerd (scripts/setup)"),
            Need::Dockerd => (installed("dockerd"), "dockerd (scripts/setup)"),
            Need::Distribution => (installed("docker-registry"), "docker-registry (scripts/setup)"),
            Need::Openssl => (installed("openssl"), "openssl (scripts/setup)"),
            Need::Cargo => (!self.is_other_than(need), "cargo"),
            Need::Umoci => {
                (installed("umoci") && installed("skopeo"), "umoci, skopeo (scripts/setup)")
            }
            Need::Libseccomp => {
                (Path::new("/usr/include/seccomp.h").exists(), "libseccomp-dev (scripts/setup)")
            }
            Need::Schemas => (
                Path::new(SCHEMAS).is_dir() && Path::new(CHECKER).is_dir(),
                "the specification's schemas and python3-jsonschema (scripts/setup)",
            ),
            Need::Systemd => (!self.is_other_than(need), "systemd and a unified cgroup tree"),
            Need::Unified => (!self.is_other_than(need), "a unified cgroup tree"),
            Need::Hybrid => (!self.is_other_than(need), "v1 controllers"),
            Need::PodmansProfile => {
                (fixture("podman-seccomp.json").exists(), "Podman's profile (scripts/setup)")
            }
        };
        (!there).then_some(name)
    }
}

/// Whether a program stands in `PATH`.
fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Where `rootfs-fixtures/build` puts a root.
pub fn fixture(name: &str) -> PathBuf {
    let home =
        || Path::new(&std::env::var("HOME").unwrap_or_default()).join(".cache/hotcell/fixtures");
    std::env::var("HOTCELL_FIXTURES").map_or_else(|_| home(), PathBuf::from).join(name)
}

/// Where `rootfs-fixtures/images` puts an image in one of its forms: `oci`, `docker.tar`, ...
pub fn image(name: &str, form: &str) -> PathBuf {
    fixture("images").join(name).join(form)
}

/// Whether the heavy proofs run whole.
pub fn soak() -> bool {
    std::env::var("HOTCELL_SOAK").is_ok_and(|soak| soak == "1")
}
