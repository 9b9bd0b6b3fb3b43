//! The program `hotcell-oci`: an OCI runtime as podman, containerd, Docker and CRI-O call it.
//!
//! ```text
//! command line ──► args ──► a verb, each a file here ──► store, record: ROOT/ID/state.json
//!                                   │
//!                                   └──► bundle, cgroup, launch
//! ```
//!
//! Nothing stays behind to look after a container: what a later verb has to know stands in its
//! directory (`store`), and what only the kernel knows is asked each time (`status`).
//! A failure is one line on standard error, the same as a record in `--log`, and exit code 1; of
//! `exec`, 255. A payload that ran gives its own code.

mod args;
mod attend;
mod console;
mod create;
mod delete;
mod error;
mod events;
mod exec;
mod features;
mod hooks;
mod id;
mod kill;
mod list;
mod log;
mod making;
mod pause;
mod place;
mod process;
mod ps;
mod record;
mod run;
mod signal;
mod spec;
mod state;
mod status;
mod store;
mod systemd;
mod table;
mod update;

use std::io::{self, Write};
use std::process::ExitCode;

use args::{Globals, Verb};
use error::Error;
use log::Log;
use store::Store;

/// The specification of `config.json` that is followed.
const OCI_VERSION: &str = "1.2.0";

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let (globals, verb) = match args::read(std::env::args_os()) {
        Ok(args::Read::Call(globals, verb)) => (globals, verb),
        Ok(args::Read::Answer(text)) => return finish(&Log::default(), 1, print(&text)),
        Err(error) => return finish(&Log::default(), 1, Err(error)),
    };
    let log = Log::new(&globals);
    let failed = if matches!(verb, Verb::Exec(_)) { 255 } else { 1 };
    let done = args::check(&globals).and_then(|()| call(&globals, verb, &log));
    finish(&log, failed, done)
}

fn finish(log: &Log, failed: u8, done: Result<u8, Error>) -> ExitCode {
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log.error(&error::line(&error));
            ExitCode::from(failed)
        }
    }
}

fn call(globals: &Globals, verb: Verb, log: &Log) -> Result<u8, Error> {
    let store = Store::new(&globals.root);
    let manager = globals.manager();
    match verb {
        Verb::Create(args) => create::create(&store, &args, manager, log),
        Verb::Start(args) => create::start(&store, &args, log),
        Verb::Run(args) => run::run(&store, &args, manager, log),
        Verb::Kill(args) => kill::kill(&store, &args),
        Verb::Delete(args) => delete::delete(&store, &args, log),
        Verb::State(args) => state::state(&store, &args),
        Verb::Ps(args) => ps::ps(&store, &args),
        Verb::Exec(args) => exec::exec(&store, &args),
        Verb::Pause(args) => pause::pause(&store, &args),
        Verb::Resume(args) => pause::resume(&store, &args),
        Verb::Update(args) => update::update(&store, &args),
        Verb::Events(args) => events::events(&store, &args),
        Verb::List(args) => list::list(&store, &args, log),
        Verb::Hold => systemd::hold(),
        Verb::Features => features::features(),
        Verb::Spec(args) => spec::spec(&args),
        Verb::Checkpoint => Err(Error::NotSupported { what: "checkpoint" }),
        Verb::Restore => Err(Error::NotSupported { what: "restore" }),
    }
}

/// Writes to standard output. A reader that has gone away is no failure.
fn print(text: &str) -> Result<u8, Error> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write", "standard output", error))
        }
        _ => Ok(0),
    }
}
