//! A cell, and processes started in it.

use std::fs::File;
use std::io::{Read, pipe};

use hotcell::bundle::{Bundle, CellConfig};
use hotcell::launch::{Cell, Error, Exec, Exit, Stdio, Stream, exec};
use hotcell::native::{Instance, Running};
use oci_spec::runtime::Process;

use crate::bed::script;

/// A cell that waits, and the bundle it was made of.
pub struct Scene {
    pub running: Running,
    bundle: Bundle,
}

/// What a process in a cell did.
#[derive(Debug)]
pub struct Done {
    pub exit: Exit,
    pub out: String,
    pub err: String,
}

/// A cell that does nothing, on the busybox root.
pub fn idle() -> CellConfig {
    let mut config = script("trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done");
    config.init = false;
    config
}

impl Scene {
    pub fn new(driver: &Instance, config: &CellConfig) -> Scene {
        let created = driver.create(None, config, None).unwrap();
        let bundle = Bundle::in_memory(created.spec());
        Scene { running: created.run(Stdio::default()).unwrap(), bundle }
    }

    /// The cell's own process with another command.
    pub fn process(&self, args: &[&str]) -> Process {
        let mut process = self.bundle.spec().process().clone().unwrap();
        process.set_args(Some(args.iter().map(|arg| (*arg).to_owned()).collect()));
        process
    }

    pub fn start(&self, process: Process, stdio: Stdio) -> Result<Cell, Error> {
        exec(self.plain(process, stdio))
    }

    pub fn plain(&self, process: Process, stdio: Stdio) -> Exec<'_> {
        Exec {
            bundle: &self.bundle,
            process,
            init: self.running.cell().pidfd(),
            cgroup: self.running.cgroup(),
            stdio,
            console: None,
            id: None,
            ignore_frozen: false,
            preserved: 0,
        }
    }

    /// Runs a process to its end.
    pub fn run(&self, process: Process) -> Result<Done, Error> {
        let (mut out, out_end) = pipe().unwrap();
        let (mut err, err_end) = pipe().unwrap();
        let stdio = Stdio {
            stdin: Stream::Null,
            stdout: Stream::Fd(out_end.into()),
            stderr: Stream::Fd(err_end.into()),
        };
        let cell = self.start(process, stdio)?;
        let mut done = Done { exit: Exit::Code(0), out: String::new(), err: String::new() };
        out.read_to_string(&mut done.out).unwrap();
        err.read_to_string(&mut done.err).unwrap();
        done.exit = cell.wait(None).unwrap().unwrap();
        Ok(done)
    }

    /// Runs a shell script, which must succeed without a word of complaint.
    #[track_caller]
    pub fn sh(&self, text: &str) -> String {
        let done = self.run(self.process(&["sh", "-c", text])).unwrap();
        assert!(done.exit == Exit::Code(0) && done.err.is_empty(), "{done:?}");
        done.out
    }

    pub fn close(self) {
        self.running.close().unwrap();
    }

    /// Kills the cell, and with it the processes in it. Its first one ends when the last of them has
    /// been waited for.
    pub fn close_with(self, further: impl IntoIterator<Item = Cell>) {
        self.running.kill().unwrap();
        for one in further {
            assert!(one.wait(None).unwrap().unwrap().is_kill(), "it ends with the cell");
        }
        self.close();
    }
}

/// What stands in a file of a process's in /proc.
pub fn proc(pid: i32, name: &str) -> String {
    let mut text = String::new();
    let mut file = File::open(format!("/proc/{pid}/{name}")).unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}
