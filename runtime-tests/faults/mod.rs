//! Faults: what fails, dies, is full or missing leaves nothing behind and is told for what it is.
//!
//! `docs/faults.md` has the table. What needs the feature `fault-injection` is left out without it.
//! Where a fault would harm the test runner itself, a process of its own plays the embedder
//! (`--play=fault-NAME`).

mod descriptors;
mod full;
#[cfg(feature = "fault-injection")]
mod grave;
mod host;
mod kernel;
#[cfg(feature = "fault-injection")]
mod kills;
#[cfg(feature = "fault-injection")]
mod points;
#[cfg(feature = "fault-injection")]
mod scenes;
#[cfg(feature = "fault-injection")]
mod steps;
mod stopped;
mod story;

use hotcell::native::Options;

use crate::Test;

pub fn tests() -> Vec<Test> {
    let lists = [
        #[cfg(feature = "fault-injection")]
        steps::tests(),
        #[cfg(feature = "fault-injection")]
        points::tests(),
        #[cfg(feature = "fault-injection")]
        kills::tests(),
        full::tests(),
        descriptors::tests(),
        host::tests(),
        kernel::tests(),
        stopped::tests(),
    ];
    lists.into_iter().flatten().collect()
}

/// The embedder's side.
pub fn play(part: &str, options: Options) {
    match part.split_once('-').unwrap_or((part, "")) {
        ("full", _) => full::play(options),
        ("descriptors", _) => descriptors::play(options),
        ("processes", _) => host::play_processes(options),
        ("without", calls) => kernel::play(calls),
        #[cfg(feature = "fault-injection")]
        ("first", _) => points::play(options),
        other => panic!("no part {other:?}"),
    }
}

/// Gives this process a view of the mounts that is its own.
#[allow(unsafe_code, reason = "a namespace needs libc")]
pub fn own_mounts() {
    use rustix::mount::{MountPropagationFlags, mount_change};
    // SAFETY: this process has one thread, and nothing in it holds on to its old root.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
}

/// What a story has left in the driver's directories and in the cgroup trees: nothing but what stays
/// as long as the directory itself.
fn left(options: &Options) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![options.state_dir.clone(), options.data_dir.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                dirs.push(path.clone());
            }
            let kept = ["names", "ids", ".lock"].map(|name| options.state_dir.join(name));
            if !kept.contains(&path) {
                found.push(path.display().to_string());
            }
        }
    }
    let hierarchies = hotcell::cgroup::Hierarchies::detect().unwrap();
    for mount in hierarchies.v1.into_values().chain([hierarchies.unified]) {
        let parent = mount.join(&options.cgroup_parent);
        if parent.exists() {
            found.push(parent.display().to_string());
        }
    }
    found
}
