//! Who lives in a container's cgroup and below it, and whether it stands still.

use rustix::io::Errno;

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
    each(dir)?;
    // Each entry is a directory on the way down, and those beside the next one that are still to do.
    let mut way = vec![(None, dir.children()?)];
    while let Some((here, left)) = way.last_mut() {
        let Some(name) = left.pop() else {
            way.pop();
            continue;
        };
        let above: &Dir = here.as_ref().unwrap_or(dir);
        if let Some(child) = above.find(&name)?
            && let Some(children) = unless_gone(each(&child).and_then(|()| child.children()))?
        {
            way.push((Some(child), children));
        }
    }
    Ok(())
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
}
