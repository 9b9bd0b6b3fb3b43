//! The program: flags in, one function for each command, exit codes out.
//!
//! Every failure is one line on standard error and one of these codes; a command that ran gives its
//! own.

mod args;
mod bundle;
mod config;
mod doctor;
mod duration;
mod human;
mod image;
mod pump;
mod root;
mod run;
mod security;
mod signals;
mod stats;

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::native;

/// The program's own exit codes, Docker's and `timeout(1)`'s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Code {
    /// `doctor`: this host can't run a cell. `image check`: an image is not whole.
    NotAble = 1,
    /// The command ran out of its `--timeout`.
    TimedOut = 124,
    /// hotcell refused or failed: bad flags, missing files, limits that can't be enforced.
    Refused = 125,
    /// The command exists and can't be executed.
    CannotExecute = 126,
    /// The command doesn't exist.
    NotFound = 127,
}

/// A failure on its way out: one line and a code.
struct Failure {
    code: Code,
    line: String,
}

impl Failure {
    fn refused(what: impl fmt::Display) -> Failure {
        Failure { code: Code::Refused, line: what.to_string() }
    }
}

/// Any error with its causes, outermost first. A command that can't be executed has Docker's codes.
impl<E: StdError + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        const ENOENT: i32 = 2;
        let any: &(dyn StdError + 'static) = &error;
        let code = match any.downcast_ref() {
            Some(native::Error::Launch(error)) => match error.exec_errno() {
                Some(ENOENT) => Code::NotFound,
                Some(_) => Code::CannotExecute,
                None => Code::Refused,
            },
            _ => Code::Refused,
        };
        Failure { code, line: chain(any) }
    }
}

/// An error and its causes as one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line = format!("{line}: {cause}");
        next = cause.source();
    }
    line.replace('\n', " ")
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match args::Args::try_parse() {
        Ok(args) => match args.command {
            args::Command::Run(args) => run::run(&args),
            args::Command::Bundle(args) => bundle::bundle(&args),
            args::Command::Pull(args) => image::pull(&args),
            args::Command::Load(args) => image::load(&args),
            args::Command::Save(args) => image::save(&args),
            args::Command::Images(args) => image::images(&args),
            args::Command::Rmi(args) => image::rmi(&args),
            args::Command::Tag(args) => image::tag(&args),
            args::Command::Image(args) => image::image(&args),
            args::Command::Login(args) => image::login(&args),
            args::Command::Logout(args) => image::logout(&args),
            args::Command::Doctor(args) => doctor::doctor(&args),
        },
        Err(error) => usage(&error),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            complain(&failure.line);
            ExitCode::from(failure.code as u8)
        }
    }
}

/// Help and version are answers; everything else is a refusal, told in its first line.
fn usage(error: &clap::Error) -> Result<u8, Failure> {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print(&text)?;
            Ok(0)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Failure::refused("a command is missing: run, pull, images, … (see --help)"))
        }
        _ => {
            let lines: Vec<_> = text.lines().map(str::trim).take_while(|l| !l.is_empty()).collect();
            let text = lines.join(" ");
            Err(Failure::refused(text.strip_prefix("error: ").unwrap_or(&text)))
        }
    }
}

/// Writes to standard output; a reader that has gone away is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::refused(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// One line to the user. Standard error may be closed; then nobody wants to hear it.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "hotcell: {line}");
}
