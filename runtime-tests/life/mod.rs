//! What other runtimes' callers ask of a cell's life: made now and started later, hooks, terminals,
//! namespaces of others, descriptors handed on.

mod hooks;
mod latch;
mod namespaces;
mod terminal;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use hotcell::bundle::{Bundle, CellConfig, spec};
use hotcell::launch::{self, Error, Launched, Place, Stdio, Stream, launch};
use hotcell::native::{Created, Instance};
use hotcell::oci_spec::runtime::Spec;

use crate::Test;
use crate::bed::Bed;
use crate::host::fixture;

pub fn tests() -> Vec<Test> {
    [latch::tests(), terminal::tests(), namespaces::tests(), hooks::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// The part of a command that starts cells and ends.
pub fn play(part: &str, driver: &Instance) {
    match part {
        "latch" => latch::play(driver),
        _ => latch::play_preserved(driver),
    }
}

/// A specification on a cgroup of its own, to be launched by hand.
pub struct Made {
    created: Created,
    spec: Spec,
}

impl Made {
    pub fn new(driver: &Instance, config: &CellConfig) -> Made {
        Made::of(driver, spec(config).unwrap())
    }

    pub fn of(driver: &Instance, spec: Spec) -> Made {
        let created = driver.create_from_spec(None, spec, None).unwrap();
        Made { spec: created.spec(), created }
    }

    /// Launches it; what it writes can be read.
    pub fn launch(&self, place: Place) -> Result<(Launched, File), Error> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let copy = write.try_clone().unwrap();
        let stdio =
            Stdio { stdin: Stream::Null, stdout: Stream::Fd(write), stderr: Stream::Fd(copy) };
        let bundle = Bundle::in_memory(self.spec.clone());
        let launched = launch(bundle, self.created.cgroup(), stdio, place, || {})?;
        Ok((launched, File::from(read)))
    }

    pub fn cgroup(&self) -> &hotcell::cgroup::Cgroup {
        self.created.cgroup()
    }

    pub fn close(self) {
        self.created.close().unwrap();
    }
}

/// A command that is PID 1 itself, on the busybox root.
pub fn task<const N: usize>(command: [&str; N]) -> CellConfig {
    let mut config = CellConfig::new(fixture("busybox"), command);
    config.init = false;
    config
}

/// The end of a cell and all that it wrote.
pub fn end((launched, mut out): (Launched, File)) -> (launch::Exit, String) {
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    (launched.cell.wait(None).unwrap().unwrap(), text)
}

/// A root of the bed's own: busybox, and what a shell makes in it.
pub fn image(bed: &Bed, prepare: &str) -> PathBuf {
    let image = tempfile::tempdir_in(bed.path("")).unwrap().keep();
    let script = format!("cp -a {}/. . && rm -rf dev && {prepare}", fixture("busybox").display());
    let status =
        std::process::Command::new("sh").args(["-ec", &script]).current_dir(&image).status();
    assert!(status.unwrap().success());
    image
}

/// A new directory of the bed's.
pub fn dir(bed: &Bed, name: &str) -> PathBuf {
    let dir = bed.path(name);
    std::fs::create_dir(&dir).unwrap();
    dir
}
