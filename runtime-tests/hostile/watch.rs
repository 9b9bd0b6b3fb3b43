//! What an escape would show in: the canary, the root, the host's own settings and files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::scene::Scene;
use crate::bed::PROGRAM;

/// Everything that must stay as it is, by name.
#[derive(PartialEq, Eq)]
pub struct Watch(BTreeMap<String, String>);

impl Watch {
    /// Looks at the host and the scene. A peer may write to the root that it is given.
    pub fn take(scene: &Scene, root_too: bool) -> Watch {
        let mut seen = BTreeMap::new();
        tree(&scene.canary(), &mut seen);
        if root_too {
            // Of a root that is too large to copy, the top.
            match scene.root().starts_with(scene.bed.path("")) {
                true => tree(&scene.root(), &mut seen),
                false => names(&scene.root(), &mut seen),
            }
        }
        beside(scene, &mut seen);
        settings(&mut seen);
        for file in ["/dev/null", "/etc/passwd", "/etc/group", "/etc/hosts", "/proc/self/exe"] {
            one(Path::new(file).canonicalize().as_deref().unwrap_or(Path::new(file)), &mut seen);
        }
        one(Path::new(PROGRAM), &mut seen);
        one(Path::new(super::engine::PROGRAM), &mut seen);
        names(Path::new("/"), &mut seen);
        names(Path::new("/etc"), &mut seen);
        Watch(seen)
    }

    /// The first thing that is not as it was.
    pub fn difference(&self, later: &Watch) -> Option<String> {
        let keys = self.0.keys().chain(later.0.keys());
        let mut changed = keys.filter(|key| self.0.get(*key) != later.0.get(*key));
        changed.next().map(|key| match (self.0.get(key), later.0.get(key)) {
            (None, Some(_)) => format!("{key} appeared"),
            (Some(_), None) => format!("{key} vanished"),
            (before, after) => format!("{key} changed from {before:?} to {after:?}"),
        })
    }
}

/// All that can be known of a file without changing it; what it holds, if it is small.
pub fn one(path: &Path, seen: &mut BTreeMap<String, String>) {
    let Ok(meta) = path.symlink_metadata() else {
        return;
    };
    let mut text = format!(
        "ino {} mode {:o} owner {}:{} links {} size {} device {} changed {}.{} {}.{}",
        meta.ino(),
        meta.mode(),
        meta.uid(),
        meta.gid(),
        // A directory's count and size are those of its entries, which are looked at.
        if meta.is_dir() { 0 } else { meta.nlink() },
        if meta.is_dir() { 0 } else { meta.size() },
        meta.rdev(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
    );
    if meta.file_type().is_char_device() {
        // Whoever writes to /dev/null changes its times.
        text.truncate(text.find(" changed").unwrap_or(text.len()));
    }
    if meta.is_symlink() {
        text += &format!(" to {}", fs::read_link(path).unwrap().display());
    }
    if meta.is_file() && meta.size() < 4096 {
        text += &format!(" holds {:?}", String::from_utf8_lossy(&fs::read(path).unwrap()));
    }
    let mut list = vec![0; 1024];
    let length = rustix::fs::llistxattr(path, &mut list[..]).unwrap_or(0);
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 1024];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap_or(0);
        text += &format!(" {}={:?}", String::from_utf8_lossy(name), &value[..length]);
    }
    seen.insert(path.display().to_string(), text);
}

pub fn tree(dir: &Path, seen: &mut BTreeMap<String, String>) {
    let mut dirs = vec![dir.to_owned()];
    one(dir, seen);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            one(&entry.path(), seen);
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                dirs.push(entry.path());
            }
        }
    }
}

pub fn names(dir: &Path, seen: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        seen.insert(entry.path().display().to_string(), "is there".to_owned());
    }
}

/// What lies beside the canary, but for what is the driver's own.
fn beside(scene: &Scene, seen: &mut BTreeMap<String, String>) {
    let own: [PathBuf; 4] = ["state", "data", "peer", "engine"].map(|name| scene.bed.path(name));
    let mut found = BTreeMap::new();
    names(&scene.bed.path(""), &mut found);
    found.retain(|path, _| !own.iter().any(|own| Path::new(path) == own));
    seen.append(&mut found);
}

/// Settings of the kernel that a cell would like to change.
fn settings(seen: &mut BTreeMap<String, String>) {
    let files = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/domainname",
        "/proc/sys/kernel/hotplug",
        "/proc/sys/kernel/panic",
        "/proc/sys/kernel/randomize_va_space",
        "/proc/sys/kernel/threads-max",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/vm/panic_on_oom",
        "/proc/sys/fs/binfmt_misc/status",
        "/proc/sys/net/ipv4/ip_forward",
        "/sys/kernel/uevent_helper",
        "/proc/swaps",
        "/proc/modules",
    ];
    for file in files {
        let text = fs::read_to_string(file).unwrap_or_else(|error| error.to_string());
        seen.insert(file.to_owned(), text);
    }
}
