//! Real engines on this runtime: each case holds with runc, so it has to hold with hotcell-oci.
//!
//! ```text
//! stage      namespaces and a directory for one engine   image       what its containers run on
//! podman     podman, through conmon                  containerd  containerd's shim, through ctr
//! docker     dockerd and its swarm                   bundles     config.json as other tools write it
//! recipes    what docs/engines.md tells to do    saved       archives of images, both ways
//! ```
//!
//! `HOTCELL_CLIENTS_RUNTIME` names another runtime for the same cases.

mod bundles;
mod containerd;
mod docker;
pub mod image;
pub mod podman;
mod recipes;
mod saved;
mod stage;

use std::path::PathBuf;
use std::process::{Command, Stdio as Pipes};

use crate::Test;
use crate::bed::Ran;

pub fn tests() -> Vec<Test> {
    [
        podman::tests(),
        containerd::tests(),
        docker::tests(),
        bundles::tests(),
        recipes::tests(),
        saved::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The runtime that engines are given.
pub fn runtime() -> PathBuf {
    match std::env::var_os("HOTCELL_CLIENTS_RUNTIME") {
        Some(path) => PathBuf::from(path),
        None => option_env!("CARGO_BIN_EXE_hotcell-oci").unwrap_or("/usr/sbin/runc").into(),
    }
}

/// What a command that must have succeeded printed, without the last line's end. Engines write
/// warnings to the other stream.
#[track_caller]
pub fn good(ran: Ran) -> String {
    assert!(ran.code == Some(0), "{ran:?}");
    ran.out.trim_end().to_owned()
}

/// A command to its end, with `input` on its standard input.
pub fn fed(mut command: Command, input: &str) -> Ran {
    command.stdin(Pipes::piped()).stdout(Pipes::piped()).stderr(Pipes::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    Ran::from(child.wait_with_output().unwrap())
}

/// For a terminal of that size: an engine sets it shortly after the start.
pub const SIZE: &str = "i=0; until [ \"$(stty size 2>/dev/null)\" = '33 91' ] || [ $i = 100 ]; do \
    sleep 0.1; i=$((i + 1)); done; stty size; tty; exit 3";

/// A command to its end, with a terminal of 91 columns and 33 rows around it. The carriage returns
/// that terminals put before the end of a line are left out: some clients have two terminals, some one.
pub fn on_terminal(command: &Command) -> Ran {
    // `script` wants one string for a shell.
    let quoted = |word: &str| format!("'{}'", word.replace('\'', "'\\''"));
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let line: Vec<_> = words.map(|word| quoted(word.to_str().unwrap())).collect();
    let mut script = Command::new("script");
    let line = format!("stty cols 91 rows 33; exec {}", line.join(" "));
    script.args(["-qec", &line, "/dev/null"]);
    for (name, value) in command.get_envs() {
        script.env(name, value.unwrap_or_default());
    }
    script.stdin(Pipes::piped()).stdout(Pipes::piped()).stderr(Pipes::piped());
    let mut script = script.spawn().unwrap();
    // Open until the end: it would type an end of file.
    let keyboard = script.stdin.take();
    let ran = Ran::from(script.wait_with_output().unwrap());
    drop(keyboard);
    Ran { out: ran.out.replace('\r', ""), ..ran }
}
