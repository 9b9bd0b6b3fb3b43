//! Who lives in a container's cgroup and below it, signals for them, and whether they stand still.

use std::ffi::OsStr;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::files::Dir;
use super::freezer::{Events, FROZEN};
use super::{Cgroup, Error};

impl Cgroup {
    /// Every process of the container, those in cgroups of its own making included, in ascending
    /// order. One that this PID namespace doesn't see is left out.
    ///
    /// # Errors
    /// When the kernel's files can't be read.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        pids(&self.unified)
    }

    /// Sends a signal to every process of the container, those in cgroups of its own making included.
    /// One that goes meanwhile is no failure.
    #[cfg(feature = "cli")]
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        self::signal(&self.unified, signal)
    }

    /// Whether every process of the cell stands still, whoever froze it: a cgroup above does too.
    ///
    /// # Errors
    /// When the kernel's files can't be read.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        if Events::open(&self.unified)?.tell(FROZEN)? {
            return Ok(true);
        }
        match self.v1("freezer") {
            Some(dir) => old_freezer_holds(dir),
            None => Ok(false),
        }
    }

    /// Its directory in the v1 hierarchy of this controller.
    pub(super) fn v1(&self, controller: &str) -> Option<&Dir> {
        let has = |hierarchy: &str| hierarchy.split(',').any(|name| name == controller);
        self.old.part().everywhere.iter().find(|at| has(&at.hierarchy)).map(|at| &at.dir)
    }
}

/// Whether the freezer of v1 holds a cgroup, or one above it.
pub(super) fn old_freezer_holds(dir: &Dir) -> Result<bool, Error> {
    Ok(dir.read("freezer.state")?.trim() != "THAWED")
}

/// The processes of a cgroup and of all below it. What vanishes meanwhile has none.
pub(super) fn pids(dir: &Dir) -> Result<Vec<i32>, Error> {
    let mut pids = Vec::new();
    walk(dir, &mut |dir| collect(dir, &mut pids))?;
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// Does something in a cgroup and in all below it. What vanishes meanwhile is left out.
pub(super) fn walk(
    dir: &Dir,
    each: &mut dyn FnMut(&Dir) -> Result<(), Error>,
) -> Result<(), Error> {
    walk_through(dir, each, &mut |_, _| {})
}

/// The same, and something else with each cgroup below, by its name in the one above it, when all that is
/// below that one has had its turn. A container may have made them as deep and as many as it liked: no more
/// than two are open at a time.
pub(super) fn walk_through(
    dir: &Dir,
    each: &mut dyn FnMut(&Dir) -> Result<(), Error>,
    behind: &mut dyn FnMut(&Dir, &OsStr),
) -> Result<(), Error> {
    each(dir)?;
    let mut here = dir.again()?;
    // The way down from the first, and what is still to do in each on it.
    let (mut way, mut left) = (Vec::new(), vec![here.children()?]);
    loop {
        if let Some(name) = left.last_mut().and_then(Vec::pop) {
            if let Some(child) = here.find(&name)?
                && let Some(children) = unless_gone(each(&child).and_then(|()| child.children()))?
            {
                here = child;
                way.push(name);
                left.push(children);
            }
            continue;
        }
        left.pop();
        let Some(name) = way.pop() else {
            return Ok(());
        };
        here = here.above()?;
        behind(&here, &name);
    }
}

/// How many processes are held open at a time, to be signalled.
const HELD: usize = 128;

/// Sends a signal to every process that lives in a cgroup or below it. One that goes meanwhile is no
/// failure, and one that has its number by then gets none.
pub(super) fn signal(dir: &Dir, signal: Signal) -> Result<(), Error> {
    for numbers in pids(dir)?.chunks(HELD) {
        let mut held = Vec::new();
        for number in numbers {
            match Pid::from_raw(*number).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
                None | Some(Err(Errno::SRCH | Errno::INVAL)) => {}
                Some(opened) => {
                    held.push((*number, opened.map_err(|e| failed("open", *number, e))?))
                }
            }
        }
        // Those that are there now were so when they were opened.
        let there = pids(dir)?;
        held.retain(|(number, _)| there.binary_search(number).is_ok());
        for (number, process) in held {
            match pidfd_send_signal(&process, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(failed("signal", number, errno)),
            }
        }
    }
    Ok(())
}

fn failed(what: &str, number: i32, errno: Errno) -> Error {
    Error::io(what, format!("/proc/{number}"), errno.into())
}

fn collect(dir: &Dir, pids: &mut Vec<i32>) -> Result<(), Error> {
    let text = match dir.read_whole("cgroup.procs") {
        // The processes of a threaded cgroup are listed at the top of its tree.
        Err(Error::Io { source, .. }) if is(&source, Errno::OPNOTSUPP) => return Ok(()),
        read => read?,
    };
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    Ok(())
}

fn unless_gone<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(Error::Io { source, .. }) if is(&source, Errno::NOENT) || is(&source, Errno::NODEV) => {
            Ok(None)
        }
        result => result.map(Some),
    }
}

pub(super) fn is(error: &std::io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn processes_are_found_at_every_depth_once_and_in_order() {
        let fixture = tempfile::tempdir().unwrap();
        let write = |below: &str, text: &str| {
            let at = fixture.path().join(below);
            std::fs::create_dir_all(&at).unwrap();
            std::fs::write(at.join("cgroup.procs"), text).unwrap();
        };
        write("", "7\n");
        write("a", "");
        write("a/b", "3\n0\n9\n");
        write("a/c/d", "12\n");
        write("a/c", "");
        write("e", "7\n");
        assert_eq!(pids(&Dir::open(fixture.path()).unwrap()).unwrap(), [3, 7, 9, 12]);
    }

    #[test]
    fn cgroups_of_any_name_depth_and_number_are_walked_and_can_be_removed() {
        let fixture = tempfile::tempdir().unwrap();
        let top = Dir::open(fixture.path()).unwrap();
        let mut deep = top.make("d").unwrap();
        for _ in 0..3000 {
            deep = deep.make("d").unwrap();
        }
        let strange = fixture.path().join(OsStr::from_bytes(b"\xff"));
        std::fs::create_dir_all(strange.join("below")).unwrap();
        (0..500).for_each(|n| std::fs::create_dir(fixture.path().join(n.to_string())).unwrap());
        let (mut before, mut behind) = (0, 0);
        let mut count = |_: &Dir| {
            before += 1;
            Ok(())
        };
        walk_through(&top, &mut count, &mut |above, name| {
            above.remove(name).unwrap();
            behind += 1;
        })
        .unwrap();
        assert_eq!((before, behind), (3504, 3503));
        assert_eq!(top.children().unwrap(), [""; 0]);
    }
}
