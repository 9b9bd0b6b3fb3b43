//! A plan as bytes, the way the init reads it: see [`wire`].

use super::{Error, Plan, Step, Tasks};
use crate::fault::{self, Point};
use crate::init::wire::{self, Header, LARGEST, MAGIC, Op};

impl Plan {
    /// The plan as the init reads it.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        let slots = |list: &[String]| 8 * (list.len() + 1);
        let argv = size_of::<Header>() + self.steps.len() * size_of::<wire::Step>();
        let envp = argv + slots(&self.argv);
        let paths = envp + slots(&self.envp);
        let start = paths + slots(&self.paths);
        let mut strings = Strings { start, bytes: Vec::with_capacity(4096), last: [("", 0); 4] };
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
        let (kept, kept_at) = self.kept();
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
            self.unshare as u32,
            birth(self),
            word(kept)?,
            word(kept_at)?,
        ];
        for (at, value) in header.into_iter().enumerate() {
            fixed[4 * at..4 * at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        fixed.append(&mut strings.bytes);
        if fixed.len() > LARGEST {
            return Err(too_long());
        }
        Ok(fixed)
    }
}

fn birth(plan: &Plan) -> u32 {
    let bit = |set: bool, bit| if set { bit } else { 0 };
    bit(plan.born_late, wire::BORN_LATER)
        | bit(plan.bound_early, wire::BOUND_EARLY)
        | bit(plan.listener.is_some(), wire::LISTENED)
}

fn word(number: usize) -> Result<u32, Error> {
    u32::try_from(number).map_err(|_| too_long())
}

fn too_long() -> Error {
    Error::Invalid {
        field: "process.args and process.env".to_owned(),
        why: "are longer than any kernel takes".to_owned(),
    }
}

/// Strings behind the records.
struct Strings<'a> {
    start: usize,
    bytes: Vec<u8>,
    /// What each slot held last. A step that is about the same directory as the one before names
    /// the same string, by which the init knows it; looking for others that are equal would take
    /// longer than sending them.
    last: [(&'a str, u32); 4],
}

impl<'a> Strings<'a> {
    fn in_slot(&mut self, slot: usize, text: &'a str) -> Result<u32, Error> {
        if self.last[slot].0 != text {
            self.last[slot] = (text, self.offset(text)?);
        }
        Ok(self.last[slot].1)
    }

    fn offset(&mut self, text: &str) -> Result<u32, Error> {
        if text.contains('\0') {
            // The place is enough: the rest may be long.
            let shown: String = text.chars().take(60).collect();
            let field = format!("{shown:?}");
            return Err(Error::Invalid { field, why: "must not hold a NUL byte".to_owned() });
        }
        let offset = word(self.start + self.bytes.len())?;
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        Ok(offset)
    }

    /// An array of offsets, as the header names them.
    fn list(&mut self, texts: &[String]) -> Result<u32, Error> {
        let mut slots = Vec::with_capacity(8 * (texts.len() + 1));
        for text in texts {
            slots.extend_from_slice(&u64::from(self.offset(text)?).to_ne_bytes());
        }
        slots.extend_from_slice(&[0; 8]);
        let end = self.start + self.bytes.len();
        self.bytes.resize(end.next_multiple_of(8) - self.start, 0);
        self.raw(&slots)
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
fn encode_step<'a>(
    step: &'a Step,
    strings: &mut Strings<'a>,
    trees: &mut u64,
) -> Result<wire::Step, Error> {
    // Those that come along are taken in order.
    let mut next_tree = || std::mem::replace(trees, *trees + 1);
    let mut flags = 0;
    let mut raw = None;
    let mut lists = None;
    let (op, texts, number): (Op, [&str; 4], [u64; 3]) = match step {
        Step::OomScore { adjust, required } => {
            let text = adjust.to_string();
            let length = text.len() as u64;
            raw = Some(text.into_bytes());
            (Op::OomScore, [""; 4], [length, u64::from(*required), 0])
        }
        Step::Cgroups => (Op::Cgroups, [""; 4], [*trees, 0, 0]),
        Step::JoinTasks { tasks: Tasks::Given(number), .. } => {
            (Op::JoinTasks, [""; 4], [*number as u64, 0, 0])
        }
        Step::JoinTasks { tasks: Tasks::Sent, .. } => {
            flags = wire::SENT;
            (Op::JoinTasks, [""; 4], [next_tree(), 0, 0])
        }
        Step::UnshareCgroup => (Op::UnshareCgroup, [""; 4], [0; 3]),
        Step::Unshare(flags) => (Op::Unshare, [""; 4], [*flags, 0, 0]),
        Step::KeepProc => (Op::KeepProc, [""; 4], [0; 3]),
        Step::BeginProc { descriptor, mounts, keep } => {
            (Op::BeginProc, [""; 4], [*descriptor as u64, *mounts as u64, u64::from(*keep)])
        }
        Step::Birth => (Op::Birth, [""; 4], [0; 3]),
        Step::EnterNamespace { flag, descriptor, .. } => {
            (Op::EnterNamespace, [""; 4], [*descriptor as u64, *flag, 0])
        }
        Step::TimeNamespace(offsets) => {
            raw = Some(offsets.clone().into_bytes());
            (Op::TimeNamespace, [""; 4], [offsets.len() as u64, 0, 0])
        }
        Step::Cradle => (Op::Cradle, [""; 4], [wire::CRADLE_FD as u64, 0, 0]),
        Step::Propagation(to) => (Op::Propagation, [""; 4], [*to, 0, 0]),
        Step::Scratch { target, shared } => {
            (Op::Scratch, [target, "mode=700", "", ""], [u64::from(*shared), 0, 0])
        }
        Step::MakeHere { name, mode } => {
            (Op::MakeHere, [name, "", "", ""], [u64::from(*mode), 0, 0])
        }
        Step::Overlay { target, options } => (Op::Overlay, [target, options, "", ""], [0; 3]),
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
            (Op::Mount, [&m.target, &m.source, &m.kind, &m.data], [m.flags, m.attributes, 0])
        }
        Step::Attributes { target, set, clear, recursive, how } => {
            flags = *how;
            (Op::Attributes, [target, "", "", ""], [*set, *clear, u64::from(*recursive)])
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
        Step::Pause => (Op::Pause, [""; 4], [0; 3]),
        Step::Filter => (Op::Filter, [""; 4], [0; 3]),
        Step::Hook(hook) => {
            flags = if hook.point.of_the_cell() { wire::OF_THE_CELL } else { 0 };
            lists = Some([&hook.args, &hook.env]);
            let files = hook.state as u64 | (hook.output as u64) << 32;
            (Op::Hook, [&hook.path, "", "", &hook.name], [files, hook.timeout, 0])
        }
        Step::Pivot => (Op::Pivot, [""; 4], [0; 3]),
        Step::Cover => (Op::Cover, [""; 4], [0; 3]),
        Step::Terminal { socket, uid, rows, columns, console } => {
            flags = if *console { wire::ON_CONSOLE } else { 0 };
            let size = u64::from(*rows) << 32 | u64::from(*columns);
            (Op::Terminal, [""; 4], [*socket as u64, u64::from(*uid), size])
        }
        Step::Hostname(name) => (Op::Hostname, [name, "", "", ""], [0; 3]),
        Step::Domainname(name) => (Op::Domainname, [name, "", "", ""], [0; 3]),
        Step::Loopback => (Op::Loopback, [""; 4], [0; 3]),
        Step::Sysctl { path, value, .. } => (Op::WriteProc, [path, value, "", ""], [0; 3]),
        Step::Label { path, value, .. } => (Op::WriteProc, [path, value, "", ""], [0; 3]),
        Step::Scheduler(attr) => {
            raw = Some(attr.to_bytes().to_vec());
            (Op::Scheduler, [""; 4], [0; 3])
        }
        Step::IoPriority { class, level } => {
            (Op::IoPriority, [""; 4], [u64::from(*class) << 13 | u64::from(*level), 0, 0])
        }
        Step::Affinity(mask) => {
            raw = Some(mask.clone());
            (Op::Affinity, [""; 4], [mask.len() as u64, 0, 0])
        }
        Step::MemoryPolicy { mode, nodes } => {
            raw = Some(nodes.clone());
            (Op::MemoryPolicy, [""; 4], [*mode, nodes.len() as u64, 0])
        }
        Step::Personality(domain) => (Op::Personality, [""; 4], [*domain, 0, 0]),
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
        Step::WorkingDir { path, make } => {
            flags = if *make { wire::MAKE_DIR } else { 0 };
            (Op::WorkingDir, [path, "", "", ""], [0; 3])
        }
        Step::Umask(mask) => (Op::Umask, [""; 4], [u64::from(*mask), 0, 0]),
        Step::NoNewPrivileges => (Op::NoNewPrivileges, [""; 4], [0; 3]),
        Step::Enter { target, namespaces } => {
            (Op::Enter, [""; 4], [*target as u64, *namespaces, 0])
        }
        Step::FindProgram => (Op::FindProgram, [""; 4], [0; 3]),
        Step::Listen => (Op::Listen, [""; 4], [0; 3]),
        Step::AllClear => (Op::AllClear, [""; 4], [0; 3]),
        Step::Latch { wait, tell } => (Op::Latch, [""; 4], [*wait as u64, *tell as u64, 0]),
    };
    let mut text = [0; 4];
    for (slot, value) in texts.into_iter().enumerate().filter(|(_, value)| !value.is_empty()) {
        text[slot] = strings.in_slot(slot, value)?;
    }
    if let Some(bytes) = raw {
        text[0] = strings.raw(&bytes)?;
    }
    if let Some([arguments, environment]) = lists {
        text[1] = strings.list(arguments)?;
        text[2] = strings.list(environment)?;
    }
    Ok(wire::Step { op: op as u16, flags, reserved: fault::mark(Point::InitStep), text, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_as_long_as_it_says_and_names_a_directory_once() {
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
        let names = b"/dev\0fd\0/proc/self/fd\0fe\0fd\0";
        assert!(bytes.ends_with(names), "a string that its slot held before is named again");
    }

    #[test]
    fn a_string_with_nul_is_refused() {
        let plan = Plan { argv: vec!["a\0b".into()], ..Plan::default() };
        assert!(plan.encode().is_err());
    }
}
