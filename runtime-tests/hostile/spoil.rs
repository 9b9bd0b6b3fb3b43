//! The ways in which an image's root is made hostile.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};

use super::scene::Scene;

/// One change to a root. Paths are in the root; what is there before is removed, and the
/// directories above are made.
#[derive(Clone)]
pub enum Spoil {
    Link(String, String),
    File(String, String),
    Program(String, String),
    Fifo(String),
    Socket(String),
    /// A socket that somebody on the host listens to.
    Listener(String),
    Dir(String),
    Gone(String),
    /// `true` for a block device.
    Device(String, bool, u32, u32),
    /// A file of many bytes that takes no space.
    Sparse(String, u64),
    Mode(String, u32),
    Owner(String, u32, u32),
    Xattr(String, &'static str, &'static [u8]),
    /// A copy of the busybox program under another name.
    Copy(String),
    /// Another name of a file of the host's.
    HardLink(String, String),
}

pub fn link(at: &str, to: &str) -> Spoil {
    Spoil::Link(at.into(), to.into())
}

pub fn file(at: &str, text: &str) -> Spoil {
    Spoil::File(at.into(), text.into())
}

pub fn program(at: &str, text: &str) -> Spoil {
    Spoil::Program(at.into(), text.into())
}

pub fn dir(at: &str) -> Spoil {
    Spoil::Dir(at.into())
}

pub fn fifo(at: &str) -> Spoil {
    Spoil::Fifo(at.into())
}

pub fn gone(at: &str) -> Spoil {
    Spoil::Gone(at.into())
}

pub fn character(at: &str, major: u32, minor: u32) -> Spoil {
    Spoil::Device(at.into(), false, major, minor)
}

pub fn block(at: &str, major: u32, minor: u32) -> Spoil {
    Spoil::Device(at.into(), true, major, minor)
}

impl Spoil {
    /// Where it is.
    fn place(&self) -> &str {
        match self {
            Spoil::Link(at, _)
            | Spoil::File(at, _)
            | Spoil::Program(at, _)
            | Spoil::Fifo(at)
            | Spoil::Socket(at)
            | Spoil::Listener(at)
            | Spoil::Dir(at)
            | Spoil::Gone(at)
            | Spoil::Device(at, ..)
            | Spoil::Sparse(at, _)
            | Spoil::Mode(at, _)
            | Spoil::Owner(at, ..)
            | Spoil::Xattr(at, ..)
            | Spoil::Copy(at)
            | Spoil::HardLink(at, _) => at,
        }
    }

    /// Does it to the scene's root.
    pub fn apply(&self, scene: &Scene) {
        let path = scene.root().join(scene.fill(self.place()).trim_start_matches('/'));
        if !matches!(self, Spoil::Mode(..) | Spoil::Owner(..) | Spoil::Xattr(..)) {
            clear(&path);
        }
        match self {
            Spoil::Link(_, to) => symlink(scene.fill(to), &path).unwrap(),
            Spoil::File(_, text) => fs::write(&path, scene.fill(text)).unwrap(),
            Spoil::Program(_, text) => {
                fs::write(&path, scene.fill(text)).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            Spoil::Fifo(_) => node(&path, FileType::Fifo, 0),
            Spoil::Socket(_) => node(&path, FileType::Socket, 0),
            Spoil::Listener(_) => scene.listen(&path),
            Spoil::Dir(_) => fs::create_dir(&path).unwrap(),
            Spoil::Gone(_) => {}
            Spoil::Device(_, true, major, minor) => {
                node(&path, FileType::BlockDevice, makedev(*major, *minor));
            }
            Spoil::Device(_, false, major, minor) => {
                node(&path, FileType::CharacterDevice, makedev(*major, *minor));
            }
            Spoil::Sparse(_, size) => fs::File::create(&path).unwrap().set_len(*size).unwrap(),
            Spoil::Mode(_, mode) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
            }
            Spoil::Owner(_, uid, gid) => {
                std::os::unix::fs::lchown(&path, Some(*uid), Some(*gid)).unwrap();
            }
            Spoil::Xattr(_, name, value) => {
                setxattr(&path, *name, value, XattrFlags::empty()).unwrap();
            }
            Spoil::Copy(_) => {
                fs::copy(scene.root().join("bin/busybox"), &path).unwrap();
            }
            Spoil::HardLink(_, to) => fs::hard_link(scene.fill(to), &path).unwrap(),
        }
    }
}

fn node(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o666), device).unwrap();
}

/// Removes what is there and makes what is above it.
fn clear(path: &Path) {
    if path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        fs::remove_dir_all(path).unwrap();
    } else {
        let _ = fs::remove_file(path);
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
}
