//! A runtime's commands on a bundle, started as an engine starts them, and where this host lets them
//! run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::bed::Bed;
use super::contender::Contender;
use super::measure::Turn;

/// The commands of one turn.
pub(crate) type Life = [&'static [&'static str]];

/// A container from its making to its removal, in one command.
pub(crate) const RUN: [&[&str]; 1] = [&["run", "--bundle", BUNDLE, ID]];
/// The same in the three commands of an engine.
pub(crate) const STEPS: [&[&str]; 3] =
    [&["create", "--bundle", BUNDLE, ID], &["start", ID], &["delete", "--force", ID]];

const BUNDLE: &str = "BUNDLE";
const ID: &str = "ID";

pub(crate) fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Whether the v2 tree is not what stands at /sys/fs/cgroup.
pub(crate) fn is_hybrid() -> bool {
    !Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// One way to run a bundle.
pub(crate) struct Runtime<'b> {
    bed: &'b Bed,
    program: &'static str,
    /// Into a mount namespace where /sys/fs/cgroup is the v2 tree: crun knows no hybrid hosts.
    moved: bool,
    bundle: PathBuf,
}

impl<'b> Runtime<'b> {
    pub(crate) fn new(
        bed: &'b Bed,
        program: &'static str,
        moved: bool,
        bundle: PathBuf,
    ) -> Runtime<'b> {
        Runtime { bed, program, moved, bundle }
    }

    fn name(&self) -> &'static str {
        self.program.rsplit('/').next().unwrap_or(self.program)
    }

    fn root(&self) -> PathBuf {
        self.bed.dir.path().join(self.name())
    }

    /// One request to the spawner: words parted by tabs, commands by a word of their own.
    fn request(&self, life: &Life, id: &str) -> String {
        let (root, bundle) = (self.root(), self.bundle.to_str().unwrap());
        let command = |words: &&[&'static str]| {
            let words = words.iter().map(|word| match *word {
                BUNDLE => bundle,
                ID => id,
                word => word,
            });
            let first = [self.program, "--root", root.to_str().unwrap()];
            first.into_iter().chain(words).collect::<Vec<_>>().join("\t")
        };
        life.iter().map(command).collect::<Vec<_>>().join("\t;\t")
    }

    fn tool(&self) -> Command {
        let mut tool = self.bed.tool();
        if self.moved {
            tool.arg("under-unified");
        }
        tool
    }

    /// Once before it is measured; the reason is the last line that it says.
    pub(crate) fn try_once(&self, life: &Life) -> Result<(), String> {
        let id = self.id(0);
        for words in self.request(life, &id).split("\t;\t") {
            let mut command = match self.moved {
                true => self.tool(),
                false => Command::new("env"),
            };
            // A container that waits for its start holds its streams: no pipe of theirs ever ends.
            let said = self.bed.dir.path().join("said");
            let errors = File::create(&said).map_err(|error| error.to_string())?;
            let command = command.args(words.split('\t')).stdout(Stdio::null()).stderr(errors);
            let status =
                command.stdin(Stdio::null()).status().map_err(|error| error.to_string())?;
            if !status.success() {
                self.remove(&id);
                let text = std::fs::read_to_string(said).unwrap_or_default();
                let last = text.lines().last().unwrap_or("fails and says nothing");
                return Err(last.trim().to_owned());
            }
        }
        Ok(())
    }

    fn id(&self, number: usize) -> String {
        format!("hotcell-bench-{}-{}-{number}", self.name(), std::process::id())
    }

    /// What a failed run has left.
    fn remove(&self, id: &str) {
        let mut delete = Command::new(self.program);
        let _ = delete.arg("--root").arg(self.root()).args(["delete", "--force", id]).output();
        for tree in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(tree.path().join(id));
        }
    }

    pub(crate) fn turn<'a>(self, name: String, against: &[&str], life: &Life) -> Turn<'a> {
        let mut tool = self.tool();
        if self.moved {
            // The floor again, as the spawner, in the new namespace.
            tool.arg(self.bed.tool().get_program());
        }
        let mut spawner = Contender::start(tool.arg("spawn"));
        let request = self.request(life, ID);
        let id = self.id(0);
        let mut number = 0;
        let take = move || {
            number += 1;
            spawner.measure(&request.replace(&format!("\t{ID}"), &format!("\t{id}{number}")))
        };
        Turn::new(name, against, take).peer()
    }
}
