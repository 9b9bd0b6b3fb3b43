//! CPUs and memory nodes of a cgroup in v1: none are handed down there.

use std::path::Path;

use super::Error;
use super::files::Dir;

/// The files without which a cpuset of v1 takes no process.
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// What a cpuset of v1 has. What it lacks it gets from the one above, which may lack it too.
pub(super) fn inherit_cpus(dir: &Dir, root: &Path) -> Result<[String; 2], Error> {
    let read = |file| Ok(dir.read(file)?.trim().to_owned());
    let mut own: [String; 2] = [read(CPUSET[0])?, read(CPUSET[1])?];
    let parent = dir.path().parent().filter(|_| dir.path() != root);
    if let Some(parent) = parent.filter(|_| own.iter().any(String::is_empty)) {
        let above = inherit_cpus(&Dir::open(parent)?, root)?;
        for ((file, own), above) in CPUSET.iter().zip(&mut own).zip(above) {
            if own.is_empty() {
                dir.write(file, &above)?;
                *own = above;
            }
        }
    }
    Ok(own)
}
