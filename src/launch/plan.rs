//! The plan: what the init will do, step by step, and how it reads in an error text.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::inside::InsideHook;
use super::listener::Listener;
use super::mount_plan::{Mount, Tree};
use crate::init::wire::{CONTROL_FD, IN_TRAY};
use crate::seccomp::Program;
use crate::sys::abi::SchedAttr;

/// One step. Sources and what comes before the root is entered are paths of the host; targets after
/// that are resolved below the new root and nowhere else.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are the arguments told at the operation")]
#[non_exhaustive]
pub enum Step {
    OomScore { adjust: i32, required: bool },
    Cgroups,
    JoinTasks { hierarchy: Cow<'static, str>, tasks: Tasks },
    UnshareCgroup,
    Unshare(u64),
    KeepProc,
    BeginProc { descriptor: usize, mounts: usize, keep: bool },
    Birth,
    EnterNamespace { name: &'static str, flag: u64, descriptor: usize },
    TimeNamespace(String),
    Cradle,
    Propagation(u64),
    Scratch { target: &'static str, shared: bool },
    MakeHere { name: &'static str, mode: u32 },
    Overlay { target: &'static str, options: String },
    EnterRoot(&'static str),
    BecomeRoot,
    TreeHere { tree: Box<Tree>, name: &'static str },
    TreeAsRoot { tree: Box<Tree>, target: String },
    Tree { tree: Box<Tree>, target: String, how: u16 },
    Mount(Box<Mount>),
    Attributes { target: String, set: u64, clear: u64, recursive: bool, how: u16 },
    Tray { target: String, how: u16 },
    SealTray,
    Node { dir: String, name: String, mode: u32, device: u64, uid: u32, gid: u32 },
    Link { dir: String, name: String, content: String },
    Mask(String),
    ReadOnly(String),
    RootAttributes(u64),
    Pause,
    Pivot,
    Cover,
    Terminal { socket: usize, uid: u32, rows: u16, columns: u16, console: bool },
    Hostname(String),
    Domainname(String),
    Loopback,
    Sysctl { name: String, path: String, value: String },
    Label { module: &'static str, path: &'static str, value: String },
    Scheduler(SchedAttr),
    IoPriority { class: u8, level: u8 },
    Affinity(Vec<u8>),
    MemoryPolicy { mode: u64, nodes: Vec<u8> },
    Personality(u64),
    Rlimit { name: &'static str, resource: u64, soft: u64, hard: u64 },
    NullStream(u32),
    Bounding { keep: u64, last: u32 },
    Identity { uid: u32, gid: u32, groups: Vec<u32> },
    Capabilities { effective: u64, permitted: u64, inheritable: u64 },
    Ambient(u64),
    WorkingDir { path: String, make: bool },
    Umask(u32),
    NoNewPrivileges,
    Enter { target: usize, namespaces: u64 },
    FindProgram,
    Listen,
    AllClear,
    Latch { wait: usize, tell: usize },
    Filter,
    Hook(Box<InsideHook>),
}

/// Where the init has a cgroup's `tasks` file from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tasks {
    /// It starts with it, as a descriptor of this number.
    Given(usize),
    /// It comes with the cgroups, once those are made.
    Sent,
}

/// A descriptor that the init starts with.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Given {
    /// The mount namespace that the cell builds its own in.
    Cradle,
    /// The pidfd of the first process of a cell that it enters.
    Target,
    /// The `tasks` file of a cgroup that it joins.
    Tasks(Cow<'static, str>),
    /// What it waits at.
    LatchWait,
    /// What it answers through then.
    LatchTell,
    /// A namespace (`CLONE_NEW*`) that it enters.
    Namespace(u64),
    /// The socket that the master of its terminal goes through.
    Console,
    /// What a hook that it runs reads as its standard input.
    HookState,
    /// What such a hook writes to.
    HookOutput,
    /// The caller's own descriptor of this number, which the task gets too.
    Kept(u32),
}

/// A namespace that is somebody else's too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// Its kind: `CLONE_NEW*`.
    pub flag: u64,
    /// The specification's name for the kind.
    pub name: &'static str,
    /// A file that stands for it.
    pub path: PathBuf,
}

impl Given {
    /// Adds a descriptor to those of a plan; its number in the init.
    pub(super) fn to(self, given: &mut Vec<Given>) -> usize {
        given.push(self);
        CONTROL_FD + given.len()
    }
}

/// The maps of a user namespace, as `/proc/PID/uid_map` and `gid_map` take them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct IdMaps {
    /// User ids.
    pub uid: String,
    /// Group ids.
    pub gid: String,
}

impl fmt::Display for Step {
    #[allow(clippy::too_many_lines, reason = "one line for each operation")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::OomScore { adjust, required } => {
                let or_not = if *required { "" } else { " if possible" };
                write!(f, "set oom_score_adj to {adjust}{or_not}")
            }
            Step::Cgroups => f.write_str("wait for the cgroups"),
            Step::JoinTasks { hierarchy, .. } => write!(f, "join the {hierarchy} cgroup"),
            Step::UnshareCgroup => f.write_str("unshare the cgroup namespace"),
            Step::Unshare(flags) => write!(f, "make the namespaces {flags:#x}"),
            Step::KeepProc => f.write_str("keep the host's proc file system at hand"),
            Step::BeginProc { .. } => f.write_str("begin a proc file system in the pid namespace"),
            Step::Birth => f.write_str("be born in the pid namespace"),
            Step::EnterNamespace { name, .. } => write!(f, "enter the {name} namespace"),
            Step::TimeNamespace(offsets) => {
                write!(f, "make a time namespace with offsets {offsets:?}")
            }
            Step::Cradle => f.write_str("enter an empty mount namespace"),
            Step::Propagation(flags) => write!(f, "set mount propagation {flags:#x} on /"),
            Step::Scratch { target, .. } => write!(f, "mount tmpfs at {target}"),
            Step::MakeHere { name, mode } => write!(f, "make directory {name} (mode {mode:o})"),
            Step::Overlay { target, options } => write!(f, "mount overlay at {target} ({options})"),
            Step::EnterRoot(path) => write!(f, "enter the new root {path}"),
            Step::BecomeRoot => f.write_str("become root of the user namespace"),
            Step::TreeHere { tree, name } => write!(f, "{tree} at {name}"),
            Step::TreeAsRoot { tree, target } => write!(f, "{tree} as root at {target}"),
            Step::Tree { tree, target, how } => {
                let tray = if how & IN_TRAY != 0 { " in the tmpfs" } else { "" };
                write!(f, "{tree} at {target}{tray}")
            }
            Step::Mount(mount) => mount.fmt(f),
            Step::Attributes { target, set, clear, .. } => {
                write!(f, "change attributes of {target} (set {set:#x}, clear {clear:#x})")
            }
            Step::Tray { target, .. } => write!(f, "mount tmpfs at {target} for other mounts"),
            Step::SealTray => f.write_str("make the tmpfs for other mounts read-only"),
            Step::Node { dir, name, mode, device, .. } => {
                let dir = dir.trim_end_matches('/');
                write!(f, "make node {dir}/{name} (mode {mode:o}, device {device:#x})")
            }
            Step::Link { dir, name, content } => write!(f, "link {dir}/{name} to {content}"),
            Step::Mask(path) => write!(f, "hide {path}"),
            Step::ReadOnly(path) => write!(f, "make {path} read-only"),
            Step::RootAttributes(set) => write!(f, "change attributes of / (set {set:#x})"),
            Step::Pause => f.write_str("wait for the hooks"),
            Step::Pivot => f.write_str("pivot to the new root"),
            Step::Cover => f.write_str("cover the old root with the new one"),
            Step::Terminal { uid, .. } => write!(f, "open a terminal for user {uid}"),
            Step::Hostname(name) => write!(f, "set host name {name:?}"),
            Step::Domainname(name) => write!(f, "set domain name {name:?}"),
            Step::Loopback => f.write_str("bring the loopback interface up"),
            Step::Sysctl { name, value, .. } => write!(f, "set sysctl {name} to {value:?}"),
            Step::Label { module, value, .. } => write!(f, "set {module} label {value:?}"),
            Step::Scheduler(attr) => {
                let SchedAttr { policy, nice, priority, .. } = attr;
                write!(f, "set scheduling policy {policy} (nice {nice}, priority {priority})")
            }
            Step::IoPriority { class, level } => write!(f, "set I/O priority {class}:{level}"),
            Step::Affinity(mask) => write!(f, "run on CPUs {}", Bits(mask)),
            Step::MemoryPolicy { mode, nodes } => {
                write!(f, "set memory policy {mode:#x} for nodes {}", Bits(nodes))
            }
            Step::Personality(domain) => write!(f, "set execution domain {domain:#x}"),
            Step::Rlimit { name, soft, hard, .. } => {
                let text = |limit: &u64| match limit {
                    &u64::MAX => "unlimited".to_owned(),
                    limit => limit.to_string(),
                };
                write!(f, "set {name} to {}:{}", text(soft), text(hard))
            }
            Step::NullStream(number) => write!(f, "open /dev/null as descriptor {number}"),
            Step::Bounding { keep, .. } => write!(f, "bound capabilities to {keep:#x}"),
            Step::Identity { uid, gid, groups } => write!(f, "become {uid}:{gid} {groups:?}"),
            Step::Capabilities { effective, permitted, .. } => {
                write!(f, "set capabilities {effective:#x}, permitted {permitted:#x}")
            }
            Step::Ambient(set) => write!(f, "set ambient capabilities {set:#x}"),
            Step::WorkingDir { path, .. } => write!(f, "enter the working directory {path}"),
            Step::Umask(mask) => write!(f, "set umask {mask:o}"),
            Step::NoNewPrivileges => f.write_str("set no_new_privs"),
            Step::Enter { namespaces, .. } => {
                write!(f, "enter the cell (namespaces {namespaces:#x})")
            }
            Step::FindProgram => f.write_str("look for the command"),
            Step::Listen => f.write_str("load the system call filter and hand over its listener"),
            Step::AllClear => f.write_str("report all clear"),
            Step::Latch { .. } => f.write_str("wait for the start"),
            Step::Filter => f.write_str("load the system call filter"),
            Step::Hook(hook) => hook.fmt(f),
        }
    }
}

/// A mask as people read it.
struct Bits<'a>(&'a [u8]);

impl fmt::Display for Bits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = (0..self.0.len() * 8).filter(|bit| self.0[bit / 8] >> (bit % 8) & 1 != 0);
        for (at, bit) in bits.enumerate() {
            write!(f, "{}{bit}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// All that the init needs to know.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The files to try to execute, in order.
    pub paths: Vec<String>,
    /// Arguments, the command's name first.
    pub argv: Vec<String>,
    /// Environment.
    pub envp: Vec<String>,
    /// Namespaces that are joined.
    pub joined: Vec<Joined>,
    /// What the init starts with behind the control socket, in order.
    pub given: Vec<Given>,
    /// Whether the init stays as PID 1.
    pub stay: bool,
    /// Namespaces (`CLONE_NEW*`) that the init makes while the parent sees to the rest.
    pub unshare: u64,
    /// Whether the task is a process that is born when all but what others may see is done.
    pub born_late: bool,
    /// Whether its filter binds it from its birth on, which then must let pass what comes after.
    pub bound_early: bool,
    /// The maps of the cell's own user namespace, if it has one.
    pub ids: Option<IdMaps>,
    /// The task's system call filter.
    pub filter: Option<Arc<Program>>,
    /// Who decides about the calls that the filter leaves to an agent.
    pub listener: Option<Listener>,
    /// Capabilities that only loading the filter needs: a staying init gives them up after that, and
    /// the command never has them.
    pub borrowed: u64,
}

impl fmt::Display for Plan {
    /// One step a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl Plan {
    /// The descriptors behind the streams that the task gets: how many, and the first one's number in
    /// the init. They are the last that it starts with.
    pub(super) fn kept(&self) -> (usize, usize) {
        let count = self.given.iter().filter(|given| matches!(given, Given::Kept(_))).count();
        (count, CONTROL_FD + 1 + self.given.len() - count)
    }

    /// Whether another process than the init goes on as the cell's first one, or as the task.
    pub(super) fn has_birth(&self) -> bool {
        self.steps.contains(&Step::Birth)
    }

    /// Whether the init says anything that is acted on before it lets go of the control socket.
    pub(super) fn talks(&self) -> bool {
        let turn = |step: &Step| {
            matches!(step, Step::Birth | Step::Pause | Step::Listen | Step::Filter | Step::Hook(_))
        };
        self.stay || self.listener.is_some() || self.steps.iter().any(turn)
    }

    /// Whether the cell joins a namespace of this kind (`CLONE_NEW*`).
    pub(super) fn joins(&self, flag: u64) -> bool {
        self.joined.iter().any(|joined| joined.flag == flag)
    }

    /// What has to be sent along, in the order of the steps that take it.
    pub(super) fn trees(&self) -> impl Iterator<Item = &Tree> {
        trees(&self.steps)
    }

    /// The same, apart: what goes with the plan, and what goes with the cgroups, if the init waits for
    /// those.
    pub(super) fn trees_apart(
        &self,
    ) -> (impl Iterator<Item = &Tree>, Option<impl Iterator<Item = &Tree>>) {
        let wait = self.steps.iter().position(|step| *step == Step::Cgroups);
        let (before, after) = self.steps.split_at(wait.unwrap_or(self.steps.len()));
        (trees(before), wait.map(|_| trees(after)))
    }
}

fn trees(steps: &[Step]) -> impl Iterator<Item = &Tree> {
    steps.iter().filter_map(|step| match step {
        Step::TreeHere { tree, .. } | Step::TreeAsRoot { tree, .. } | Step::Tree { tree, .. } => {
            Some(tree.as_ref())
        }
        _ => None,
    })
}
