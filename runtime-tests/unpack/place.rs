//! Directories for layers, and looks at what is in them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use hotcell::image::Digest;
use hotcell::image::unpack::{Limits, Source, Target, Unpacked, Unpacker, layer};
use rustix::fs::{XattrFlags, setxattr};

/// A directory for layers, on a file system with all that they take.
pub struct Place(pub tempfile::TempDir);

impl Place {
    pub fn new() -> Place {
        let takes = |dir: &Path| {
            ["user.overlay.opaque", "trusted.overlay.opaque"]
                .iter()
                .all(|name| setxattr(dir, *name, b"y", XattrFlags::empty()).is_ok())
        };
        let make = |top: &&str| {
            let dir = tempfile::Builder::new().prefix("hotcell-unpack").tempdir_in(top).ok()?;
            takes(dir.path()).then_some(dir)
        };
        Place(["/tmp", "/var/tmp", "/dev/shm"].iter().find_map(make).unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Unpacks the archive into a new directory over those, topmost first.
    pub fn unpack(
        &self,
        name: &str,
        over: &[&str],
        archive: &[u8],
        how: &Unpacker,
    ) -> Result<Unpacked, String> {
        self.try_unpack(name, over, archive, how, &Limits::default()).map_err(|error| {
            let source = std::error::Error::source(&error);
            source.map_or(error.to_string(), |source| format!("{error}: {source}"))
        })
    }

    pub fn try_unpack(
        &self,
        name: &str,
        over: &[&str],
        archive: &[u8],
        how: &Unpacker,
        limits: &Limits,
    ) -> Result<Unpacked, hotcell::image::unpack::Error> {
        let upper = self.path(name);
        std::fs::create_dir(&upper).unwrap();
        let blob = tempfile::tempfile().unwrap();
        blob.write_all_at(archive, 7).unwrap();
        let source = Source::region(blob, 7, archive.len() as u64);
        let open = |path: PathBuf| File::open(path).unwrap().into();
        let lowers = over.iter().map(|name| open(self.path(name))).collect();
        layer(&source, &Target { upper: open(upper), lowers }, limits, how)
    }

    /// What overlayfs shows of these layers, topmost first.
    pub fn shown(&self, layers: &[&str]) -> Vec<String> {
        let script = format!(
            "mount -t overlay none -o lowerdir={}:{} /mnt && cd /mnt && \
             find . -mindepth 1 -printf '%P %y %m %l\\n' | sort",
            layers.join(":"),
            // At least two are wanted.
            "empty",
        );
        std::fs::create_dir_all(self.path("empty")).unwrap();
        let mut shell = Command::new("unshare");
        shell.args(["-m", "--propagation", "private", "sh", "-ec", &script]);
        let output = shell.current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(|l| l.trim_end().to_owned()).collect()
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    piped("gzip", &["-c"], bytes)
}

fn piped(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let output = Command::new(program).args(args).stdin(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// All of a tree: type, mode, owner, time, number of names, content or target, attributes.
pub fn tree(top: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut paths = vec![top.to_owned()];
    while let Some(path) = paths.pop() {
        let found = path.symlink_metadata().unwrap();
        let mut text = format!(
            "{:o} {}:{} {}.{} {}",
            found.mode(),
            found.uid(),
            found.gid(),
            found.mtime(),
            found.mtime_nsec(),
            if found.is_dir() { 0 } else { found.nlink() },
        );
        if found.is_dir() {
            paths.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if found.is_symlink() {
            text += &format!(" -> {}", path.read_link().unwrap().display());
        } else if found.is_file() {
            text += &format!(" {}", Digest::sha256(&std::fs::read(&path).unwrap()));
        }
        let mut names = vec![0; 4096];
        let count = rustix::fs::llistxattr(&path, &mut names).unwrap();
        for name in names[..count].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let mut value = vec![0; 4096];
            let count = rustix::fs::lgetxattr(&path, name, &mut value).unwrap();
            text += &format!(" {}={}", name.escape_ascii(), value[..count].escape_ascii());
        }
        let short = path.strip_prefix(top).unwrap();
        all.insert(String::from_utf8_lossy(short.as_os_str().as_bytes()).into_owned(), text);
    }
    all
}
