//! `hotcell login` and `logout`: what a registry wants to see, in Docker's file or with its helper.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::args::{LoginArgs, LogoutArgs};
use crate::cli::signals::{Signals, unless_interrupted};
use crate::cli::{Failure, complain, print};
use crate::image::pull::{Client, Credentials, DockerFile, Secret};

/// How many bytes a password may have.
const LIMIT: u64 = 32 << 10;

/// Tries a name and a password at the registry, and keeps them if it takes them.
pub(in crate::cli) fn login(args: &LoginArgs) -> Result<u8, Failure> {
    let file = DockerFile::from_environment()?;
    let client = Client::new(args.registries.settings()?)?;
    let (username, password) = ask(args)?;
    let credentials = Credentials::Basic { username: username.clone(), password: password.clone() };
    unless_interrupted(client.check(&args.registry, &credentials), async {})??;
    let helper = file.store(&args.registry, &username, &password)?;
    let place = file.path().display();
    match helper {
        Some(helper) => complain(&format!("{helper} keeps the password")),
        None => complain(&format!(
            "{place} keeps the password as it is; a helper, which is named there as credsStore, \
             would keep it locked"
        )),
    }
    if std::env::var_os("FN_DOCKER_AUTH").is_some_and(|text| !text.is_empty()) {
        complain(&format!("FN_DOCKER_AUTH is set: while it is, nobody looks at {place}"));
    }
    print(&format!("Logged in to {} as {username}\n", args.registry))?;
    Ok(0)
}

/// Forgets them, wherever they are.
pub(in crate::cli) fn logout(args: &LogoutArgs) -> Result<u8, Failure> {
    let file = DockerFile::from_environment()?;
    let registry = &args.registry;
    match file.erase(registry)? {
        true => print(&format!("Logged out of {registry}\n"))?,
        false => print(&format!("Not logged in to {registry}\n"))?,
    }
    Ok(0)
}

fn ask(args: &LoginArgs) -> Result<(String, Secret), Failure> {
    if args.password_stdin {
        let Some(username) = args.username.clone() else {
            return Err(Failure::refused("--password-stdin needs --username"));
        };
        let mut text = Vec::new();
        let failed = |error| Failure::refused(format!("standard input: {error}"));
        io::stdin().take(LIMIT + 1).read_to_end(&mut text).map_err(failed)?;
        return Ok((check_name(username)?, check_password(&text)?));
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::refused(
            "there is no terminal to ask for a password: give --username and --password-stdin",
        ));
    }
    let failed = |error: io::Error| Failure::refused(format!("the terminal: {error}"));
    let mut terminal = BufReader::new(File::open("/dev/tty").map_err(failed)?);
    let username = match &args.username {
        Some(name) => name.clone(),
        None => {
            let _ = write!(io::stderr(), "User name: ");
            let text = line(&mut terminal).map_err(failed)?;
            String::from_utf8_lossy(&text).trim().to_owned()
        }
    };
    let username = check_name(username)?;
    let _ = write!(io::stderr(), "Password of {username}: ");
    let signals = Signals::watch(&[])?;
    let silence = Silence::on(terminal.get_ref().try_clone().map_err(failed)?).map_err(failed)?;
    let interrupted = wait(terminal.get_ref(), &signals)?;
    let text = match interrupted {
        None => line(&mut terminal).map_err(failed)?,
        Some(_) => Vec::new(),
    };
    drop(silence);
    let _ = writeln!(io::stderr());
    signals.unwatch()?;
    if let Some(signal) = interrupted {
        raise(signal)?;
    }
    Ok((username, check_password(&text)?))
}

/// Waits for a line, or for a signal that must find the terminal as it was.
fn wait(terminal: &File, signals: &Signals) -> Result<Option<Signal>, Failure> {
    loop {
        let mut watched = [
            PollFd::new(terminal.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) if watched[1].any() == Some(true) => return signals.next(),
            Ok(_) => return Ok(None),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn line(terminal: &mut BufReader<File>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    terminal.take(LIMIT + 1).read_until(b'\n', &mut text)?;
    Ok(text)
}

fn check_name(name: String) -> Result<String, Failure> {
    match name.is_empty() || name.contains(':') || name.contains(char::is_control) {
        true => Err(Failure::refused("a user's name is not empty and has no colon")),
        false => Ok(name),
    }
}

/// Without the end of the line.
fn check_password(text: &[u8]) -> Result<Secret, Failure> {
    let refused = |why: &str| Err(Failure::refused(format!("the password {why}")));
    if text.len() as u64 > LIMIT {
        return refused("is too long");
    }
    let Ok(text) = std::str::from_utf8(text) else { return refused("is no UTF-8") };
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text {
        "" => refused("is empty"),
        text if text.contains(['\0', '\n']) => refused("has more than one line"),
        text => Ok(Secret::new(text)),
    }
}

/// A terminal that shows nothing of what is typed. Its end gives it back as it was.
struct Silence {
    terminal: File,
    before: Termios,
}

impl Silence {
    fn on(terminal: File) -> io::Result<Silence> {
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Silence { terminal, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_a_line_without_its_end() {
        let checked = |text: &str| check_password(text.as_bytes()).map_err(|it| it.line);
        for text in ["p w", "p w\n", "p w\r\n"] {
            assert_eq!(checked(text).unwrap().reveal(), "p w");
        }
        for text in ["", "\n", "a\nb", "a\n\n", "a\0"] {
            assert!(checked(text).is_err(), "{text:?}");
        }
        assert!(check_password(&[0xff]).is_err() && check_password(&[b'x'; 40_000]).is_err());
    }
}
