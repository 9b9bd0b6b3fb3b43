//! The making of a container: the story that `create` and `run` share.
//!
//! ```text
//! bundle read ──► directory, locked ──► specification kept, record written ──► cgroup ──► launch
//!                                          ──► record with the process ──► pid file
//! ```
//!
//! What comes first knows of what comes next, so that a command killed in between leaves nothing
//! that `delete --force` does not find.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::Error;
use super::args::{CgroupManager, MakeArgs};
use super::console::{Console, receive};
use super::create::started;
use super::delete::remove;
use super::hooks::keep_from_hooks;
use super::id::Id;
use super::log::Log;
use super::place::{self, Birthplace};
use super::process::Process;
use super::record::Record;
use super::store::{Claim, Home, Store};
use super::systemd::Scope;
use crate::bundle::{self, Bundle};
use crate::cgroup::Hierarchies;
use crate::launch::{self, Cell, Latch, Launched, Place, Stdio, Stream};

/// When a container's process goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    /// As soon as the container is made, which then goes its own way.
    Now,
    /// The same, and this program stays to show it.
    Foreground,
    /// When `start` says so.
    Started,
}

/// A container and its first process, which is this program's child.
pub(super) struct Made {
    pub(super) home: Home,
    pub(super) record: Record,
    pub(super) cell: Cell,
    /// Its terminal, if this program is to show it.
    pub(super) terminal: Option<OwnedFd>,
}

/// What a container is made of.
struct Source {
    dir: PathBuf,
    text: Vec<u8>,
    bundle: Bundle,
}

/// Makes the container. What has been made is removed again when the rest fails.
pub(super) fn make(
    store: &Store,
    args: &MakeArgs,
    manager: CgroupManager,
    when: When,
    log: &Log,
) -> Result<Made, Error> {
    let id: Id = args.id.parse()?;
    let source = Source::read(args.bundle.as_deref())?;
    let host = Hierarchies::detect()?;
    let (mut record, scope) = source.record(&id, manager, &host)?;
    if record.hooks {
        keep_from_hooks(args.preserve_fds)?;
    }
    let home = store.create(&id)?;
    let birthplace = home
        .keep_config(&source.text)
        .and_then(|()| home.write(&record))
        .and_then(|()| Birthplace::make(&host, &record, scope.as_ref(), &source.bundle, &home));
    let mut birthplace = match birthplace {
        Ok(birthplace) => birthplace,
        // A cgroup that could not be made may be somebody else's.
        Err(error) => {
            let _ = home.remove();
            return Err(error);
        }
    };
    match build(&home, &mut record, source, &mut birthplace, args, when, log) {
        Ok((cell, terminal)) => {
            if when != When::Started {
                started(&home, &record, log);
            }
            Ok(Made { home, record, cell, terminal })
        }
        Err(error) => {
            // Where nothing was begun, no hook is to hear of an end.
            record.hooks &= !error.is_refusal() && birthplace.cgroup.is_complete();
            // The first failure is the one that is told.
            let _ = match birthplace.cgroup.is_complete() {
                true => remove(home, &record, log),
                // What else stands at its places is somebody else's.
                false => {
                    let abandoned = birthplace.cgroup.abandon().map_err(Error::from);
                    abandoned.and_then(|()| home.remove())
                }
            };
            Err(error)
        }
    }
}

fn build(
    home: &Home,
    record: &mut Record,
    source: Source,
    birthplace: &mut Birthplace,
    args: &MakeArgs,
    when: When,
    log: &Log,
) -> Result<(Cell, Option<OwnedFd>), Error> {
    let Birthplace { cgroup, placeholder } = birthplace;
    let (cgroup, placeholder) = (&*cgroup, placeholder.take());
    home.claim(if cgroup.is_complete() { Claim::All } else { Claim::Begun })?;
    let latch = match when {
        When::Now | When::Foreground => None,
        When::Started => Some(Latch::create(home.path())?),
    };
    let process = source.bundle.spec().process().as_ref();
    let foreground = when == When::Foreground;
    let Console { theirs, ours } =
        Console::of(process, args.console_socket.as_deref(), foreground)?;
    let place = Place {
        latch,
        console: theirs,
        id: Some(record.id.clone()),
        preserved: args.preserve_fds,
        peers: true,
        only: true,
        ..Place::default()
    };
    let mut left = Ok(());
    let launched = launch::launch(source.bundle, cgroup, own_streams()?, place, || {
        left = placeholder.map_or(Ok(()), |placeholder| placeholder.leave(cgroup));
    })?;
    let Launched { cell, compile, spawn, set_up } = launched;
    log.debug(|| format!("compiled in {compile:?}, spawned in {spawn:?}, set up in {set_up:?}"));
    let written = left.map_err(Error::from).and_then(|()| Process::of(cell.pid()));
    let written = written.and_then(|process| {
        record.process = Some(process);
        home.write(record)?;
        args.pid_file.as_deref().map_or(Ok(()), |path| write_pid(path, cell.pid()))
    });
    let shown = written.and_then(|()| ours.as_ref().map(receive).transpose());
    match shown {
        Ok(terminal) => Ok((cell, terminal)),
        Err(error) => {
            let _ = cell.kill();
            Err(error)
        }
    }
}

impl Source {
    fn read(dir: Option<&Path>) -> Result<Source, Error> {
        let given = dir.unwrap_or(Path::new("."));
        let dir = std::path::absolute(given).map_err(|error| Error::io("find", given, error))?;
        let path = dir.join("config.json");
        let text = std::fs::read(&path).map_err(|error| Error::io("read", path, error))?;
        let bundle = Bundle::parse(&dir, &text)?;
        Ok(Source { dir, text, bundle })
    }

    fn record(
        &self,
        id: &Id,
        manager: CgroupManager,
        host: &Hierarchies,
    ) -> Result<(Record, Option<Scope>), Error> {
        let spec = self.bundle.spec();
        let rootfs = self
            .bundle
            .rootfs()
            .ok_or_else(|| Error::Bundle(bundle::Error::invalid("root.path", "", "is missing")))?;
        let (places, scope) = place::places(host, manager, id, spec)?;
        let mut record = Record::new(id, spec, &self.dir, rootfs, places);
        record.scope = scope.as_ref().map(|scope| scope.unit().to_owned());
        Ok((record, scope))
    }
}

/// This program's streams as the container's.
pub(super) fn own_streams() -> Result<Stdio, Error> {
    let copy = |name, stream: &dyn AsFd| match stream.as_fd().try_clone_to_owned() {
        Ok(fd) => Ok(Stream::Fd(fd)),
        Err(error) => Err(Error::io("copy", name, error)),
    };
    Ok(Stdio {
        stdin: copy("standard input", &io::stdin())?,
        stdout: copy("standard output", &io::stdout())?,
        stderr: copy("standard error", &io::stderr())?,
    })
}

/// Whoever sees the file sees the whole number.
pub(super) fn write_pid(path: &Path, pid: i32) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = File::create(&draft)
        .and_then(|mut file| write!(file, "{pid}"))
        .and_then(|()| std::fs::rename(&draft, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&draft);
        Error::io("write", path, error)
    })
}
