//! The command line: what stands before the verb, the verb, and its own flags.
//!
//! Engines call this program many times for one container, so only the verb that was called has
//! its flags set up.

use std::ffi::OsString;
use std::path::PathBuf;

mod process;
mod resources;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use process::ExecArgs;
pub(super) use resources::{Limits, UpdateArgs};

use super::{Error, OCI_VERSION};

/// Runs containers as the Open Container Initiative specifies, for container engines.
#[derive(Parser)]
#[command(
    name = "hotcell-oci",
    disable_version_flag = true,
    disable_help_subcommand = true,
    override_usage = "hotcell-oci [options] COMMAND [options] [arguments]",
    after_help = "Commands: create, start, run, state, kill, delete, list, ps, exec, pause, resume, \
                  update, events, features, spec.\nEach shows its own options with --help."
)]
pub(super) struct Globals {
    /// Where the state of containers is kept; a tmpfs
    #[arg(long, value_name = "DIR", default_value = "/run/hotcell-oci")]
    pub(super) root: PathBuf,
    /// Append records of failures to this file
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// The form of the records
    #[arg(long, value_enum, default_value_t)]
    pub(super) log_format: LogFormat,
    /// Tell more in the log
    #[arg(long)]
    pub(super) debug: bool,
    /// Let systemd make cgroups, named SLICE:PREFIX:NAME; the same as --cgroup-manager systemd
    #[arg(long)]
    systemd_cgroup: bool,
    /// Who makes the cgroup
    #[arg(long, value_enum)]
    cgroup_manager: Option<CgroupManager>,
    /// Accepted if it asks for nothing: hotcell needs root
    #[arg(long, value_enum, value_name = "BOOL")]
    rootless: Option<Rootless>,
    /// Ignored: there are no checkpoints
    #[arg(long, hide = true)]
    criu: Option<OsString>,
    /// Print the version
    #[arg(short = 'v', long)]
    version: bool,
    #[command(subcommand)]
    call: Option<Call>,
}

impl Globals {
    /// Who makes the cgroups of new containers. Later commands know it from a container's record.
    pub(super) fn manager(&self) -> CgroupManager {
        match self.systemd_cgroup {
            true => CgroupManager::Systemd,
            false => self.cgroup_manager.unwrap_or(CgroupManager::Cgroupfs),
        }
    }
}

/// The form of a record in the log.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum, Debug)]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Who makes a container's cgroup.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(super) enum CgroupManager {
    Cgroupfs,
    Systemd,
    Disabled,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Rootless {
    True,
    False,
    Auto,
}

#[derive(Subcommand)]
enum Call {
    #[command(external_subcommand)]
    Verb(Vec<OsString>),
}

/// What is to be done.
pub(super) enum Verb {
    Create(MakeArgs),
    Start(IdArgs),
    Run(RunArgs),
    State(IdArgs),
    Kill(KillArgs),
    Delete(DeleteArgs),
    List(ListArgs),
    Ps(PsArgs),
    Exec(Box<ExecArgs>),
    Pause(IdArgs),
    Resume(IdArgs),
    Update(Box<UpdateArgs>),
    Events(EventsArgs),
    Features,
    /// Not for people: see `systemd`.
    Hold,
    Spec(SpecArgs),
    Checkpoint,
    Restore,
}

#[derive(Args)]
pub(super) struct IdArgs {
    /// The container's id
    #[arg(value_name = "ID")]
    pub(super) id: String,
}

/// What `create` and `run` have in common.
#[derive(Args)]
pub(super) struct MakeArgs {
    /// The directory with config.json; the current one if not given
    #[arg(short, long, value_name = "DIR")]
    pub(super) bundle: Option<PathBuf>,
    /// A socket that gets the container's terminal
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// A file that gets the number of the container's process
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// Hand on this many descriptors behind the three streams
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// Accepted: hotcell needs no pivot_root where the host's root is a RAM disk
    #[arg(long)]
    no_pivot: bool,
    /// Accepted: the keyring of the caller never reaches a container
    #[arg(long)]
    no_new_keyring: bool,
    /// Accepted: a container's orphans are never this program's
    #[arg(long)]
    no_subreaper: bool,
    /// The container's id
    #[arg(value_name = "ID")]
    pub(super) id: String,
}

#[derive(Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) make: MakeArgs,
    /// Return when it has been started
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Leave the container's state when it has ended
    #[arg(long)]
    pub(super) keep: bool,
}

#[derive(Args)]
pub(super) struct KillArgs {
    /// Send it to every process of the container
    #[arg(short, long)]
    pub(super) all: bool,
    /// The container's id
    #[arg(value_name = "ID")]
    pub(super) id: String,
    /// A name or a number
    #[arg(value_name = "SIGNAL", default_value = "TERM")]
    pub(super) signal: String,
}

#[derive(Args)]
pub(super) struct DeleteArgs {
    /// Kill it first if it runs; no failure if it does not exist
    #[arg(short, long)]
    pub(super) force: bool,
    /// The container's id
    #[arg(value_name = "ID")]
    pub(super) id: String,
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// A table for people, JSON for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Print the ids alone
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// How a list is printed.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum, Debug)]
pub(super) enum Format {
    #[default]
    Table,
    Json,
}

#[derive(Args)]
pub(super) struct PsArgs {
    /// A table for people, JSON for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// The container's id
    #[arg(value_name = "ID")]
    pub(super) id: String,
    /// For ps(1); -ef if none are given
    #[arg(value_name = "OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) options: Vec<String>,
}

#[derive(Args)]
pub(super) struct EventsArgs {
    /// The time between two measurements
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(super) interval: String,
    /// Print one measurement and end
    #[arg(long)]
    pub(super) stats: bool,
    /// The container's id
    #[arg(value_name = "ID")]
    pub(super) id: String,
}

#[derive(Args)]
pub(super) struct SpecArgs {
    /// The directory that gets config.json; the current one if not given
    #[arg(short, long, value_name = "DIR")]
    pub(super) bundle: Option<PathBuf>,
    /// Not supported: hotcell needs root
    #[arg(long)]
    pub(super) rootless: bool,
}

#[derive(Args)]
struct Nothing {}

// A verb's command line is a program's of its own.
#[derive(Parser)]
#[command(disable_version_flag = true)]
struct Line<A: Args> {
    #[command(flatten)]
    args: A,
}

/// What a command line comes to.
pub(super) enum Read {
    Call(Box<Globals>, Verb),
    /// Help or the version.
    Answer(String),
}

/// Reads the whole command line.
pub(super) fn read(line: impl Iterator<Item = OsString>) -> Result<Read, Error> {
    let mut globals = match Globals::try_parse_from(line) {
        Ok(globals) => globals,
        Err(error) => return refused(&error),
    };
    if globals.version {
        return Ok(Read::Answer(version()));
    }
    let Some(Call::Verb(line)) = globals.call.take() else {
        return Err(Error::Usage("a command is missing (see --help)".to_owned()));
    };
    match verb(line) {
        Ok(verb) => Ok(Read::Call(Box::new(globals), verb)),
        Err(Refused::Unknown(name)) => {
            Err(Error::Usage(format!("there is no command {name:?} (see --help)")))
        }
        Err(Refused::Usage(error)) => refused(&error),
    }
}

enum Refused {
    Unknown(String),
    Usage(clap::Error),
}

impl From<clap::Error> for Refused {
    fn from(error: clap::Error) -> Refused {
        Refused::Usage(error)
    }
}

fn verb(line: Vec<OsString>) -> Result<Verb, Refused> {
    let name = line.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(match name.as_str() {
        "create" => Verb::Create(flags(line)?),
        "start" => Verb::Start(flags(line)?),
        "run" => Verb::Run(flags(line)?),
        "state" => Verb::State(flags(line)?),
        "kill" => Verb::Kill(flags(line)?),
        "delete" => Verb::Delete(flags(line)?),
        "list" => Verb::List(flags(line)?),
        "ps" => Verb::Ps(flags(line)?),
        "exec" => Verb::Exec(Box::new(flags(line)?)),
        "pause" => Verb::Pause(flags(line)?),
        "resume" => Verb::Resume(flags(line)?),
        "update" => Verb::Update(Box::new(flags(line)?)),
        "events" => Verb::Events(flags(line)?),
        "features" => flags(line).map(|Nothing {}| Verb::Features)?,
        "spec" => Verb::Spec(flags(line)?),
        "hold" => flags(line).map(|Nothing {}| Verb::Hold)?,
        // Whatever their flags: the answer is the same.
        "checkpoint" => Verb::Checkpoint,
        "restore" => Verb::Restore,
        _ => return Err(Refused::Unknown(name)),
    })
}

fn flags<A: Args>(mut line: Vec<OsString>) -> Result<A, clap::Error> {
    // Its usage shows how it was called.
    if let Some(name) = line.first_mut() {
        *name = format!("hotcell-oci {}", name.to_string_lossy()).into();
    }
    Line::<A>::try_parse_from(line).map(|line| line.args)
}

/// Help is an answer; everything else is a refusal, told in its first lines.
fn refused(error: &clap::Error) -> Result<Read, Error> {
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelp {
        return Ok(Read::Answer(text));
    }
    let lines: Vec<_> = text.lines().map(str::trim).take_while(|l| !l.is_empty()).collect();
    let text = lines.join(" ");
    Err(Error::Usage(text.strip_prefix("error: ").unwrap_or(&text).to_owned()))
}

/// Refuses what is known and can't be had.
pub(super) fn check(globals: &Globals) -> Result<(), Error> {
    match globals {
        Globals { rootless: Some(Rootless::True), .. } => {
            Err(Error::NotSupported { what: "--rootless true" })
        }
        Globals { cgroup_manager: Some(CgroupManager::Disabled), .. } => {
            Err(Error::NotSupported { what: "--cgroup-manager disabled" })
        }
        Globals { systemd_cgroup: true, cgroup_manager: Some(CgroupManager::Cgroupfs), .. } => {
            Err(Error::Usage("--systemd-cgroup and --cgroup-manager cgroupfs differ".to_owned()))
        }
        _ => Ok(()),
    }
}

/// As engines read it: the program's name, "version" and its number, then the specification's.
fn version() -> String {
    format!("hotcell-oci version {}\nspec: {OCI_VERSION}\n", env!("CARGO_PKG_VERSION"))
}
