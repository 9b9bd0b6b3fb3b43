//! A connection to systemd: D-Bus over the system bus, or over systemd's own socket where there is no
//! bus. One call at a time, each with an end to its patience.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::Error;
use super::message::{Argument, Heard, Method, PREFIX, call, length, parse};

/// Whether somebody connected there has to say hello first, as to a bus.
type IsBus = bool;

/// Where systemd is reached, the first that is there.
const SOCKETS: [(&str, IsBus); 2] =
    [("/run/dbus/system_bus_socket", true), ("/run/systemd/private", false)];

/// How long an answer or a job may take.
const PATIENCE: Duration = Duration::from_secs(30);

const ENDS_OF_JOBS: &str = "type='signal',sender='org.freedesktop.systemd1',\
     interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

const fn of_the_bus(name: &'static str) -> Method {
    Method {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        name,
    }
}

const fn of_systemd(name: &'static str) -> Method {
    Method {
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        name,
    }
}

/// An open connection to systemd.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Who systemd is there: others may send signals that look like its own.
    systemd: String,
}

impl Bus {
    /// Connects to the systemd of this host, and asks to be told of the ends of jobs.
    pub(super) fn connect() -> Result<Bus, Error> {
        let mut failure = None;
        for (path, is_bus) in SOCKETS {
            match UnixStream::connect(path) {
                Ok(stream) => return Bus::greet(stream, Path::new(path), is_bus),
                Err(source) => {
                    let error = Error::Socket { op: "connect to", path: path.into(), source };
                    failure.get_or_insert(error);
                }
            }
        }
        Err(failure.unwrap_or(Error::Nonsense))
    }

    fn greet(stream: UnixStream, path: &Path, is_bus: IsBus) -> Result<Bus, Error> {
        // It takes the numbers of processes as it sees them itself. Whoever stands in no PID namespace
        // of ours has no number here.
        let peer = getsockopt(&stream, PeerCredentials).map_err(|errno| Error::Socket {
            op: "look at",
            path: path.into(),
            source: errno.into(),
        })?;
        if peer.pid() == 0 {
            return Err(Error::Elsewhere);
        }
        let mut bus = Bus { stream, serial: 0, systemd: String::new() };
        bus.authenticate().map_err(|source| Error::Socket {
            op: "introduce ourselves at",
            path: path.into(),
            source,
        })?;
        if is_bus {
            bus.call(of_the_bus("Hello"), &[])?;
            bus.call(of_the_bus("AddMatch"), &[Argument::Text(ENDS_OF_JOBS)])?;
        }
        bus.call_systemd("Subscribe", &[])?;
        Ok(bus)
    }

    /// As the kernel tells who we are, nothing has to be proved.
    fn authenticate(&mut self) -> io::Result<()> {
        let user = rustix::process::geteuid().as_raw().to_string();
        let user: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
        self.stream.set_write_timeout(Some(PATIENCE))?;
        self.stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
        let deadline = Instant::now() + PATIENCE;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 1000 {
            let mut byte = [0];
            self.read(&mut byte, deadline)?;
            line.push(byte[0]);
        }
        match line.starts_with(b"OK ") {
            true => self.stream.write_all(b"BEGIN\r\n"),
            false => {
                let answer = String::from_utf8_lossy(&line).trim_end().to_owned();
                Err(io::Error::new(ErrorKind::PermissionDenied, answer))
            }
        }
    }

    /// Calls a method of systemd's manager; the texts of its answer.
    pub(super) fn call_systemd(
        &mut self,
        name: &'static str,
        arguments: &[Argument<'_>],
    ) -> Result<Vec<String>, Error> {
        let (sender, texts) = self.call(of_systemd(name), arguments)?;
        self.systemd = sender;
        Ok(texts)
    }

    /// Calls a method that starts a job, and waits for the job's end; its result: "done", "failed".
    pub(super) fn run(
        &mut self,
        name: &'static str,
        arguments: &[Argument<'_>],
    ) -> Result<String, Error> {
        let texts = self.call_systemd(name, arguments)?;
        let job = texts.first().ok_or(Error::Nonsense)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Heard::Signal { sender, member, texts } = self.hear(name, deadline)? else {
                continue;
            };
            if sender == self.systemd
                && member == "JobRemoved"
                && let [ended, _unit, result] = &texts[..]
                && ended == job
            {
                return Ok(result.clone());
            }
        }
    }

    /// The answer's sender and texts. It comes before any signal that it leads to.
    fn call(
        &mut self,
        method: Method,
        arguments: &[Argument<'_>],
    ) -> Result<(String, Vec<String>), Error> {
        self.serial += 1;
        let message = call(self.serial, method, arguments);
        self.stream
            .write_all(&message)
            .map_err(|source| Error::Call { call: method.name, source })?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.hear(method.name, deadline)? {
                Heard::Answer { serial, sender, texts } if serial == self.serial => {
                    return Ok((sender, texts));
                }
                Heard::Failure { serial, name, text } if serial == self.serial => {
                    return Err(Error::Refused { call: method.name, name, text });
                }
                _ => {}
            }
        }
    }

    fn hear(&mut self, call: &'static str, deadline: Instant) -> Result<Heard, Error> {
        let failed = |source: io::Error| Error::Call { call, source };
        let mut prefix = [0; PREFIX];
        self.read(&mut prefix, deadline).map_err(failed)?;
        let mut message = prefix.to_vec();
        message.resize(length(&prefix).ok_or(Error::Nonsense)?, 0);
        self.read(&mut message[PREFIX..], deadline).map_err(failed)?;
        parse(&message).ok_or(Error::Nonsense)
    }

    fn read(&mut self, mut into: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !into.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(ErrorKind::TimedOut, "no answer in 30 s"));
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(into) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => into = &mut into[count..],
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
