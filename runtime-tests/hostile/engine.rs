//! Plays a form through `hotcell-oci`, as an engine calls it: as a container's first process, or as
//! one more in a container that idles.

use std::fs;
use std::io::PipeWriter;
use std::path::PathBuf;
use std::process::{Command, Stdio as Pipes};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, set_child_subreaper, wait, waitpid};
use serde_json::{Value, json};

use super::case::{Act, Form, Mode, Upper};
use super::cell;
use super::judge::{NO_CONTAINER, Seen};
use super::scene::Scene;
use super::way::Way;
use crate::bed::{PROGRAM as LIBRARYS, Ran, cgroup_parent};
use crate::ear::Ear;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_hotcell-oci");

/// The one container's id.
pub const ID: &str = "hostile";

/// How long a program may run that has no time of its own: an emulated host is slow.
const PATIENCE: Duration = Duration::from_secs(100);

/// An engine with its state, and the container it is about to make.
pub struct Engine<'a> {
    pub scene: &'a Scene,
    pub way: Way,
}

/// Runs one form. `None` if its flags are refused before there is a bundle.
pub fn play(scene: &Scene, form: &Form, mode: Mode, way: Way, filtered: bool) -> Option<Seen> {
    let engine = Engine::new(scene, way);
    // Who a command leaves behind is this process's, as it is an engine's shim's.
    set_child_subreaper(Some(getpid())).unwrap();
    let seen = match &form.act {
        Act::Engine(body) => Some(body(&engine)),
        Act::Play(_) => None,
        _ => engine.specification(form, mode, filtered).map(|spec| engine.run(form, spec)),
    };
    let left = engine.call(&["delete", "--force", ID]);
    assert_eq!((left.code, left.err.as_str()), (Some(0), ""), "what {} leaves goes", form.name);
    set_child_subreaper(None).unwrap();
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    let kept: Vec<_> = fs::read_dir(engine.state()).into_iter().flatten().flatten().collect();
    assert!(kept.is_empty(), "{kept:?}");
    seen
}

impl<'a> Engine<'a> {
    fn new(scene: &'a Scene, way: Way) -> Engine<'a> {
        fs::create_dir_all(scene.bed.path("engine/bundle")).unwrap();
        Engine { scene, way }
    }

    /// A file or directory of the engine's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scene.bed.path("engine").join(name)
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--root").arg(self.state()).args(args).stdin(Pipes::null());
        command
    }

    pub fn call(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// The specification that flags and edits come to, as engines write it: a plain root, a cgroup by
    /// its path, with a system call filter or without.
    pub fn specification(&self, form: &Form, mode: Mode, filtered: bool) -> Option<Value> {
        let dir = tempfile::tempdir_in(self.path("")).unwrap();
        let mode = Mode { init: false, ..mode };
        let mut words = cell::words(self.scene, form, mode);
        words.retain(|word| !word.starts_with("--timeout"));
        let mut bundle = Command::new(LIBRARYS);
        bundle.arg("bundle").arg("--bundle-dir").arg(dir.path().join("b")).args(words);
        if !bundle.stdin(Pipes::null()).output().unwrap().status.success() {
            return None;
        }
        let text = fs::read(dir.path().join("b/config.json")).unwrap();
        let mut spec: Value = serde_json::from_slice(&text).unwrap();
        // A copy is the container's own; the other root is everybody's.
        if self.scene.root().starts_with(self.scene.bed.path("")) {
            spec.as_object_mut().unwrap().remove("annotations");
            spec["root"]["readonly"] = json!(mode.upper == Upper::ReadOnly);
        } else {
            spec["annotations"] = json!({ "dev.hotcell.rootfs": "copy-on-write:tmpfs" });
        }
        let place = format!("/{}/engine-{ID}", cgroup_parent());
        *cell::field(&mut spec, "linux.cgroupsPath") = json!(place);
        if !filtered {
            spec["linux"].as_object_mut().unwrap().remove("seccomp");
        }
        if let Some(edit) = &form.edit {
            edit(&mut spec);
        }
        Some(serde_json::from_str(&self.scene.fill(&spec.to_string())).unwrap())
    }

    fn run(&self, form: &Form, mut spec: Value) -> Seen {
        if self.way == Way::Create {
            return self.run_first(form, &spec);
        }
        let process = spec["process"].clone();
        let idle = json!(["/bin/busybox", "sleep", "1000"]);
        let debian = json!(["sleep", "1000"]);
        let copied = self.scene.root().starts_with(self.scene.bed.path(""));
        spec["process"]["args"] = if copied { idle } else { debian };
        spec["process"]["cwd"] = json!("/");
        spec["process"]["user"] = json!({ "uid": 0, "gid": 0 });
        spec["process"].as_object_mut().unwrap().remove("rlimits");
        match self.start(&spec, &form.under) {
            Ok(_) => self.run_further(form, &process),
            // A case that ends like this has nobody entering.
            Err(seen) => Seen { code: seen.code.and(Some(NO_CONTAINER)), ..seen },
        }
    }

    /// Makes the container and starts it; nobody hears what it says.
    pub fn start(&self, spec: &Value, under: &[String]) -> Result<Pid, Seen> {
        self.begin(spec, under).map(|(pid, _)| pid)
    }

    /// The same, to be heard.
    pub fn start_heard(&self, spec: &Value) -> Result<(Pid, Ears), Seen> {
        self.begin(spec, &[])
    }

    fn begin(&self, spec: &Value, under: &[String]) -> Result<(Pid, Ears), Seen> {
        let (pid, ears) = self.create(spec, under)?;
        let started = self.call(&["start", ID]);
        match started.code {
            Some(0) => Ok((pid, ears)),
            _ => Err(refused(started.into(), 1)),
        }
    }

    /// Writes the bundle and makes the container: its process waits.
    pub fn create(&self, spec: &Value, under: &[String]) -> Result<(Pid, Ears), Seen> {
        self.write(spec);
        let (bundle, pid) = (self.path("bundle"), self.path("pid"));
        let paths = [bundle.to_str().unwrap(), pid.to_str().unwrap()];
        let args = ["create", "--bundle", paths[0], "--pid-file", paths[1], ID];
        let (ears, out, err) = Ears::new();
        let create = self.under(under, self.command(&args)).stdout(out).stderr(err).status();
        if !create.unwrap().success() {
            return Err(ears.refused(1));
        }
        let number = fs::read_to_string(&pid).unwrap().parse().unwrap();
        Ok((Pid::from_raw(number).unwrap(), ears))
    }

    /// Writes the bundle.
    pub fn write(&self, spec: &Value) {
        fs::write(self.path("bundle/config.json"), spec.to_string()).unwrap();
    }

    /// `run` in the foreground, to its end.
    pub fn run_whole(&self, spec: &Value) -> Ran {
        self.write(spec);
        self.call(&["run", "--bundle", self.path("bundle").to_str().unwrap(), ID])
    }

    /// `exec` of a process, to its end.
    pub fn enter(&self, process: &Value) -> Ran {
        Ran::from(self.entering(process).output().unwrap())
    }

    fn entering(&self, process: &Value) -> Command {
        let file = self.path("process.json");
        fs::write(&file, process.to_string()).unwrap();
        self.command(&["exec", "--process", file.to_str().unwrap(), ID])
    }

    fn run_first(&self, form: &Form, spec: &Value) -> Seen {
        match self.begin(spec, &form.under) {
            Err(seen) => seen,
            Ok((pid, ears)) => self.to_the_end(pid, form, ears),
        }
    }

    #[allow(clippy::zombie_processes, reason = "`to_the_end` waits for it")]
    fn run_further(&self, form: &Form, process: &Value) -> Seen {
        let (ears, out, err) = Ears::new();
        let mut exec = self.under(&form.under, self.entering(process));
        let child = exec.stdout(out).stderr(err).spawn().unwrap();
        drop(exec);
        let seen = self.to_the_end(Pid::from_child(&child), form, ears);
        if seen.code == Some(255) { refused(seen, 255) } else { seen }
    }

    fn to_the_end(&self, pid: Pid, form: &Form, ears: Ears) -> Seen {
        let code = self.end(pid, time(form));
        // The rest of the container may still hold the streams.
        self.call(&["delete", "--force", ID]).ok();
        let (out, err) = ears.heard();
        Seen { code: Some(code), out, err }
    }

    /// How a child of this process ends; after its time with all of the container, and 124.
    pub fn end(&self, pid: Pid, time: Duration) -> i32 {
        let deadline = Instant::now() + time;
        let mut late = false;
        loop {
            let ended = match waitpid(Some(pid), WaitOptions::NOHANG) {
                Err(Errno::INTR) => None,
                ended => ended.unwrap(),
            };
            if let Some((_, status)) = ended {
                return if late { 124 } else { code(status) };
            }
            if !late && Instant::now() > deadline {
                late = true;
                self.call(&["kill", "--all", ID, "KILL"]).ok();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The command as `under` starts it.
    pub fn under(&self, under: &[String], command: Command) -> Command {
        let Some((first, rest)) = under.split_first() else { return command };
        let mut wrapped = Command::new(self.scene.fill(first));
        wrapped.args(rest.iter().map(|word| self.scene.fill(word)));
        wrapped.arg(command.get_program()).args(command.get_args()).stdin(Pipes::null());
        wrapped
    }
}

/// The time that a form's flags give it.
fn time(form: &Form) -> Duration {
    let given = form.flags.iter().find_map(|flag| flag.strip_prefix("--timeout="));
    given.map_or(PATIENCE, |seconds| Duration::from_secs_f64(seconds.parse().unwrap()))
}

fn code(status: WaitStatus) -> i32 {
    let signal = status.terminating_signal().map(|signal| 128 + signal);
    status.exit_status().or(signal).unwrap()
}

/// A refusal as engines know it, its code the one that stands for refusals elsewhere.
fn refused(seen: Seen, code: i32) -> Seen {
    let lines = seen.err.lines().filter(|line| line.contains("level=error")).count();
    let fine = seen.code == Some(code) && lines == 1 && !seen.err.contains("panicked");
    Seen { code: fine.then_some(125), ..seen }
}

/// What a program says, read while it runs: it may say much.
pub struct Ears([Ear; 2]);

impl Ears {
    fn new() -> (Ears, PipeWriter, PipeWriter) {
        let (out, out_end) = std::io::pipe().unwrap();
        let (err, err_end) = std::io::pipe().unwrap();
        (Ears([out, err].map(Ear::new)), out_end, err_end)
    }

    /// All of it; nobody may have the streams any more.
    pub fn heard(self) -> (String, String) {
        let [out, err] = self.0.map(Ear::heard);
        (out, err)
    }

    /// Whether a line of its output begins so by now.
    pub fn has_heard(&self, start: &str) -> bool {
        self.0[0].has_heard(start)
    }

    fn refused(self, code: i32) -> Seen {
        let (out, err) = self.heard();
        refused(Seen { code: Some(code), out, err }, code)
    }
}
