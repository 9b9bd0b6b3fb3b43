//! Hooks: programs of the host that a specification has run at points of a cell's life.
//!
//! They are the caller's, trusted like the rest of the specification: they run as this process does,
//! in its namespaces, with the environment they are given and nothing of this process's but that.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::{Hook, Hooks, Spec};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::json;

use super::Error;
use super::report::timespec;
use crate::bundle::Bundle;

/// How much of what a failed hook wrote is told.
const TOLD: u64 = 4096;

/// When a hook of the caller's namespaces runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HookPoint {
    /// The cell's namespaces and mounts are made, its root is not entered yet; first of two lists.
    Prestart,
    /// The same; second of two lists.
    CreateRuntime,
    /// The command has been started.
    Poststart,
    /// The cell has been removed.
    Poststop,
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HookPoint::Prestart => "prestart",
            HookPoint::CreateRuntime => "createRuntime",
            HookPoint::Poststart => "poststart",
            HookPoint::Poststop => "poststop",
        })
    }
}

impl HookPoint {
    /// The hooks of a specification for this point, in order.
    #[allow(deprecated, reason = "specifications still use prestart")]
    fn of(self, hooks: &Hooks) -> &[Hook] {
        let list = match self {
            HookPoint::Prestart => hooks.prestart(),
            HookPoint::CreateRuntime => hooks.create_runtime(),
            HookPoint::Poststart => hooks.poststart(),
            HookPoint::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }
}

/// Whether any hook of the caller's namespaces has to run while the cell is made.
pub(super) fn any_while_made(spec: &Spec) -> bool {
    let points = [HookPoint::Prestart, HookPoint::CreateRuntime];
    spec.hooks().as_ref().is_some_and(|hooks| points.iter().any(|at| !at.of(hooks).is_empty()))
}

/// The hooks that run while a cell is made, if there are any.
#[derive(Debug)]
pub(super) struct WhileMade(Option<(Bundle, String)>);

impl WhileMade {
    pub(super) fn of(bundle: Bundle, id: Option<String>) -> WhileMade {
        let any = any_while_made(bundle.spec());
        WhileMade(any.then_some((bundle, id.unwrap_or_default())))
    }

    /// Runs those of the caller's namespaces for the cell whose init waits.
    pub(super) fn run(&self, pid: i32) -> Result<(), Error> {
        let Some((bundle, id)) = &self.0 else {
            return Ok(());
        };
        let state = hook_state(bundle, id, "creating", pid);
        // Where runc runs them.
        let at = |point| each(bundle.spec(), point, &state, bundle.dir());
        at(HookPoint::Prestart).chain(at(HookPoint::CreateRuntime)).collect()
    }
}

/// The state of a cell as hooks read it: JSON.
#[must_use]
pub fn hook_state(bundle: &Bundle, id: &str, status: &str, pid: i32) -> String {
    let spec = bundle.spec();
    let mut state = json!({
        "ociVersion": spec.version(),
        "id": id,
        "status": status,
        "bundle": bundle.dir().unwrap_or(std::path::Path::new("")),
        "annotations": spec.annotations().clone().unwrap_or_default(),
    });
    if status != "stopped" {
        state["pid"] = pid.into();
    }
    state.to_string()
}

/// Runs the hooks of a specification for one point, one after the other.
///
/// # Errors
/// [`Error::Hook`] with the first that failed; those behind it have not run.
pub fn run_hooks(spec: &Spec, point: HookPoint, state: &str) -> Result<(), Error> {
    each(spec, point, state, None).collect()
}

/// Runs them all, even behind one that failed; those that did, each an [`Error::Hook`].
#[must_use]
pub fn run_all_hooks(spec: &Spec, point: HookPoint, state: &str) -> Vec<Error> {
    each(spec, point, state, None).filter_map(Result::err).collect()
}

/// What becomes of each, as they are asked for. They run in the directory, or where this process is.
fn each(
    spec: &Spec,
    point: HookPoint,
    state: &str,
    directory: Option<&Path>,
) -> impl Iterator<Item = Result<(), Error>> {
    let hooks = spec.hooks().as_ref().map(|hooks| point.of(hooks)).unwrap_or_default();
    hooks.iter().enumerate().map(move |(number, hook)| {
        let failed = |(why, output)| {
            let hook = format!("{point} hook #{number}");
            Error::Hook { hook, why, output }
        };
        run(hook, state, directory).map_err(failed)
    })
}

/// What was wrong, and what the hook wrote.
type Trouble = (String, String);

fn run(hook: &Hook, state: &str, directory: Option<&Path>) -> Result<(), Trouble> {
    let broken = |error: &dyn fmt::Display| (error.to_string(), String::new());
    let path = hook.path();
    if !path.is_absolute() {
        return Err(broken(&format!("{} is not an absolute path", path.display())));
    }
    let timeout = match hook.timeout() {
        None => None,
        Some(seconds @ 1..) => Some(Duration::from_secs(seconds.unsigned_abs())),
        Some(seconds) => return Err(broken(&format!("timeout {seconds} is not above 0"))),
    };
    // Files in memory: a hook that neither reads nor writes can't make us wait, and neither can what
    // it leaves running.
    let mut input = memory().map_err(|error| broken(&error))?;
    let output = memory().map_err(|error| broken(&error))?;
    input.write_all(state.as_bytes()).map_err(|error| broken(&error))?;
    input.rewind().map_err(|error| broken(&error))?;
    let stream = || output.try_clone().map(|file| Stdio::from(OwnedFd::from(file)));
    let mut command = Command::new(path);
    let mut args = hook.args().iter().flatten();
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    command.args(args).env_clear();
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    for variable in hook.env().iter().flatten() {
        if let Some((name, value)) = variable.split_once('=') {
            command.env(name, value);
        }
    }
    command.stdin(OwnedFd::from(input));
    command.stdout(stream().map_err(|error| broken(&error))?);
    command.stderr(stream().map_err(|error| broken(&error))?);
    let mut child = command
        .spawn()
        .map_err(|error| broken(&format!("cannot execute {}: {error}", path.display())))?;
    let ended = wait(child.id(), timeout);
    if !matches!(ended, Ok(true)) {
        // It may just have ended by itself.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| broken(&error))?;
    let trouble = match ended {
        Ok(true) if status.success() => return Ok(()),
        Ok(true) => describe(status),
        Ok(false) => format!("timed out after {} s", timeout.unwrap_or_default().as_secs()),
        Err(errno) => format!("poll: {errno}"),
    };
    Err((trouble, told(output)))
}

pub(super) fn memory() -> std::io::Result<File> {
    Ok(File::from(memfd_create("hotcell-hook", MemfdFlags::CLOEXEC)?))
}

/// Waits until a child, which nobody has reaped, has ended; `false` when that takes too long.
fn wait(pid: u32, timeout: Option<Duration>) -> Result<bool, Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let left = deadline.map(|at| timespec(at.saturating_duration_since(Instant::now())));
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], left.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

/// The beginning of what a hook wrote.
fn told(mut output: File) -> String {
    let mut bytes = Vec::new();
    // What can't be read can't be told.
    let _ = output.rewind().and_then(|()| output.take(TOLD).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(hooks: serde_json::Value) -> Spec {
        serde_json::from_value(json!({"ociVersion": "1.0.2", "hooks": hooks})).unwrap()
    }

    fn told_by(script: &str, timeout: i64) -> Result<(), String> {
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script],
            "env": ["A=b", "PATH=/usr/bin:/bin"], "timeout": timeout});
        let spec = spec(json!({"poststart": [{"path": "/bin/true"}, hook]}));
        let ran = run_hooks(&spec, HookPoint::Poststart, "{\"id\": \"x\"}");
        ran.map_err(|error| error.to_string())
    }

    #[test]
    fn a_hook_gets_the_state_and_its_own_environment() {
        let script = "test \"$(cat)\" = '{\"id\": \"x\"}' && test $A = b && test -z \"$HOME\"";
        assert_eq!(told_by(script, 5), Ok(()));
    }

    #[test]
    fn what_a_hook_wrote_before_it_failed_is_told() {
        let expected = "error running poststart hook #1: exit status 3, stderr: out of order";
        assert_eq!(told_by("echo out of order >&2; exit 3", 5), Err(expected.to_owned()));
        assert!(told_by("kill -9 $$", 5).unwrap_err().contains("signal 9"));
    }

    #[test]
    fn a_hook_that_takes_too_long_is_killed() {
        let error = told_by("echo x; exec sleep 100", 1).unwrap_err();
        assert_eq!(error, "error running poststart hook #1: timed out after 1 s, stderr: x");
        assert!(told_by("true", 0).unwrap_err().contains("timeout 0 is not above 0"));
    }

    #[test]
    fn the_state_of_one_that_has_ended_has_no_process() {
        let bundle = Bundle::in_memory(spec(json!({})));
        assert!(hook_state(&bundle, "c", "created", 7).contains("\"pid\":7"));
        assert!(!hook_state(&bundle, "c", "stopped", 7).contains("pid"));
    }
}
