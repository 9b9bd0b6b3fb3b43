//! Layers in a directory, and what a cell on them says.

use std::io::Read;
use std::path::PathBuf;
use std::process::Command;

use hotcell::bundle::CellConfig;
use hotcell::launch::{Stdio, Stream};
use hotcell::native::Created;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use crate::bed::Bed;
use crate::host::fixture;

/// Layers in a directory of their own, the first on top; the last is the busybox root.
pub(super) struct Stack {
    pub(super) dir: PathBuf,
    /// Each a directory with its tree below, as a store of images keeps them.
    pub(super) names: Vec<String>,
}

impl Stack {
    pub(super) fn new(bed: &Bed, count: usize) -> Stack {
        let dir = bed.path("layers");
        std::fs::create_dir(&dir).unwrap();
        let names: Vec<String> = (1..count).map(|number| format!("layer-{number}/fs")).collect();
        for name in &names {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(fixture("busybox")).arg(dir.join("bottom"));
        assert!(copy.status().unwrap().success());
        Stack { dir, names: names.into_iter().chain(["bottom".to_owned()]).collect() }
    }

    /// A path in a layer whose directories are made.
    pub(super) fn path(&self, number: usize, path: &str) -> PathBuf {
        let path = self.dir.join(&self.names[number]).join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(super) fn file(&self, number: usize, path: &str, content: &str) {
        std::fs::write(self.path(number, path), content).unwrap();
    }

    pub(super) fn whiteout(&self, number: usize, path: &str) {
        let path = self.path(number, path);
        mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    }

    /// As the unpacker makes it: for cells with the host's ids, and for those with their own.
    pub(super) fn opaque(&self, number: usize, path: &str) {
        let path = self.path(number, path);
        std::fs::create_dir_all(&path).unwrap();
        for name in ["trusted.overlay.opaque", "user.overlay.opaque"] {
            setxattr(&path, name, b"y", XattrFlags::empty()).unwrap();
        }
    }

    /// A shell script on them all.
    pub(super) fn script(&self, text: &str) -> CellConfig {
        let mut config = CellConfig::new("/", ["sh", "-c", text]);
        config.stack(&self.dir, &self.names);
        config
    }
}

/// What the cell wrote to both of its streams.
pub(super) fn output(created: Created) -> String {
    output_of(created, Stream::Null)
}

/// The same of one that is given something to read.
pub(super) fn output_of(created: Created, stdin: Stream) -> String {
    let (mut read, write) = std::io::pipe().unwrap();
    let again = write.try_clone().unwrap();
    let stdio = Stdio { stdin, stdout: Stream::Fd(write.into()), stderr: Stream::Fd(again.into()) };
    let mut running = created.run(stdio).unwrap();
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    running.wait(None).unwrap();
    running.close().unwrap();
    text
}
