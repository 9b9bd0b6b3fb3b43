//! A layout as a directory, with places that lead elsewhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::archive::Archive;

/// What is done to a directory before it is loaded. Every target may hold `{canary}`.
#[derive(Clone)]
pub struct Layout {
    pub archive: Archive,
    pub spoils: Vec<Spoil>,
}

#[derive(Clone)]
pub enum Spoil {
    Remove(String),
    Link(String, String),
    Directory(String),
    Fifo(String),
    Write(String, Vec<u8>),
    /// A file that is as long as this and holds nothing.
    Sparse(String, u64),
}

impl Layout {
    pub fn of(archive: Archive, spoils: impl IntoIterator<Item = Spoil>) -> Box<Layout> {
        Box::new(Layout { archive, spoils: spoils.into_iter().collect() })
    }

    pub fn write(&self, dir: &Path, canary: &Path) {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        for (name, bytes) in &self.archive.blobs {
            fs::write(dir.join(Archive::path(name)), bytes).unwrap();
        }
        fs::write(dir.join("index.json"), &self.archive.index).unwrap();
        fs::write(dir.join("oci-layout"), &self.archive.marker).unwrap();
        for spoil in &self.spoils {
            spoil.apply(dir, canary);
        }
    }
}

impl Spoil {
    fn apply(&self, dir: &Path, canary: &Path) {
        let fill = |text: &str| text.replace("{canary}", canary.to_str().unwrap());
        let clear = |name: &str| {
            let at = dir.join(name);
            let _ = fs::remove_file(&at);
            let _ = fs::remove_dir_all(&at);
            at
        };
        match self {
            Spoil::Remove(name) => drop(clear(name)),
            Spoil::Link(name, to) => symlink(fill(to), clear(name)).unwrap(),
            Spoil::Directory(name) => fs::create_dir(clear(name)).unwrap(),
            Spoil::Fifo(name) => {
                mknodat(CWD, clear(name), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
            }
            Spoil::Write(name, bytes) => fs::write(clear(name), bytes).unwrap(),
            Spoil::Sparse(name, length) => {
                fs::File::create(clear(name)).unwrap().set_len(*length).unwrap();
            }
        }
    }
}
