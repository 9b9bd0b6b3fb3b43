//! The end of a container's cgroup: who lives in it dies, whatever holds them, and every hierarchy
//! loses it.

use std::path::Path;
use std::time::Instant;

use rustix::fs::rmdir;
use rustix::io::Errno;
use rustix::process::Signal;

use super::files::Dir;
use super::leaf::{self, Cgroup};
use super::members::{signal, walk};
use super::{Error, Hierarchies, Places};

impl Cgroup {
    /// Ends whatever lives in a container's cgroup and below it, frozen or not, and removes it from
    /// every hierarchy, with the cgroups that the container made. What is missing is fine.
    ///
    /// # Errors
    /// When processes survive or a directory stays; the others are removed all the same.
    pub fn remove_at(host: &Hierarchies, path: &Path) -> Result<(), Error> {
        Cgroup::remove_in(&Places::resolve(host, path)?)
    }

    /// The same at places that are known already.
    ///
    /// # Errors
    /// As for [`remove_at`](Cgroup::remove_at).
    pub fn remove_in(places: &Places) -> Result<(), Error> {
        // Mostly its processes have ended, and the kernel removes no directory in which one lives.
        if gone(places) {
            return Ok(());
        }
        let deadline = Instant::now() + leaf::PATIENCE;
        let killed = kill_everywhere(places, deadline);
        let mut removed = Ok(());
        for path in everywhere(places) {
            removed = removed.and(remove(path, deadline));
        }
        // What is gone needs no killing, whatever kept it from being killed.
        removed.map_err(|error| killed.err().unwrap_or(error))
    }

    /// Removes a cgroup that was begun ([`begin_in`](Cgroup::begin_in)) and not claimed, with whoever lives
    /// in its directory in the v2 tree. Who lives at its other places is somebody else's, and is left
    /// alone.
    ///
    /// # Errors
    /// When processes survive in the v2 tree or its directory there stays.
    pub fn remove_begun_in(places: &Places) -> Result<(), Error> {
        let deadline = Instant::now() + leaf::PATIENCE;
        let unified = Dir::open_if_there(places.unified())?;
        let killed = unified.map_or(Ok(()), |dir| leaf::kill_and_wait(&dir, deadline));
        for (_, path) in places.v1() {
            let _ = rmdir(path);
        }
        let removed = remove(places.unified(), deadline);
        removed.map_err(|error| killed.err().unwrap_or(error))
    }

    /// Removes a cgroup in which nobody was born. Who lives at its places is somebody else's, and is left
    /// alone.
    pub fn remove_empty_in(places: &Places) {
        for path in everywhere(places) {
            let _ = rmdir(path);
        }
    }
}

/// The v2 directory goes last: as long as it is there, a removal can be tried again.
fn everywhere(places: &Places) -> impl Iterator<Item = &Path> {
    places.v1().map(|(_, path)| path).chain([places.unified()])
}

/// Whether nothing is left of it when what can be removed just so has been.
fn gone(places: &Places) -> bool {
    everywhere(places).all(|path| matches!(rmdir(path), Ok(()) | Err(Errno::NOENT)))
}

pub(super) fn remove(path: &Path, deadline: Instant) -> Result<(), Error> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    match Dir::open_if_there(above)? {
        Some(above) => leaf::remove_dir(&above, &name.to_string_lossy(), deadline),
        None => Ok(()),
    }
}

/// Kills at once who lives in the v2 tree, then lets them die: what the freezer of v1 holds and what
/// a small quota slows down would take its time.
fn kill_everywhere(places: &Places, deadline: Instant) -> Result<(), Error> {
    let unified = Dir::open_if_there(places.unified())?;
    if let Some(dir) = &unified {
        dir.write("cgroup.kill", "1")?;
        let _ = dir.write("cpu.max", "max");
    }
    for (_, path) in places.v1() {
        if let Some(dir) = Dir::open_if_there(path)? {
            walk(&dir, &mut release)?;
            // Who lives in this hierarchy alone: someone moved them here, and nothing else finds them.
            signal(&dir, Signal::KILL)?;
        }
    }
    match &unified {
        Some(dir) => leaf::kill_and_wait(dir, deadline),
        None => Ok(()),
    }
}

/// Takes from a v1 cgroup what would keep a killed process from dying.
fn release(dir: &Dir) -> Result<(), Error> {
    for (file, value) in [("freezer.state", "THAWED"), ("cpu.cfs_quota_us", "-1")] {
        if dir.has(file) {
            dir.write(file, value)?;
        }
    }
    Ok(())
}
