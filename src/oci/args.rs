//! The command line: what stands before the verb, the verb, and its own flags.
//!
//! Engines call this program many times for one container, so only the verb that was called has
//! its flags set up.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// cgroupsPath is "slice:prefix:name", and systemd makes the cgroup
    #[arg(long)]
    pub(super) systemd_cgroup: bool,
    /// Who makes the cgroup
    #[arg(long, value_enum)]
    pub(super) cgroup_manager: Option<CgroupManager>,
    /// Accepted if it asks for nothing: hotcell needs root
    #[arg(long, value_enum, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
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
    State(StateArgs),
    List(ListArgs),
    Features,
    Spec(SpecArgs),
    Exec(()),
    Checkpoint,
    Restore,
}

#[derive(Args)]
pub(super) struct StateArgs {
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
pub(super) struct SpecArgs {
    /// The directory that gets config.json; the current one if not given
    #[arg(short, long, value_name = "DIR")]
    pub(super) bundle: Option<PathBuf>,
    /// Not supported: hotcell needs root
    #[arg(long)]
    pub(super) rootless: bool,
}

/// No options but `--help`.
#[derive(Args)]
struct Nothing {}

/// A verb's command line is a program's of its own.
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
        "state" => Verb::State(flags(line)?),
        "list" => Verb::List(flags(line)?),
        "features" => flags(line).map(|Nothing {}| Verb::Features)?,
        "spec" => Verb::Spec(flags(line)?),
        // Whatever their flags: the answer is the same.
        "checkpoint" => Verb::Checkpoint,
        "restore" => Verb::Restore,
        _ => return Err(Refused::Unknown(name)),
    })
}

fn flags<A: Args>(line: Vec<OsString>) -> Result<A, clap::Error> {
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
        _ => Ok(()),
    }
}

/// As engines read it: the program's name, "version" and its number, then the specification's.
fn version() -> String {
    format!("hotcell-oci version {}\nspec: {OCI_VERSION}\n", env!("CARGO_PKG_VERSION"))
}
