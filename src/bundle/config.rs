//! What a caller wants of a cell, in this crate's words: plain data, checked when it is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::Capability;

use super::accounts::Account;
use super::defaults;
use super::device::{Device, DeviceRule};
use super::limits::Limits;
use super::units::Bytes;
use super::user::User;
use super::user_namespace::UserNamespace;
use super::volume::Volume;
use super::{Error, layers};
use crate::seccomp::Profile;

/// One cell: a command, the root it sees, and what it may use.
///
/// ```
/// use hotcell::bundle::{CellConfig, spec};
///
/// let mut config = CellConfig::new("/srv/rootfs", ["python3", "-c", "print(6 * 7)"]);
/// config.limits.memory = Some("128m".parse()?);
/// config.limits.pids = Some(32);
/// let spec = spec(&config)?;
/// let memory = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref()?.memory().as_ref());
/// assert_eq!(memory.and_then(|memory| memory.limit()), Some(128 << 20));
/// # Ok::<(), hotcell::bundle::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CellConfig {
    /// The directory the cell sees as its root. Never written to.
    pub rootfs: PathBuf,
    /// The layers of the root if it has several, topmost first: directories below one, of which
    /// `rootfs` is the first. [`stack`](CellConfig::stack) sets both. The cell sees them as overlayfs
    /// merges them: a character device 0:0 hides a name, and a directory whose
    /// `trusted.overlay.opaque` and `user.overlay.opaque` are `y` hides what is below it.
    pub layers: Vec<String>,
    /// Where the cell's own writes below `/` go.
    pub upper: Upper,
    /// The command and its arguments. A command without a slash is looked up in the cell's `PATH`.
    /// Without any the specification lacks one, and can't be launched before it is given one.
    pub args: Vec<String>,
    /// `NAME=VALUE`. `PATH`, `HOME` and `HOSTNAME` are added when missing.
    pub env: Vec<String>,
    /// The working directory, made when missing.
    pub cwd: String,
    /// Who the command runs as.
    pub user: User,
    /// Whose ids the cell's are.
    pub user_namespace: UserNamespace,
    /// Its supplementary groups; its own group is always among them.
    pub groups: Vec<u32>,
    /// What its new files' modes lack: permission bits, `0o022` by default.
    pub umask: u32,
    /// How much sooner the kernel's out-of-memory killer takes it than others, -1000 to 1000.
    /// `None`: 0, or the embedder's own if that is higher and the kernel refuses to lower it. A
    /// number that the kernel refuses fails the launch: lowering takes `CAP_SYS_RESOURCE`.
    pub oom_score_adj: Option<i32>,
    /// What root may do beyond other users, and other users at most gain; Docker's fourteen by
    /// default.
    pub capabilities: Vec<Capability>,
    /// Which system calls it may make.
    pub seccomp: Seccomp,
    /// Whether the kernel logs the calls that are refused (`SECCOMP_FILTER_FLAG_LOG`).
    pub seccomp_log: bool,
    /// Whether no program can give it more rights than it has, set-uid ones and file capabilities
    /// included.
    pub no_new_privileges: bool,
    /// The host name inside, 1 to 64 bytes; the driver gives the cell's name when `None`.
    pub hostname: Option<String>,
    /// What it may use.
    pub limits: Limits,
    /// Host directories and files it sees.
    pub volumes: Vec<Volume>,
    /// Memory file systems it gets.
    pub tmpfs: Vec<Tmpfs>,
    /// Devices of the host that it gets, besides those that every cell has.
    pub devices: Vec<Device>,
    /// Devices that it may use once it has made a node for them.
    pub device_rules: Vec<DeviceRule>,
    /// What else is hidden from it, besides [`MASKED_PATHS`](super::MASKED_PATHS): absolute paths
    /// in the cell. Those that don't exist there are left out.
    pub masked_paths: Vec<String>,
    /// What it can reach.
    pub network: Network,
    /// Whether an init of ours is PID 1, hands signals on and reaps orphans. Without it the command
    /// is PID 1 itself and its own fatal signals do nothing by default, as under Docker.
    pub init: bool,
    /// What else the bundle says of the cell, by name; hotcell's own names win.
    pub annotations: BTreeMap<String, String>,
}

impl CellConfig {
    /// A cell with no limits, no volumes, no network, user root, an init, and a root it can write
    /// to without anybody else seeing it.
    #[must_use]
    pub fn new(
        rootfs: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<String>>,
    ) -> CellConfig {
        CellConfig {
            rootfs: rootfs.into(),
            layers: Vec::new(),
            upper: Upper::Tmpfs,
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: "/".to_owned(),
            user: User { uid: 0, gid: 0 },
            user_namespace: UserNamespace::Host,
            groups: Vec::new(),
            umask: defaults::UMASK,
            oom_score_adj: None,
            capabilities: defaults::CAPABILITIES.to_vec(),
            seccomp: Seccomp::Default,
            seccomp_log: false,
            no_new_privileges: true,
            hostname: None,
            limits: Limits::default(),
            volumes: Vec::new(),
            tmpfs: Vec::new(),
            devices: Vec::new(),
            device_rules: Vec::new(),
            masked_paths: Vec::new(),
            network: Network::None,
            init: true,
            annotations: BTreeMap::new(),
        }
    }

    /// Makes the directories `names` below `dir`, topmost first, the layers of the root.
    ///
    /// ```
    /// let mut config = hotcell::bundle::CellConfig::new("/", ["true"]);
    /// config.stack("/srv/layers", ["app", "python", "debian"]);
    /// assert_eq!(config.rootfs, std::path::Path::new("/srv/layers/app"));
    /// assert_eq!(config.layer_dirs()?[2], std::path::Path::new("/srv/layers/debian"));
    /// # Ok::<(), hotcell::bundle::Error>(())
    /// ```
    pub fn stack(
        &mut self,
        dir: impl AsRef<Path>,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) {
        let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
        // Without a name it would be the directory with everybody's layers: let it be refused.
        self.rootfs = names.first().map_or_else(PathBuf::new, |top| dir.as_ref().join(top));
        if names.len() == 1 {
            // It is a root by itself.
            names.clear();
        }
        self.layers = names;
    }

    /// The directories that the root is made of, topmost first.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `layers` are none below one directory, or `rootfs` is not the first.
    pub fn layer_dirs(&self) -> Result<Vec<PathBuf>, Error> {
        layers::dirs(&self.rootfs, &self.layers)
    }

    /// Runs the command as `account`: its user, its groups, and its home directory unless `env`
    /// has a `HOME`.
    pub fn run_as(&mut self, account: Account) {
        self.user = account.user;
        self.groups = account.groups;
        if let Some(home) = account.home {
            // The last variable of a name wins.
            self.env.insert(0, format!("HOME={home}"));
        }
    }
}

/// Which system calls a cell may make; `docs/seccomp.md` has the details.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Seccomp {
    /// What hotcell's own profile lets pass for the cell's capabilities.
    #[default]
    Default,
    /// All of them: nothing but capabilities and namespaces stands between the cell and the kernel.
    Unconfined,
    /// What this profile lets pass for the cell's capabilities.
    Profile(Arc<Profile>),
}

/// Where a cell's writes below `/` go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upper {
    /// Nowhere: the root is read-only.
    ReadOnly,
    /// Into memory, charged to the cell's limit.
    Tmpfs,
    /// Into the driver's data directory, until the cell is closed.
    Disk,
}

/// A memory file system, charged to the cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tmpfs {
    /// In the cell: absolute.
    pub target: String,
    /// The most it holds; half of the host's memory when `None`, as the kernel has it.
    pub size: Option<Bytes>,
    /// The most files it holds.
    pub inodes: Option<u64>,
    /// Mode of its root, `0o1777` by default.
    pub mode: u32,
    /// Whether it starts with a copy of what it covers, whose mode it then has.
    pub copy: bool,
    /// Whether programs on it can be executed; Docker's default is no.
    pub exec: bool,
    /// Whether it is read-only.
    pub read_only: bool,
}

impl Tmpfs {
    /// A tmpfs at `target` with the defaults.
    #[must_use]
    pub fn new(target: impl Into<String>) -> Tmpfs {
        Tmpfs {
            target: target.into(),
            size: None,
            inodes: None,
            mode: 0o1777,
            copy: false,
            exec: false,
            read_only: false,
        }
    }
}

/// What a cell can reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Network {
    /// Itself, over the loopback interface.
    None,
    /// Everything the host can: no isolation.
    Host,
}
