//! Plays a form through hotcell: the program where flags can say it, else the library.

use std::io::Read;
use std::process::{Command, Stdio as Pipes};

use hotcell::bundle::{CellConfig, Upper as RootUpper, UserNamespace, spec};
use hotcell::launch::{Exit, Stdio, Stream};
use hotcell::native::Error;
use serde_json::Value;

use super::case::{Act, Form, Mode, Upper};
use super::judge::{INSIDE, Seen};
use super::scene::Scene;
use crate::bed::PROGRAM;

/// Runs one form in one mode.
pub fn play(scene: &Scene, form: &Form, mode: Mode) -> Seen {
    match (&form.act, &form.edit) {
        (Act::Play(body), _) => body(scene, mode),
        (_, Some(edit)) => in_process(scene, form, mode, edit),
        _ => by_program(scene, form, mode),
    }
}

/// What to execute inside. Scripts say that they run, then try to read the canary where it lies on
/// the host.
pub fn command(scene: &Scene, act: &Act) -> Vec<String> {
    let fill = |text: &str| scene.fill(text);
    match act {
        Act::Script(text) => {
            let peek = fill("cat '{canary}/secret' 2>/dev/null");
            let text = format!("echo {INSIDE}\n{peek}\n{}\n", fill(text));
            ["sh".to_owned(), "-c".to_owned(), text].into()
        }
        Act::Python(text) => {
            let text = format!("print('{INSIDE}', flush=True)\n{}\n", fill(text));
            ["python3".to_owned(), "-c".to_owned(), text].into()
        }
        Act::Command(words) => words.iter().map(|word| fill(word)).collect(),
        Act::Play(_) | Act::Engine(_) => Vec::new(),
    }
}

/// The flags of `run` and `bundle` for a form: root, mode, the form's own, the command.
pub fn words(scene: &Scene, form: &Form, mode: Mode) -> Vec<String> {
    let mut words = vec!["--rootfs".to_owned(), scene.root().to_str().unwrap().to_owned()];
    words.extend(mode.init.then(|| "--init".to_owned()));
    words.extend(mode.own_ids.then(|| "--userns=auto".to_owned()));
    words.push(match mode.upper {
        Upper::Tmpfs => "--upper=tmpfs".to_owned(),
        Upper::Disk => "--upper=disk".to_owned(),
        Upper::ReadOnly => "--read-only".to_owned(),
    });
    words.extend(form.flags.iter().map(|flag| scene.fill(flag)));
    words.push("--".to_owned());
    words.extend(command(scene, &form.act));
    words
}

fn by_program(scene: &Scene, form: &Form, mode: Mode) -> Seen {
    let mut words = words(scene, form, mode);
    if !form.flags.iter().any(|flag| flag.starts_with("--timeout")) {
        // Against what hangs; an emulated host is slow.
        words.insert(0, "--timeout=100".to_owned());
    }
    let plain = scene.bed.command("run", &words);
    let mut command = match form.under.split_first() {
        None => plain,
        Some((first, rest)) => {
            let mut wrapped = Command::new(scene.fill(first));
            wrapped.args(rest.iter().map(|word| scene.fill(word))).arg(PROGRAM);
            wrapped.args(plain.get_args());
            wrapped.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
            wrapped.stdin(Pipes::null());
            wrapped
        }
    };
    crate::bed::Ran::from(command.output().unwrap()).into()
}

/// The specification that the flags would give, changed and launched in this process.
fn in_process(scene: &Scene, form: &Form, mode: Mode, edit: &super::case::Edit) -> Seen {
    let mut config = CellConfig::new(scene.root(), command(scene, &form.act));
    config.init = mode.init;
    if mode.own_ids {
        config.user_namespace = UserNamespace::Auto;
    }
    config.upper = match mode.upper {
        Upper::Tmpfs => RootUpper::Tmpfs,
        Upper::Disk => RootUpper::Disk,
        Upper::ReadOnly => RootUpper::ReadOnly,
    };
    assert!(form.flags.is_empty(), "a changed specification takes no flags");
    let mut value = serde_json::to_value(spec(&config).unwrap()).unwrap();
    edit(&mut value);
    let text = scene.fill(&value.to_string());
    let spec = match serde_json::from_str(&text) {
        Ok(spec) => spec,
        Err(error) => return refused(format!("config.json: {error}")),
    };
    let driver = scene.bed.driver();
    let (mut out, stdout) = std::io::pipe().unwrap();
    let (mut err, stderr) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdin: Stream::Null,
        stdout: Stream::Fd(stdout.into()),
        stderr: Stream::Fd(stderr.into()),
    };
    let ran = (|| -> Result<Exit, Error> {
        let mut running = driver.create_from_spec(None, spec, None)?.run(stdio)?;
        let exit = running.wait(None)?.map(|outcome| outcome.exit);
        running.close()?;
        Ok(exit.unwrap())
    })();
    let closed = driver.close();
    match ran {
        Err(error) => refused(chain(&error)),
        Ok(exit) => {
            closed.unwrap();
            let (mut said, mut wrong) = (String::new(), String::new());
            out.read_to_string(&mut said).unwrap();
            err.read_to_string(&mut wrong).unwrap();
            Seen { code: Some(exit.shell_code().into()), out: said, err: wrong }
        }
    }
}

/// As the program would end.
fn refused(line: String) -> Seen {
    Seen { code: Some(125), out: String::new(), err: line }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

/// A field of a specification, made on the way when it is missing.
pub fn field<'a>(spec: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(spec, |value, name| &mut value[name])
}
