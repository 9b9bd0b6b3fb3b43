//! Where a case plays: a spoiled root, a directory to share, and a canary that nothing may touch.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode as Bits, XattrFlags, mknodat, setxattr};

use super::case::{Base, Form};
use crate::bed::Bed;
use crate::host::fixture;

/// What scripts need of busybox; all 300 names would take longer to copy than a cell to run.
const COMMANDS: &str = "[ adjtimex cat chmod chown chroot cp cut date dd dmesg echo env expr false \
    find grep head hostname id insmod ip kill ln losetup ls mkdir mkfifo mknod mount mv nc nohup \
    nsenter od ping pivot_root poweroff printf ps pwd readlink reboot rm rmdir seq setsid sh sleep \
    sort stat swapoff swapon tail test timeout touch tr true umount unshare wc";

/// One form of a case, set up.
pub struct Scene {
    pub bed: Bed,
    base: Base,
    /// What the canary's files hold: it may be read nowhere else.
    pub token: String,
    listeners: RefCell<Vec<UnixListener>>,
}

impl Scene {
    /// Copies the root, spoils it and puts the canary up.
    pub fn set_up(base: Base, form: &Form) -> Scene {
        let bed = Bed::new();
        let token = format!("canary-{}", random());
        let scene = Scene { bed, base, token, listeners: RefCell::default() };
        raise_canary(&scene);
        fs::create_dir(scene.share()).unwrap();
        fs::write(scene.share().join("marker"), "shared").unwrap();
        if base == Base::Busybox {
            copy(&fixture("busybox"), &scene.root());
        }
        for spoil in &form.spoils {
            assert!(base == Base::Busybox, "only a copy can be spoiled");
            spoil.apply(&scene);
        }
        scene
    }

    pub fn root(&self) -> PathBuf {
        match self.base {
            Base::Busybox => self.bed.path("root"),
            Base::Debian => fixture("debian"),
        }
    }

    /// A host directory that cells may write to.
    pub fn share(&self) -> PathBuf {
        self.bed.path("share")
    }

    /// A host directory that they may not even see.
    pub fn canary(&self) -> PathBuf {
        self.bed.path("canary")
    }

    /// Listens at a path for as long as the scene stands.
    pub fn listen(&self, path: &Path) {
        self.listeners.borrow_mut().push(UnixListener::bind(path).unwrap());
    }

    /// Puts this scene's paths into a text.
    pub fn fill(&self, text: &str) -> String {
        text.replace("{canary}", self.canary().to_str().unwrap())
            .replace("{root}", self.root().to_str().unwrap())
            .replace("{share}", self.share().to_str().unwrap())
            .replace("{token}", &self.token)
    }
}

fn random() -> String {
    let mut bytes = [0; 12];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One of everything that a runtime could spoil on its way through a link.
fn raise_canary(scene: &Scene) {
    let canary = scene.canary();
    fs::create_dir_all(canary.join("dir/inner")).unwrap();
    for name in ["secret", "dir/inner/file", "null", "console", "passwd", "config.json"] {
        fs::write(canary.join(name), &scene.token).unwrap();
    }
    fs::write(canary.join("dir/hard"), "as it was").unwrap();
    fs::set_permissions(canary.join("secret"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(canary.join("secret"), Some(12), Some(34)).unwrap();
    setxattr(canary.join("secret"), "user.canary", b"sings", XattrFlags::empty()).unwrap();
    let tool = "#!/bin/sh\necho a program of the host ran\n";
    fs::write(canary.join("tool"), tool).unwrap();
    fs::set_permissions(canary.join("tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("secret", canary.join("link")).unwrap();
    mknodat(CWD, canary.join("fifo"), FileType::Fifo, Bits::from_raw_mode(0o600), 0).unwrap();
}

/// A copy of a tree of directories, files and the links that scripts need.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, from.metadata().unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        let name = entry.file_name();
        if kind.is_symlink() && !COMMANDS.split_whitespace().any(|command| name == command) {
            continue;
        }
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), &target).unwrap();
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
