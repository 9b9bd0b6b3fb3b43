//! Handing v2 controllers down to the children of a cgroup, and who may be in the way: a cgroup that
//! does so may hold no process, unless it is the host's root.

use std::os::fd::AsFd;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::getpid;

use super::Error;
use super::detect::Controller;
use super::files::{Dir, read_pages};

const FILE: &str = "cgroup.subtree_control";
const PROCESSES: &str = "cgroup.procs";

/// How many of those in the way an error names.
const NAMED: usize = 8;

/// What to do when this process itself is in the way: a cgroup that hands controllers down may hold
/// no process, unless it is the host's root. In a container, the root of its cgroup namespace mostly
/// holds some.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OwnPlace {
    /// Say so and fail.
    #[default]
    Keep,
    /// Move this process into a cgroup beside the parent, `NAME.driver`. It stays there; moving it
    /// stops every process of the host for a moment, so this is for start-up alone. When others are
    /// in the way too, nobody is moved.
    MoveAside,
}

/// Hands the controllers down to the children of `dir`, unless that has been done.
pub(super) fn hand_down(dir: &Dir, wanted: &[Controller]) -> Result<(), Error> {
    try_hand_down(dir, wanted).map_err(|refusal| refusal.told(dir))
}

/// The same; where this process alone is in the way, it goes to the child `aside` before.
pub(super) fn hand_down_from_aside(
    dir: &Dir,
    wanted: &[Controller],
    aside: &str,
) -> Result<(), Error> {
    match try_hand_down(dir, wanted) {
        Err(refusal) if refusal.is_busy() && inhabitants(dir) == [getpid().as_raw_pid()] => {}
        outcome => return outcome.map_err(|refusal| refusal.told(dir)),
    }
    dir.make_or_enter(aside)?.write(PROCESSES, "0")?;
    hand_down(dir, wanted).inspect_err(|_| {
        // Someone came meanwhile. That error matters more than one on the way back.
        let _ = dir.write(PROCESSES, "0").map(|()| dir.remove(aside));
    })
}

/// The kernel's answer to what was written.
struct Refusal {
    controllers: String,
    source: Error,
}

fn try_hand_down(dir: &Dir, wanted: &[Controller]) -> Result<(), Refusal> {
    if wanted.is_empty() {
        return Ok(());
    }
    let failed = |source| Refusal { controllers: String::new(), source };
    let enabled = dir.read(FILE).map_err(failed)?;
    let missing: Vec<String> = wanted
        .iter()
        .filter(|c| !enabled.split_whitespace().any(|name| name == c.v2_name()))
        .map(|c| format!("+{c}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let controllers = missing.join(" ");
    dir.write(FILE, &controllers).map_err(|source| Refusal { controllers, source })
}

impl Refusal {
    fn is_busy(&self) -> bool {
        matches!(&self.source, Error::Io { source, .. }
            if source.raw_os_error() == Some(Errno::BUSY.raw_os_error()))
    }

    fn told(self, dir: &Dir) -> Error {
        let busy = self.is_busy();
        match self.source {
            Error::Io { path, source, .. } if !self.controllers.is_empty() => {
                let hint = if busy {
                    hint(&inhabitants(dir), getpid().as_raw_pid())
                } else {
                    String::new()
                };
                Error::Enable { controllers: self.controllers, path, hint, source }
            }
            other => other,
        }
    }
}

/// The processes that live in `dir` itself, by their numbers; 0 is one of a PID namespace out of
/// sight. None where the kernel does not say.
fn inhabitants(dir: &Dir) -> Vec<i32> {
    let Ok(file) = dir.file(PROCESSES, OFlags::RDONLY) else {
        return Vec::new();
    };
    let text = read_pages(file.as_fd()).unwrap_or_default();
    let mut pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    // The kernel may name one twice.
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// What is to be done about those in the way.
fn hint(inhabitants: &[i32], this: i32) -> String {
    if inhabitants.is_empty() {
        return String::new();
    }
    let others: Vec<i32> = inhabitants.iter().copied().filter(|pid| *pid != this).collect();
    let me = "with --cgroup-move-self the driver moves itself out of the way";
    if others.is_empty() {
        return format!(" (this process lives in this cgroup itself: {me})");
    }
    let mut names: Vec<String> = others.iter().take(NAMED).map(|pid| called(*pid)).collect();
    if others.len() > NAMED {
        names.push(format!("{} more", others.len() - NAMED));
    }
    let also = if others.len() < inhabitants.len() { format!("; {me}") } else { String::new() };
    let names = names.join(", ");
    format!(
        " (processes that live in this cgroup itself must be moved to a child of it: {names}{also})"
    )
}

/// `123 (name)`
fn called(pid: i32) -> String {
    if pid == 0 {
        return "one outside this PID namespace".to_owned();
    }
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{pid} ({})", name.trim_end()),
        Err(_) => pid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_names_others_and_the_flag_that_moves_this_process() {
        let alone = hint(&[7], 7);
        assert!(alone.contains("--cgroup-move-self") && alone.contains("this process"), "{alone}");
        let gone = i32::MAX;
        let both = hint(&[0, 7, gone], 7);
        let named = format!("one outside this PID namespace, {gone}; with --cgroup-move-self");
        assert!(both.contains(&named), "{both}");
        let others = hint(&[gone], 7);
        assert!(!others.contains("--cgroup-move-self"), "{others}");
        let many: Vec<i32> = (gone - 20..gone).collect();
        assert!(hint(&many, 7).contains(", 12 more)"), "{}", hint(&many, 7));
    }

    #[test]
    fn what_is_handed_down_already_is_not_written_again() {
        let fixture = tempfile::tempdir().unwrap();
        let file = fixture.path().join(FILE);
        std::fs::write(&file, "cpu io memory pids\n").unwrap();
        let dir = Dir::open(fixture.path()).unwrap();
        hand_down(&dir, &[Controller::Cpu, Controller::Pids]).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "cpu io memory pids\n");
        std::fs::write(&file, "cpu\n").unwrap();
        hand_down(&dir, &[Controller::Cpu, Controller::Pids]).unwrap();
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("+pids"));
    }
}
