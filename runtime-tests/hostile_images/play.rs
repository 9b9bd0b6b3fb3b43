//! Loads one input in a process of its own, which says what came of it.
//!
//! ```text
//! test ──► player (this program, --play=image-WAY) ──► the library ──► its helper process
//!  ◄── one line of JSON: loaded or why not, the tree, what is left in the store, memory
//! ```

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Pipes};

use rustix::fs::{XattrFlags, removexattr, setxattr};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use serde::{Deserialize, Serialize};

use super::case::Limited;
use super::memory::{Peak, forget, peak};
use super::tree::{Tree, differences, tree};
use super::way::{Way, load, prepare};

/// What is given to a player by its environment.
const INPUT: &str = "PLAY_IMAGE_INPUT";
const DIR: &str = "PLAY_IMAGE_DIR";
const LIMITS: &str = "PLAY_IMAGE_LIMITS";

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Played {
    /// The whole chain of the error.
    pub error: Option<String>,
    /// What a cell would see.
    pub tree: Tree,
    /// Files of the store that were not there before.
    pub left: BTreeSet<String>,
    pub peak: Peak,
}

/// What was loaded: directories below one, topmost first.
pub struct Loaded {
    pub lowers: Vec<PathBuf>,
}

/// Plays an input; its store is in `dir`.
pub fn play(input: &Path, dir: &Path, way: Way, limits: Limited) -> Result<Played, String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(format!("--play=image-{}", way.word())).stdin(Pipes::null());
    command.env(INPUT, input).env(DIR, dir).env(LIMITS, format!("{limits:?}"));
    let output = command.output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || err.contains("panicked") {
        return Err(format!("the player ended with {}: {}", output.status, err.trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {err}"))
}

/// A directory where files may have attributes: before Linux 6.6 those in memory have none of a
/// user's.
pub fn room() -> tempfile::TempDir {
    let takes = |dir: &tempfile::TempDir| {
        setxattr(dir.path(), "user.test", b"1", XattrFlags::empty()).is_ok()
            && removexattr(dir.path(), "user.test").is_ok()
    };
    let places = [std::env::temp_dir(), "/var/tmp".into(), "/root".into(), "/".into()];
    let dirs =
        places.iter().flat_map(|at| tempfile::Builder::new().prefix("hotcell-test").tempdir_in(at));
    let mut dirs = dirs.filter(takes);
    dirs.next().expect("a file system with attributes")
}

/// The player's side.
pub fn player(word: &str) {
    let way = Way::ALL.into_iter().find(|way| way.word() == word).unwrap();
    let path = |name| PathBuf::from(std::env::var_os(name).unwrap());
    let (input, dir) = (path(INPUT), path(DIR));
    let tight = std::env::var(LIMITS).is_ok_and(|limits| limits == "Tightly");
    let limits = if tight { Limited::Tightly } else { Limited::ByDefault };
    let store = dir.join("store");
    prepare(way, &store);
    let before = files(&store);
    forget();
    let loaded = load(way, &input, &store, limits);
    let peak = peak();
    let played = match loaded {
        Ok(loaded) => {
            let tree = seen(&loaded.lowers, &dir);
            Played { error: None, tree, left: BTreeSet::new(), peak }
        }
        Err(error) => {
            let left = files(&store).difference(&before).cloned().collect();
            Played { error: Some(error), tree: Tree::new(), left, peak }
        }
    };
    println!("{}", serde_json::to_string(&played).unwrap());
}

/// Everything below a directory by its path; nothing if there is none.
pub fn files(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            found.insert(entry.path().display().to_string());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                dirs.push(entry.path());
            }
        }
    }
    found
}

/// The tree as overlayfs shows it, in a mount namespace that ends with this process: with its marks in
/// `trusted.*` as for cells with the host's ids, and with those in `user.*` as for cells with ids of
/// their own.
pub fn seen(lowers: &[PathBuf], dir: &Path) -> Tree {
    apart();
    let bottom = dir.join("bottom");
    fs::create_dir_all(&bottom).unwrap();
    let look = |name, more| {
        let view = dir.join(name);
        fs::create_dir_all(&view).unwrap();
        overlay(lowers, &bottom, &view, more);
        tree(&view)
    };
    let (seen, with_own_ids) = (look("view", ""), look("view-user", ",userxattr"));
    let differ = differences(&seen, &with_own_ids);
    assert!(differ.is_empty(), "a cell with ids of its own sees another tree: {differ:?}");
    seen
}

/// Mounts the layers read-only. `bottom` is an empty directory, for one layer alone is none to mount.
fn overlay(lowers: &[PathBuf], bottom: &Path, at: &Path, more: &str) {
    // The top's own attributes are those of the topmost layer; the empty one is below all of them.
    let all: Vec<_> = lowers.iter().map(PathBuf::as_path).chain([bottom]).collect();
    let all: Vec<_> = all.iter().map(|path| path.to_str().unwrap()).collect();
    let data = CString::new(format!("lowerdir={}{more}", all.join(":"))).unwrap();
    mount("overlay", at, "overlay", MountFlags::RDONLY, Some(data.as_c_str())).unwrap();
}

/// A mount namespace of this process's own, from which nothing comes out.
fn apart() {
    // SAFETY: it changes this process's mount namespace alone; the player has one thread.
    #[allow(unsafe_code, reason = "a process that is made for it")]
    let done = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
}
