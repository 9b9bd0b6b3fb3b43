//! Programs that keep credentials: `docker-credential-NAME`, with Docker's protocol.

use std::env;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Credentials, KeyringError, Secret};
use crate::image::document::json::{self, Flaw, Object};
use crate::image::excerpt;
use crate::sys::pidfd::{self, Waited};

/// How long a helper may take: it may ask a person, or a service.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many bytes it may say.
const ANSWER_LIMIT: u64 = 64 << 10;
/// What it says when it has none.
const NONE: &str = "credentials not found";
/// Whose password is a token that others are asked for with.
const TOKEN_USER: &str = "<token>";

/// A helper by its name, which leads to no file but `docker-credential-NAME`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Helper(String);

impl FromStr for Helper {
    type Err = String;

    fn from_str(name: &str) -> Result<Helper, String> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        match !name.is_empty() && name.len() <= 64 && name.bytes().all(allowed) {
            true => Ok(Helper(name.to_owned())),
            false => Err(format!(
                "the helper's name {:?} is not made of lower-case letters, digits and dashes",
                excerpt(name)
            )),
        }
    }
}

impl Helper {
    /// What it has for the registry.
    pub(super) fn get(&self, registry: &str) -> Result<Option<Credentials>, KeyringError> {
        let (well, answer) = self.run("get", registry, registry.as_bytes())?;
        match well {
            true => read(&answer).map_err(|Flaw { at, why }| {
                self.failed(registry, format!("its answer: {at}: {why}"))
            }),
            false if says_none(&answer) => Ok(None),
            false => Err(self.complained(registry, &answer)),
        }
    }

    /// Has it keep a user's password for the registry.
    pub(super) fn store(
        &self,
        registry: &str,
        username: &str,
        secret: &Secret,
    ) -> Result<(), KeyringError> {
        let order = serde_json::json!({
            "ServerURL": registry,
            "Username": username,
            "Secret": secret.reveal(),
        });
        match self.run("store", registry, order.to_string().as_bytes())? {
            (true, _) => Ok(()),
            (false, answer) => Err(self.complained(registry, &answer)),
        }
    }

    /// Has it forget what it has for the registry.
    pub(super) fn erase(&self, registry: &str) -> Result<(), KeyringError> {
        match self.run("erase", registry, registry.as_bytes())? {
            (true, _) => Ok(()),
            (false, answer) if says_none(&answer) => Ok(()),
            (false, answer) => Err(self.complained(registry, &answer)),
        }
    }

    pub(super) fn program(&self) -> String {
        format!("docker-credential-{}", self.0)
    }

    fn failed(&self, registry: &str, why: impl Into<String>) -> KeyringError {
        let registry = excerpt(registry);
        KeyringError::Helper { program: self.program(), registry, why: why.into() }
    }

    /// What a helper says when it fails is a message, unless it looks like what it keeps.
    fn complained(&self, registry: &str, answer: &[u8]) -> KeyringError {
        let text = String::from_utf8_lossy(answer);
        let line = text.trim().lines().next().unwrap_or_default();
        let why = match line.is_empty() || line.contains('{') {
            true => "failed without a message".to_owned(),
            false => format!("failed with {:?}", excerpt(line)),
        };
        self.failed(registry, why)
    }

    /// The program, from a directory of PATH that does not depend on where this process is.
    fn find(&self) -> Option<PathBuf> {
        let directories = env::var_os("PATH")?;
        let executable = |path: &PathBuf| {
            let found = path.metadata();
            found.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
        };
        env::split_paths(&directories)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(self.program()))
            .find(executable)
    }

    /// Runs it. Says whether it did well, and what it said.
    fn run(
        &self,
        verb: &str,
        registry: &str,
        input: &[u8],
    ) -> Result<(bool, Vec<u8>), KeyringError> {
        let program =
            self.find().ok_or_else(|| self.failed(registry, "there is no such program in PATH"))?;
        let broken = |error: io::Error| self.failed(registry, error.to_string());
        // A file in memory: a helper that does not read can't make us wait.
        let memory = memfd_create("hotcell-credentials", MemfdFlags::CLOEXEC);
        let mut file = File::from(memory.map_err(|errno| broken(errno.into()))?);
        file.write_all(input).and_then(|()| file.rewind()).map_err(broken)?;
        let mut command = Command::new(program);
        command.arg(verb).stdin(OwnedFd::from(file)).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().map_err(broken)?;
        attend(child, Instant::now() + PATIENCE).map_err(|why| self.failed(registry, why))
    }
}

/// Hears a helper out and waits for its end, until it is late: then it is killed.
fn attend(mut child: Child, deadline: Instant) -> Result<(bool, Vec<u8>), String> {
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let process = number.ok_or(Errno::SRCH).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let process = process.map_err(|errno| format!("watching it: {errno}"))?;
    let stdout = child.stdout.take().ok_or("it has no output")?;
    let heard = hear(File::from(OwnedFd::from(stdout)), deadline)
        .and_then(|answer| until_ready(&process, deadline).map(|()| answer));
    if heard.is_err() {
        // It may just have ended by itself.
        let _ = pidfd_send_signal(&process, Signal::KILL);
    }
    let status = match pidfd::wait(&process).map_err(|errno| format!("waiting for it: {errno}"))? {
        Waited::Ended(status) => Some(status),
        Waited::Running | Waited::Lost => pidfd::exit_info(&process),
    };
    let answer = heard?;
    let status = status.ok_or("somebody else took its exit status")?;
    Ok((status.0 == 0, answer))
}

/// All that it says.
fn hear(mut stdout: File, deadline: Instant) -> Result<Vec<u8>, String> {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        until_ready(&stdout, deadline)?;
        match stdout.read(&mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("reading its answer: {error}")),
        }
        if answer.len() as u64 > ANSWER_LIMIT {
            return Err(format!("its answer has more than {ANSWER_LIMIT} bytes"));
        }
    }
}

fn until_ready(file: &impl std::os::fd::AsFd, deadline: Instant) -> Result<(), String> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err("it took too long and was killed".to_owned()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(format!("poll: {errno}")),
        }
    }
}

fn says_none(answer: &[u8]) -> bool {
    answer.len() < 200 && String::from_utf8_lossy(answer).to_ascii_lowercase().contains(NONE)
}

fn read(answer: &[u8]) -> Result<Option<Credentials>, Flaw> {
    let mut object: Object = json::read(answer)?.object()?;
    let username = object.wanted("Username")?.text()?;
    let secret = object.wanted("Secret")?.text()?;
    Ok(match (username.as_str(), secret.is_empty()) {
        ("", true) => None,
        (_, true) => return Err(object.flaw("the Secret is empty")),
        (TOKEN_USER, false) => Some(Credentials::IdentityToken(Secret::new(secret))),
        (name, false) if name.contains(':') => {
            return Err(object.flaw("the Username has a colon"));
        }
        (_, false) => Some(Credentials::Basic { username, password: Secret::new(secret) }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell in a helper's place.
    fn shell(script: &str, patience: Duration) -> Result<(bool, String), String> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let heard = attend(command.spawn().unwrap(), Instant::now() + patience)?;
        Ok((heard.0, String::from_utf8(heard.1).unwrap()))
    }

    #[test]
    fn a_helper_is_heard_out_and_its_status_told() {
        let long = Duration::from_secs(60);
        assert_eq!(shell("echo a; sleep 0.1; echo b", long), Ok((true, "a\nb\n".to_owned())));
        assert_eq!(shell("echo no; exit 1", long), Ok((false, "no\n".to_owned())));
        assert_eq!(shell("kill -9 $$", long), Ok((false, String::new())));
    }

    #[test]
    fn a_helper_that_takes_too_long_or_says_too_much_is_killed() {
        let late = Err("it took too long and was killed".to_owned());
        assert_eq!(shell("exec sleep 1000", Duration::from_millis(50)), late);
        assert_eq!(shell("exec >&-; exec sleep 1000", Duration::from_millis(50)), late);
        let endless = shell("exec yes", Duration::from_secs(60));
        assert_eq!(endless, Err("its answer has more than 65536 bytes".to_owned()));
    }

    #[test]
    fn a_name_leads_to_no_other_program() {
        for name in ["pass", "ecr-login", "secretservice", "x1"] {
            assert!(name.parse::<Helper>().is_ok(), "{name}");
        }
        for name in ["", "../sh", "a/b", "a b", "a.b", "Pass", "a\0", "é", "a_b", &"x".repeat(65)]
        {
            assert!(name.parse::<Helper>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn answers_are_checked() {
        let read = |answer: &str| match read(answer.as_bytes()) {
            Ok(found) => Ok(found),
            Err(Flaw { at, why }) => Err(format!("{at}: {why}")),
        };
        let basic = Credentials::Basic { username: "u".into(), password: Secret::new("p") };
        let answer = r#"{"ServerURL":"r.example","Username":"u","Secret":"p"}"#;
        assert_eq!(read(answer), Ok(Some(basic)));
        let token = Credentials::IdentityToken(Secret::new("t"));
        assert_eq!(read(r#"{"Username":"<token>","Secret":"t"}"#), Ok(Some(token)));
        assert_eq!(read(r#"{"Username":"","Secret":""}"#), Ok(None));
        for (answer, why) in [
            ("", ".: EOF"),
            (r#"{"Secret":"hidden"}"#, "Username: is missing"),
            (r#"{"Username":"u","Secret":""}"#, "the Secret is empty"),
            (r#"{"Username":"u:v","Secret":"hidden"}"#, "the Username has a colon"),
            (r#"{"Username":"u","Secret":["hidden"]}"#, "Secret: must be a text, not a list"),
            (r#"{"Username":"u","Secret":"hidden","Secret":"x"}"#, "stands there twice"),
        ] {
            let error = read(answer).unwrap_err();
            assert!(error.contains(why) && !error.contains("hidden"), "{answer}: {error}");
        }
    }

    #[test]
    fn what_a_failed_helper_says_is_told_unless_it_looks_like_a_secret() {
        let helper: Helper = "x".parse().unwrap();
        let told = |answer: &str| helper.complained("r.example", answer.as_bytes()).to_string();
        assert_eq!(
            told("locked\nmore"),
            "docker-credential-x, asked about r.example: failed with \"locked\""
        );
        assert!(!told(r#"{"Secret":"hidden"}"#).contains("hidden"));
        assert!(says_none(b"credentials not found in native keychain\n"));
        assert!(!says_none(b"no pass"));
    }
}
