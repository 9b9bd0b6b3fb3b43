//! What a cell has used, read from files that are opened once and kept.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::OFlags;

use super::Error;
use super::detect::Controller;
use super::files::{Dir, keyed, read_page, read_pages};

/// One measurement. `None` where this host doesn't count that.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Sample {
    /// CPU time of all processes of the cell, those that have ended included.
    pub cpu_total: Duration,
    /// The part of it spent in the program.
    pub cpu_user: Duration,
    /// The part of it spent in the kernel.
    pub cpu_system: Duration,
    /// Memory charged to the cell now, page cache included.
    pub memory_bytes: Option<u64>,
    /// The most memory that was ever charged to it.
    pub memory_peak_bytes: Option<u64>,
    /// Processes and threads now.
    pub pids: Option<u64>,
    /// Bytes read from block devices.
    pub disk_read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub disk_write_bytes: Option<u64>,
}

/// What the kernel's out-of-memory killer did to a cell.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct OomEvents {
    /// How many processes it killed.
    pub kills: u64,
    /// Whether memory was ever wanting at the cell's own limit (`false`: at one above it, or on
    /// the whole host); `None` where the kernel doesn't tell (v1).
    pub at_own_limit: Option<bool>,
}

/// The files of one cell, opened at the first sample.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    files: OnceLock<Files>,
    oom: OnceLock<Option<OwnedFd>>,
}

#[derive(Debug)]
struct Files {
    cpu: OwnedFd,
    memory: Option<OwnedFd>,
    memory_peak: Option<OwnedFd>,
    pids: Option<OwnedFd>,
    /// Where nothing counts them: a line for each.
    threads: Option<OwnedFd>,
    io: Option<OwnedFd>,
}

type V1 = BTreeMap<Controller, Dir>;

/// Opens the file of a controller: the v1 one where v1 has the controller, the v2 one where the
/// directory has it, none where nobody counts.
fn open(
    unified: &Dir,
    v1: &V1,
    controller: Controller,
    names: [&str; 2],
) -> Result<Option<OwnedFd>, Error> {
    found(match v1.get(&controller) {
        Some(dir) => dir.file(names[0], OFlags::RDONLY),
        None => unified.file(names[1], OFlags::RDONLY),
    })
}

/// The file, if there is one.
fn found(opened: Result<OwnedFd, Error>) -> Result<Option<OwnedFd>, Error> {
    match opened {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

impl Files {
    fn open(unified: &Dir, v1: &V1) -> Result<Files, Error> {
        let file = |controller, names| open(unified, v1, controller, names);
        let memory = Controller::Memory;
        let pids = file(Controller::Pids, ["pids.current", "pids.current"])?;
        Ok(Files {
            cpu: unified.file("cpu.stat", OFlags::RDONLY)?,
            memory: file(memory, ["memory.usage_in_bytes", "memory.current"])?,
            memory_peak: file(memory, ["memory.max_usage_in_bytes", "memory.peak"])?,
            threads: match pids {
                Some(_) => None,
                None => found(unified.file("cgroup.threads", OFlags::RDONLY))?,
            },
            pids,
            io: file(Controller::Io, ["blkio.throttle.io_service_bytes_recursive", "io.stat"])?,
        })
    }
}

impl Sampler {
    /// Opens everything; what fails is tried again when it is read.
    pub(super) fn prepare(&self, unified: &Dir, v1: &V1) {
        let _ = self.files(unified, v1);
        let _ = self.oom(unified, v1);
    }

    fn files(&self, unified: &Dir, v1: &V1) -> Result<&Files, Error> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let opened = Files::open(unified, v1)?;
        Ok(self.files.get_or_init(|| opened))
    }

    fn oom(&self, unified: &Dir, v1: &V1) -> Result<Option<&OwnedFd>, Error> {
        if self.oom.get().is_none() {
            // Kept only once it is known: a failure to open says nothing about the file.
            let names = ["memory.oom_control", "memory.events"];
            let opened = open(unified, v1, Controller::Memory, names)?;
            let _ = self.oom.set(opened);
        }
        Ok(self.oom.get().and_then(Option::as_ref))
    }

    pub(super) fn sample(&self, unified: &Dir, v1: &V1) -> Result<Sample, Error> {
        let brief = self.sample_brief(unified, v1)?;
        let files = self.files(unified, v1)?;
        let number = |file: &Option<OwnedFd>| number(unified, file);
        let memory_peak_bytes = number(&files.memory_peak)?;
        let pids = match &files.threads {
            Some(file) => Some(pages(unified, file)?.lines().count() as u64),
            None => number(&files.pids)?,
        };
        Ok(Sample { memory_peak_bytes, pids, ..brief })
    }

    /// What changes from second to second, in fewer reads.
    pub(super) fn sample_brief(&self, unified: &Dir, v1: &V1) -> Result<Sample, Error> {
        let files = self.files(unified, v1)?;
        let cpu = read(unified, &files.cpu)?;
        let time = |key| Duration::from_micros(keyed(&cpu, key).unwrap_or(0));
        let io = files.io.as_ref().map(|file| pages(unified, file)).transpose()?;
        let io = io.map(|text| disk_bytes(&text));
        Ok(Sample {
            cpu_total: time("usage_usec"),
            cpu_user: time("user_usec"),
            cpu_system: time("system_usec"),
            memory_bytes: number(unified, &files.memory)?,
            memory_peak_bytes: None,
            pids: None,
            disk_read_bytes: io.map(|(read, _)| read),
            disk_write_bytes: io.map(|(_, written)| written),
        })
    }

    pub(super) fn oom_events(&self, unified: &Dir, v1: &V1) -> Result<OomEvents, Error> {
        let Some(file) = self.oom(unified, v1)? else {
            return Ok(OomEvents::default());
        };
        let text =
            read_page(file.as_fd()).map_err(|error| Error::io("read", unified.path(), error))?;
        Ok(OomEvents::parse(&text))
    }
}

fn read(unified: &Dir, file: &OwnedFd) -> Result<String, Error> {
    read_page(file.as_fd()).map_err(|error| Error::io("read", unified.path(), error))
}

fn pages(unified: &Dir, file: &OwnedFd) -> Result<String, Error> {
    read_pages(file.as_fd()).map_err(|error| Error::io("read", unified.path(), error))
}

fn number(unified: &Dir, file: &Option<OwnedFd>) -> Result<Option<u64>, Error> {
    match file {
        Some(file) => Ok(read(unified, file)?.trim().parse().ok()),
        None => Ok(None),
    }
}

impl OomEvents {
    fn parse(text: &str) -> OomEvents {
        let kills = keyed(text, "oom_kill").unwrap_or(0);
        // v2 counts the process that was chosen again when it kills the whole group.
        let groups = keyed(text, "oom_group_kill").unwrap_or(0);
        OomEvents {
            kills: kills.saturating_sub(groups).max(u64::from(kills > 0)),
            at_own_limit: keyed(text, "oom").map(|count| count > 0),
        }
    }
}

/// Bytes read and written over all devices. v1: `8:0 Read 4096` a line; v2: `8:0 rbytes=4096 …`.
fn disk_bytes(text: &str) -> (u64, u64) {
    let (mut read, mut written) = (0, 0);
    for line in text.lines() {
        let mut words = line.split_whitespace().skip(1).peekable();
        match words.peek() {
            Some(&"Read") => read += words.nth(1).and_then(|n| n.parse().ok()).unwrap_or(0),
            Some(&"Write") => written += words.nth(1).and_then(|n| n.parse().ok()).unwrap_or(0),
            _ => {
                for (key, value) in words.filter_map(|word| word.split_once('=')) {
                    let value: u64 = value.parse().unwrap_or(0);
                    match key {
                        "rbytes" => read += value,
                        "wbytes" => written += value,
                        _ => {}
                    }
                }
            }
        }
    }
    (read, written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(files: &[(&str, &str)]) -> (tempfile::TempDir, Dir) {
        let at = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(at.path().join(name), text).unwrap();
        }
        let dir = Dir::open(at.path()).unwrap();
        (at, dir)
    }

    #[test]
    fn a_v2_directory_is_read_whole() {
        let (at, dir) = fixture(&[
            ("cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n"),
            ("memory.current", "4096\n"),
            ("memory.peak", "8192\n"),
            ("pids.current", "2\n"),
            ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n8:16 rbytes=1 wbytes=2\n"),
            ("memory.events", "low 0\nmax 3\noom 1\noom_kill 1\n"),
        ]);
        let sampler = Sampler::default();
        let sample = sampler.sample(&dir, &V1::new()).unwrap();
        assert_eq!(sample.cpu_total, Duration::from_micros(1500));
        assert_eq!((sample.memory_bytes, sample.memory_peak_bytes), (Some(4096), Some(8192)));
        assert_eq!((sample.disk_read_bytes, sample.disk_write_bytes), (Some(11), Some(22)));
        assert_eq!(sampler.oom_events(&dir, &V1::new()).unwrap().kills, 1);
        // The files are kept, not opened again.
        std::fs::write(at.path().join("pids.current"), "3\n").unwrap();
        assert_eq!(sampler.sample(&dir, &V1::new()).unwrap().pids, Some(3));
    }

    #[test]
    fn what_nobody_counts_is_none() {
        let (_at, dir) = fixture(&[("cpu.stat", "usage_usec 7\nuser_usec 3\nsystem_usec 4\n")]);
        let sample = Sampler::default().sample(&dir, &V1::new()).unwrap();
        assert_eq!((sample.memory_bytes, sample.pids), (None, None));
    }

    #[test]
    fn the_chosen_process_of_a_group_is_counted_once() {
        let v2 = "low 0\nmax 9\noom 1\noom_kill 3\noom_group_kill 1\n";
        assert_eq!(OomEvents::parse(v2), OomEvents { kills: 2, at_own_limit: Some(true) });
        let above = "max 0\noom 0\noom_kill 1\noom_group_kill 0\n";
        assert_eq!(OomEvents::parse(above), OomEvents { kills: 1, at_own_limit: Some(false) });
        let v1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n";
        assert_eq!(OomEvents::parse(v1), OomEvents { kills: 1, at_own_limit: None });
    }

    #[test]
    fn files_with_a_line_for_each_device_may_be_long() {
        let line = |n| format!("8:{n} rbytes=1000000 wbytes=2000000 rios=1 wios=2\n");
        let long: String = (0..200).map(line).collect();
        let (_at, dir) = fixture(&[("cpu.stat", ""), ("io.stat", &long)]);
        let sample = Sampler::default().sample(&dir, &V1::new()).unwrap();
        assert_eq!(sample.disk_read_bytes, Some(200_000_000));
    }

    #[test]
    fn v1_disk_lines_are_summed() {
        let text = "8:0 Read 4096\n8:0 Write 512\n8:0 Sync 1\n8:16 Read 4\nTotal 4612\n";
        assert_eq!(disk_bytes(text), (4100, 512));
    }
}
