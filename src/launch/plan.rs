//! The plan: what the init will do, step by step, and how it reads in an error text.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::Error;
use crate::cgroup::Controller;
use crate::init::wire::{self, Header, MAGIC, Op};
use crate::seccomp::Program;
use crate::sys::abi::{MOUNT_ATTR_RDONLY, MS_RDONLY};

/// One step. Sources and what comes before the root is entered are paths of the host; targets after
/// that are resolved below the new root and nowhere else.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are the arguments told at the operation")]
#[non_exhaustive]
pub enum Step {
    OomScore { adjust: i32, required: bool },
    JoinTasks { controller: Controller, descriptor: usize },
    UnshareCgroup,
    Propagation(u64),
    Scratch { target: String, options: String },
    HostDir(String),
    MakeHere { name: String, mode: u32 },
    Overlay { target: String, options: String },
    BindRoot { path: String, target: String, set: u64, propagation: u64, recursive: bool },
    EnterRoot(String),
    BecomeRoot,
    TreeHere { tree: Box<Tree>, name: &'static str },
    TreeAsRoot { tree: Box<Tree>, target: &'static str },
    Tree { tree: Box<Tree>, target: String, how: u16 },
    Mount(Box<Mount>),
    Bind(Box<Bind>),
    Tray { target: String, how: u16 },
    SealTray,
    Node { dir: String, name: String, mode: u32, device: u64, uid: u32, gid: u32 },
    Link { dir: String, name: String, content: String },
    Mask(String),
    ReadOnly(String),
    RootAttributes(u64),
    Pivot,
    Hostname(String),
    Domainname(String),
    Loopback,
    Rlimit { name: &'static str, resource: u64, soft: u64, hard: u64 },
    NullStream(u32),
    Bounding { keep: u64, last: u32 },
    Identity { uid: u32, gid: u32, groups: Vec<u32> },
    Capabilities { effective: u64, permitted: u64, inheritable: u64 },
    Ambient(u64),
    WorkingDir(String),
    Umask(u32),
    NoNewPrivileges,
    AllClear,
}

/// A new file system.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are the arguments of mount(2)")]
pub struct Mount {
    pub source: String,
    pub target: String,
    pub kind: String,
    pub flags: u64,
    pub data: String,
    /// How the target is found and made: the flags of a step on the wire.
    pub how: u16,
}

/// A part of the host's tree.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are the arguments of mount_setattr(2)")]
pub struct Bind {
    pub source: String,
    pub target: String,
    /// `MOUNT_ATTR_*` to set and to clear on the mount itself.
    pub own: [u64; 2],
    /// The same for the mount and all that comes along below it.
    pub tree: [u64; 2],
    /// `MS_PRIVATE`, …; with `MS_REC` for the whole tree.
    pub propagation: u64,
    /// How the target is found and made: the flags of a step on the wire.
    pub how: u16,
    /// Whose ids the files have, in a cell with ids of its own.
    pub mapped: Mapped,
}

/// A part of the host's tree that the parent opens, settles and sends along: a cell with ids of its
/// own can't reach it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are those of a bind")]
pub struct Tree {
    pub path: String,
    pub own: [u64; 2],
    pub tree: [u64; 2],
    pub propagation: u64,
    pub recursive: bool,
    pub mapped: Mapped,
}

/// Whether a cell's ids stand for the same ids on the file systems of a part of the host's tree.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Mapped {
    /// They don't: most owners are nobody inside.
    #[default]
    No,
    /// On the mount itself.
    Top,
    /// And on all that comes along below it.
    All,
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
            Step::JoinTasks { controller, .. } => write!(f, "join the {controller} cgroup"),
            Step::UnshareCgroup => f.write_str("unshare the cgroup namespace"),
            Step::Propagation(flags) => write!(f, "set mount propagation {flags:#x} on /"),
            Step::Scratch { target, options } => write!(f, "mount tmpfs at {target} ({options})"),
            Step::HostDir(path) => write!(f, "enter {path}"),
            Step::MakeHere { name, mode } => write!(f, "make directory {name} (mode {mode:o})"),
            Step::Overlay { target, options } => write!(f, "mount overlay at {target} ({options})"),
            Step::BindRoot { path, target, set, .. } => {
                write!(f, "bind {path} as root at {target} (set {set:#x})")
            }
            Step::EnterRoot(path) => write!(f, "enter the new root {path}"),
            Step::BecomeRoot => f.write_str("become root of the user namespace"),
            Step::TreeHere { tree, name } => write!(f, "{tree} at {name}"),
            Step::TreeAsRoot { tree, target } => write!(f, "{tree} as root at {target}"),
            Step::Tree { tree, target, .. } => write!(f, "{tree} at {target}"),
            Step::Mount(mount) => mount.fmt(f),
            Step::Bind(bind) => bind.fmt(f),
            Step::Tray { target, .. } => write!(f, "mount tmpfs at {target} for other mounts"),
            Step::SealTray => f.write_str("make the tmpfs for other mounts read-only"),
            Step::Node { dir, name, mode, device, .. } => {
                write!(f, "make node {dir}/{name} (mode {mode:o}, device {device:#x})")
            }
            Step::Link { dir, name, content } => write!(f, "link {dir}/{name} to {content}"),
            Step::Mask(path) => write!(f, "hide {path}"),
            Step::ReadOnly(path) => write!(f, "make {path} read-only"),
            Step::RootAttributes(set) => write!(f, "change attributes of / (set {set:#x})"),
            Step::Pivot => f.write_str("pivot to the new root"),
            Step::Hostname(name) => write!(f, "set host name {name:?}"),
            Step::Domainname(name) => write!(f, "set domain name {name:?}"),
            Step::Loopback => f.write_str("bring the loopback interface up"),
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
            Step::WorkingDir(path) => write!(f, "enter the working directory {path}"),
            Step::Umask(mask) => write!(f, "set umask {mask:o}"),
            Step::NoNewPrivileges => f.write_str("set no_new_privs"),
            Step::AllClear => f.write_str("report all clear"),
        }
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mount { kind, target, flags, data, .. } = self;
        let ro = if flags & MS_RDONLY as u64 != 0 { "read-only " } else { "" };
        write!(f, "mount {ro}{kind} at {target} (flags {flags:#x}, {data:?})")
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ro =
            if (self.own[0] | self.tree[0]) & MOUNT_ATTR_RDONLY != 0 { "read-only " } else { "" };
        let mapped = if self.mapped == Mapped::No { "" } else { ", ids mapped," };
        write!(f, "bind {ro}{}{mapped}", self.path)
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ro =
            if (self.own[0] | self.tree[0]) & MOUNT_ATTR_RDONLY != 0 { "read-only " } else { "" };
        write!(f, "bind {ro}{} at {}", self.source, self.target)?;
        if self.how & wire::IN_TRAY != 0 { f.write_str(" in the tmpfs") } else { Ok(()) }
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
    /// Whether the init stays as PID 1.
    pub stay: bool,
    /// The maps of the cell's own user namespace, if it has one.
    pub ids: Option<IdMaps>,
    /// The task's system call filter.
    pub filter: Option<Arc<Program>>,
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
    /// What has to be sent along, in the order of the steps that take it.
    pub(super) fn trees(&self) -> impl Iterator<Item = &Tree> {
        self.steps.iter().filter_map(|step| match step {
            Step::TreeHere { tree, .. }
            | Step::TreeAsRoot { tree, .. }
            | Step::Tree { tree, .. } => Some(tree.as_ref()),
            _ => None,
        })
    }

    /// The plan as the init reads it.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        let slots = |list: &[String]| 8 * (list.len() + 1);
        let argv = size_of::<Header>() + self.steps.len() * size_of::<wire::Step>();
        let envp = argv + slots(&self.argv);
        let paths = envp + slots(&self.envp);
        let start = paths + slots(&self.paths);
        let mut strings = Strings { start, bytes: Vec::with_capacity(4096), known: HashMap::new() };
        let mut fixed = Vec::with_capacity(start);
        fixed.resize(size_of::<Header>(), 0);
        let mut trees = 0;
        for step in &self.steps {
            put_step(&mut fixed, &encode_step(step, &mut strings, &mut trees)?);
        }
        for list in [&self.argv, &self.envp, &self.paths] {
            for text in list {
                fixed.extend_from_slice(&u64::from(strings.offset(text)?).to_ne_bytes());
            }
            fixed.extend_from_slice(&[0; 8]);
        }
        let (code, flags) = match &self.filter {
            Some(program) => (program.instructions(), program.flags()),
            None => (&[][..], 0),
        };
        let filter: Vec<u8> = code.iter().flat_map(|code| code.to_ne_bytes()).collect();
        let filter_at = strings.raw(&filter)?;
        let header = [
            MAGIC,
            word(start + strings.bytes.len())?,
            word(self.steps.len())?,
            u32::from(self.stay),
            word(argv)?,
            word(envp)?,
            word(paths)?,
            filter_at,
            word(code.len())?,
            flags,
            self.borrowed as u32,
            (self.borrowed >> 32) as u32,
        ];
        for (at, value) in header.into_iter().enumerate() {
            fixed[4 * at..4 * at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        fixed.append(&mut strings.bytes);
        Ok(fixed)
    }
}

fn word(number: usize) -> Result<u32, Error> {
    let too_long = |_| Error::Invalid {
        field: "process.args and process.env".to_owned(),
        why: "are longer than any kernel takes".to_owned(),
    };
    u32::try_from(number).map_err(too_long)
}

/// Strings behind the records; equal ones are stored once.
struct Strings<'a> {
    start: usize,
    bytes: Vec<u8>,
    known: HashMap<&'a str, u32>,
}

impl<'a> Strings<'a> {
    fn offset(&mut self, text: &'a str) -> Result<u32, Error> {
        if let Some(offset) = self.known.get(text) {
            return Ok(*offset);
        }
        if text.contains('\0') {
            let field = format!("{text:?}");
            return Err(Error::Invalid { field, why: "must not hold a NUL byte".to_owned() });
        }
        let offset = word(self.start + self.bytes.len())?;
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self.known.insert(text, offset);
        Ok(offset)
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<u32, Error> {
        let offset = word(self.start + self.bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(offset)
    }
}

fn put_step(out: &mut Vec<u8>, step: &wire::Step) {
    out.extend_from_slice(&step.op.to_ne_bytes());
    out.extend_from_slice(&step.flags.to_ne_bytes());
    out.extend_from_slice(&step.reserved.to_ne_bytes());
    step.text.iter().for_each(|text| out.extend_from_slice(&text.to_ne_bytes()));
    step.number.iter().for_each(|number| out.extend_from_slice(&number.to_ne_bytes()));
}

#[allow(clippy::too_many_lines, reason = "one line for each operation")]
/// The record of a step: its texts and numbers go into the slots that [`Op`] documents.
#[allow(clippy::too_many_lines, reason = "one arm for each operation")]
fn encode_step<'a>(
    step: &'a Step,
    strings: &mut Strings<'a>,
    trees: &mut u64,
) -> Result<wire::Step, Error> {
    // Those that come along are taken in order.
    let mut next_tree = || std::mem::replace(trees, *trees + 1);
    let mut flags = 0;
    let mut raw = None;
    let (op, texts, number): (Op, [&str; 4], [u64; 3]) = match step {
        Step::OomScore { adjust, required } => {
            let text = adjust.to_string();
            let length = text.len() as u64;
            raw = Some(text.into_bytes());
            (Op::OomScore, [""; 4], [length, u64::from(*required), 0])
        }
        Step::JoinTasks { descriptor, .. } => (Op::JoinTasks, [""; 4], [*descriptor as u64, 0, 0]),
        Step::UnshareCgroup => (Op::UnshareCgroup, [""; 4], [0; 3]),
        Step::Propagation(to) => (Op::Propagation, [""; 4], [*to, 0, 0]),
        Step::Scratch { target, options } => (Op::Scratch, [target, options, "", ""], [0; 3]),
        Step::HostDir(path) => (Op::HostDir, [path, "", "", ""], [0; 3]),
        Step::MakeHere { name, mode } => {
            (Op::MakeHere, [name, "", "", ""], [u64::from(*mode), 0, 0])
        }
        Step::Overlay { target, options } => (Op::Overlay, [target, options, "", ""], [0; 3]),
        Step::BindRoot { path, target, set, propagation, recursive } => {
            flags = if *recursive { wire::RECURSIVE } else { 0 };
            (Op::BindRoot, [path, target, "", ""], [*set, *propagation, 0])
        }
        Step::EnterRoot(path) => (Op::EnterRoot, [path, "", "", ""], [0; 3]),
        Step::BecomeRoot => (Op::BecomeRoot, [""; 4], [0; 3]),
        Step::TreeHere { name, .. } => (Op::TreeHere, [name, "", "", ""], [next_tree(), 0, 0]),
        Step::TreeAsRoot { target, .. } => {
            (Op::TreeAsRoot, [target, "", "", ""], [next_tree(), 0, 0])
        }
        Step::Tree { target, how, .. } => {
            flags = *how;
            (Op::Tree, [target, "", "", ""], [next_tree(), 0, 0])
        }
        Step::Mount(m) => {
            flags = m.how;
            (Op::Mount, [&m.target, &m.source, &m.kind, &m.data], [m.flags, 0, 0])
        }
        Step::Bind(b) => {
            flags = b.how;
            let halves = |[set, clear]: [u64; 2]| set << 32 | clear;
            let numbers = [halves(b.own), halves(b.tree), b.propagation];
            (Op::Bind, [&b.target, &b.source, "", ""], numbers)
        }
        Step::Tray { target, how } => {
            flags = *how;
            (Op::Tray, [target, "", "", ""], [0; 3])
        }
        Step::SealTray => (Op::SealTray, [""; 4], [0; 3]),
        Step::Node { dir, name, mode, device, uid, gid } => {
            let owner = u64::from(*uid) << 32 | u64::from(*gid);
            (Op::Node, [dir, name, "", ""], [u64::from(*mode), *device, owner])
        }
        Step::Link { dir, name, content } => (Op::Link, [dir, name, content, ""], [0; 3]),
        Step::Mask(path) => (Op::Mask, [path, "", "", ""], [0; 3]),
        Step::ReadOnly(path) => (Op::ReadOnly, [path, "", "", ""], [0; 3]),
        Step::RootAttributes(set) => (Op::RootAttributes, [""; 4], [*set, 0, 0]),
        Step::Pivot => (Op::Pivot, [""; 4], [0; 3]),
        Step::Hostname(name) => (Op::Hostname, [name, "", "", ""], [0; 3]),
        Step::Domainname(name) => (Op::Domainname, [name, "", "", ""], [0; 3]),
        Step::Loopback => (Op::Loopback, [""; 4], [0; 3]),
        Step::Rlimit { resource, soft, hard, .. } => {
            (Op::Rlimit, [""; 4], [*resource, *soft, *hard])
        }
        Step::NullStream(number) => (Op::NullStream, [""; 4], [u64::from(*number), 0, 0]),
        Step::Bounding { keep, last } => (Op::Bounding, [""; 4], [*keep, u64::from(*last), 0]),
        Step::Identity { uid, gid, groups } => {
            let bytes: Vec<u8> = groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
            raw = Some(bytes);
            let count = groups.len() as u64;
            (Op::Identity, [""; 4], [u64::from(*uid), u64::from(*gid), count])
        }
        Step::Capabilities { effective, permitted, inheritable } => {
            (Op::Capabilities, [""; 4], [*effective, *permitted, *inheritable])
        }
        Step::Ambient(set) => (Op::Ambient, [""; 4], [*set, 0, 0]),
        Step::WorkingDir(path) => (Op::WorkingDir, [path, "", "", ""], [0; 3]),
        Step::Umask(mask) => (Op::Umask, [""; 4], [u64::from(*mask), 0, 0]),
        Step::NoNewPrivileges => (Op::NoNewPrivileges, [""; 4], [0; 3]),
        Step::AllClear => (Op::AllClear, [""; 4], [0; 3]),
    };
    let mut text = [0; 4];
    for (slot, value) in text.iter_mut().zip(texts).filter(|(_, value)| !value.is_empty()) {
        *slot = strings.offset(value)?;
    }
    if let Some(bytes) = raw {
        text[0] = strings.raw(&bytes)?;
    }
    Ok(wire::Step { op: op as u16, flags, reserved: 0, text, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_as_long_as_it_says_and_equal_strings_are_stored_once() {
        let link = |name: &str| Step::Link {
            dir: "/dev".into(),
            name: name.into(),
            content: "/proc/self/fd".into(),
        };
        let plan = Plan {
            steps: vec![link("fd"), link("fe")],
            argv: vec!["fd".into()],
            ..Plan::default()
        };
        let bytes = plan.encode().unwrap();
        let size = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        assert_eq!(size as usize, bytes.len());
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("/dev\0").count(), 1);
        assert_eq!(text.matches("fd\0").count(), 2, "\"fd\" once, and the end of \"/self/fd\"");
    }

    #[test]
    fn a_string_with_nul_is_refused() {
        let plan = Plan { argv: vec!["a\0b".into()], ..Plan::default() };
        assert!(plan.encode().is_err());
    }

    #[test]
    fn steps_read_like_sentences_with_their_arguments() {
        let bind = Bind {
            source: "/img/lib".into(),
            target: "/lib".into(),
            own: [0, 0],
            tree: [MOUNT_ATTR_RDONLY, 0],
            propagation: 0,
            how: 0,
            mapped: Mapped::No,
        };
        assert_eq!(Step::Bind(Box::new(bind)).to_string(), "bind read-only /img/lib at /lib");
    }
}
