//! The listener of a cell's filter, and its way to the agent that decides about calls.
//!
//! ```text
//! init                              parent                         agent
//! seccomp(NEW_LISTENER)
//! Listening: descriptor number ───► pidfd_getfd
//!                                   connect, sendmsg ────────────► the state, and the listener along
//! closes its own           ◄─────── a byte
//! ```
//!
//! The agent has the listener before the first call that may be left to it is waited for.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use serde_json::{Value, json};

use super::control::send_all;
use super::hooks::hook_state;
use super::{Cell, Error, Plan, report, target};
use crate::bundle::Bundle;
use crate::fault::Point;
use crate::seccomp::Program;

/// Who decides about the calls that a filter leaves to an agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// The agent's stream socket.
    pub path: PathBuf,
    /// What the specification has it told.
    pub metadata: String,
}

impl Listener {
    /// Refuses a cell without a name: the agent is told whose calls it decides about.
    pub(super) fn needs_name(plan: &Plan, named: bool) -> Result<(), Error> {
        match plan.listener {
            Some(_) if !named => Err(Error::Invalid {
                field: "linux.seccomp.listenerPath".to_owned(),
                why: "needs a name for the cell, which the agent is told".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// The one that the specification names, if its filter leaves any call to it.
    pub(super) fn of(spec: &Spec, program: Option<&Program>) -> Result<Option<Listener>, Error> {
        let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let Some(seccomp) = seccomp else { return Ok(None) };
        let invalid = |field: &str, why: String| {
            Err(Error::Invalid { field: format!("linux.seccomp.{field}"), why })
        };
        let path = seccomp.listener_path().clone().filter(|path| !path.as_os_str().is_empty());
        let metadata = seccomp.listener_metadata().clone().unwrap_or_default();
        let notifies = program.is_some_and(Program::notifies);
        match path {
            None if !metadata.is_empty() => {
                invalid("listenerMetadata", "needs listenerPath".into())
            }
            None if notifies => {
                invalid("listenerPath", "is missing, and SCMP_ACT_NOTIFY needs an agent".into())
            }
            Some(path) if !path.is_absolute() => {
                invalid("listenerPath", format!("{} is not an absolute path", path.display()))
            }
            Some(path) if notifies => Ok(Some(Listener { path, metadata })),
            // The specification has it so: a path alone asks for nothing.
            _ => Ok(None),
        }
    }
}

/// What to do when the task's process is born: the agent may have been waiting for its number.
pub(super) fn born(
    agent: &mut Option<Handover<'_>>,
    process: Option<&OwnedFd>,
) -> Result<(), Error> {
    match (agent, process) {
        (Some(agent), Some(process)) => agent.send_for(process),
        _ => Ok(()),
    }
}

/// What to do when the filter is in force. The process that speaks, whose descriptor `number` the
/// listener is, is the init's, or the one that was born of it; it waits.
pub(super) fn listening(
    agent: &mut Option<Handover<'_>>,
    init: &Cell,
    born: Option<&OwnedFd>,
    plan: &Plan,
    number: i32,
) -> Result<(), Error> {
    match agent {
        Some(agent) => agent.take(init, born, plan, number),
        None => Err(Error::system("take a listener that nobody asked for", Errno::PROTO)),
    }
}

/// A listener on its way, and what goes with it.
pub(super) struct Handover<'a> {
    to: &'a Listener,
    version: String,
    state: String,
    /// The number of the cell's first process, if that is another than the one that listens.
    first: Option<i32>,
    listener: Option<OwnedFd>,
}

impl<'a> Handover<'a> {
    /// What is to be told of the cell `id`, which is `status`; none without an agent.
    pub(super) fn of(
        plan: &'a Plan,
        bundle: &Bundle,
        id: Option<&str>,
        status: &str,
        first: Option<i32>,
    ) -> Option<Handover<'a>> {
        let to = plan.listener.as_ref()?;
        let state = hook_state(bundle, id.unwrap_or_default(), status, first.unwrap_or(0));
        let version = bundle.spec().version().clone();
        Some(Handover { to, version, state, first, listener: None })
    }

    /// Takes the listener. Once the task has a number the agent gets it; then the process may go on.
    fn take(
        &mut self,
        init: &Cell,
        born: Option<&OwnedFd>,
        plan: &Plan,
        number: i32,
    ) -> Result<(), Error> {
        let process = born.map_or(init.pidfd(), AsFd::as_fd);
        let taken = pidfd_getfd(process, number, PidfdGetfdFlags::empty());
        self.listener = Some(taken.map_err(|errno| Error::System {
            call: "pidfd_getfd",
            hint: match errno {
                Errno::PERM => " (CAP_SYS_PTRACE is needed to take a filter's listener)",
                _ => " of the filter's listener",
            },
            source: errno.into(),
        })?);
        match born {
            Some(born) => self.send_for(born)?,
            None if plan.has_birth() => {}
            None => self.send(init.pid())?,
        }
        send_all(init.control(), b"1", Point::PlanWithMounts)
    }

    /// Sends what was taken for the process behind the pidfd; nothing if nothing was.
    fn send_for(&mut self, process: &OwnedFd) -> Result<(), Error> {
        match self.listener {
            Some(_) => self.send(number(process.as_fd())?),
            None => Ok(()),
        }
    }

    fn send(&mut self, pid: i32) -> Result<(), Error> {
        let Some(listener) = self.listener.take() else { return Ok(()) };
        let state =
            self.message(pid).map_err(|error| self.failed("tell the state", error.into()))?;
        let socket = self.connect().map_err(|error| self.failed("connect", error))?;
        send(&socket, state.to_string().as_bytes(), &listener)
            .map_err(|error| self.failed("send the listener", error))
    }

    fn failed(&self, what: &'static str, source: io::Error) -> Error {
        Error::Agent { path: self.to.path.clone(), what, source }
    }

    fn message(&self, pid: i32) -> serde_json::Result<Value> {
        let mut state: Value = serde_json::from_str(&self.state)?;
        state["pid"] = self.first.unwrap_or(pid).into();
        let mut message = json!({
            "ociVersion": self.version, "fds": ["seccompFd"], "pid": pid, "state": state,
        });
        if !self.to.metadata.is_empty() {
            message["metadata"] = self.to.metadata.as_str().into();
        }
        Ok(message)
    }

    /// An agent that takes no connection in time is none.
    fn connect(&self) -> io::Result<OwnedFd> {
        let address = SocketAddrUnix::new(&self.to.path)?;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Send, Some(report::PATIENCE))?;
        connect(&socket, &address)?;
        Ok(socket)
    }
}

/// The number that an agent is told.
pub(super) fn number(process: BorrowedFd<'_>) -> Result<i32, Error> {
    target::number(process).map_err(|error| Error::system("find a process in /proc", error))
}

/// Sends all bytes, the listener along with the first.
fn send(socket: &OwnedFd, mut bytes: &[u8], listener: &OwnedFd) -> io::Result<()> {
    let along = [listener.as_fd()];
    let mut first = true;
    while !bytes.is_empty() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if first && !control.push(SendAncillaryMessage::ScmRights(&along)) {
            return Err(Errno::TOOBIG.into());
        }
        match sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Ok(count) => {
                bytes = &bytes[count..];
                first = false;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &str, action: &str) -> Result<Option<Listener>, String> {
        let json = format!(
            r#"{{"ociVersion": "1.0.2", "linux": {{"seccomp": {{"defaultAction": "SCMP_ACT_ALLOW",
            {fields} "syscalls": [{{"names": ["mkdir"], "action": "{action}"}}]}}}}}}"#
        );
        let spec: Spec = serde_json::from_str(&json).unwrap();
        let seccomp = spec.linux().as_ref().unwrap().seccomp().as_ref().unwrap();
        let program = crate::seccomp::program(seccomp).unwrap();
        Listener::of(&spec, Some(&program)).map_err(|error| error.to_string())
    }

    #[test]
    fn an_agent_is_needed_where_calls_are_left_to_it() {
        let path = r#""listenerPath": "/run/a","#;
        let both = r#""listenerPath": "/run/a", "listenerMetadata": "m","#;
        let (notify, allow) = ("SCMP_ACT_NOTIFY", "SCMP_ACT_ALLOW");
        let listener =
            |metadata: &str| Listener { path: "/run/a".into(), metadata: metadata.to_owned() };
        assert_eq!(of(path, notify), Ok(Some(listener(""))));
        assert_eq!(of(both, notify), Ok(Some(listener("m"))));
        assert_eq!(of(both, allow), Ok(None));
        let error = |fields, action| of(fields, action).unwrap_err();
        assert!(error("", notify).contains("linux.seccomp.listenerPath: is missing"));
        assert!(error(r#""listenerPath": "","#, notify).contains("listenerPath: is missing"));
        for relative in ["@agent", "run/a"] {
            let field = format!(r#""listenerPath": "{relative}","#);
            assert!(of(&field, notify).unwrap_err().contains("is not an absolute path"));
        }
        let lonely = r#""listenerMetadata": "m","#;
        assert!(error(lonely, allow).contains("linux.seccomp.listenerMetadata: needs"));
    }
}
