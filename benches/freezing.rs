//! Freezing and thawing through the contract, against bare system calls on the same cell: these write
//! the file and read the state again until it is there. Between two of them the cell's tasks run for
//! 2 ms.

use std::fs::File;
use std::future::poll_fn;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use hotcell::cgroup::Hierarchies;
use hotcell::contract::{Context, Driver};
use rustix::event::{PollFd, PollFlags, poll};

use super::args::Args;
use super::bed::Bed;
use super::contract::{cell, driver, runtime};
use super::measure::Turn;
use super::report::Report;
use super::start::both_spacings;

/// What a cell does.
struct Work {
    name: &'static str,
    command: &'static str,
    /// Not in the command, whose words are parted at spaces.
    input: &'static str,
    /// That there are then, the cell's own first one included.
    processes: usize,
}

const WORK: [Work; 3] = [
    Work { name: "an idle cell", command: "sleep 3600", input: "", processes: 2 },
    Work {
        name: "a cell of 200 tasks",
        command: "sh",
        input: "for i in $(seq 198); do sleep 3600 & done; wait",
        processes: 200,
    },
    Work {
        name: "a busy cell",
        command: "sh",
        input: "for i in 1 2 3 4 5 6 7 8; do while :; do :; done & done; wait",
        processes: 10,
    },
];

pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    for work in &WORK {
        one(bed, work, args, report);
    }
}

/// The kernel's files of a cell, opened once.
pub(crate) struct Raw {
    freeze: File,
    kill: File,
    events: File,
}

impl Raw {
    pub(crate) fn open(cell: &Path) -> Raw {
        let writable = |name| File::options().write(true).open(cell.join(name)).unwrap();
        let events = File::open(cell.join("cgroup.events")).unwrap();
        Raw { freeze: writable("cgroup.freeze"), kill: writable("cgroup.kill"), events }
    }

    /// The only cell below the run's parent, when its processes are all there.
    fn only(bed: &Bed, processes: usize) -> Raw {
        let parent = Hierarchies::detect().unwrap().unified.join(bed.options().cgroup_parent);
        let mut cells = std::fs::read_dir(parent).unwrap().flatten().map(|entry| entry.path());
        let cell = cells.find(|path| path.is_dir()).unwrap();
        while count(&cell) < processes {
            std::thread::sleep(Duration::from_millis(10));
        }
        Raw::open(&cell)
    }

    /// Freezes or thaws, and waits until it is so.
    fn set(&self, frozen: bool) -> f64 {
        let start = Instant::now();
        self.freeze.write_at(if frozen { b"1" } else { b"0" }, 0).unwrap();
        self.wait(if frozen { b"frozen 1" } else { b"frozen 0" });
        micros(start)
    }

    /// Kills all, and waits for the first process, which goes last, and until nothing is left.
    pub(crate) fn kill(&self, first: BorrowedFd) {
        self.kill.write_at(b"1", 0).unwrap();
        poll(&mut [PollFd::new(&first, PollFlags::IN)], None).unwrap();
        self.wait(b"populated 0");
    }

    fn wait(&self, wanted: &[u8]) {
        let mut page = [0; 256];
        loop {
            let length = self.events.read_at(&mut page, 0).unwrap();
            if page[..length].windows(wanted.len()).any(|window| window == wanted) {
                return;
            }
        }
    }
}

pub(crate) fn count(cell: &Path) -> usize {
    std::fs::read_to_string(cell.join("cgroup.procs")).unwrap().lines().count()
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

/// How long the call took, and the longest that one poll of it kept its thread.
async fn polled<T>(call: impl Future<Output = T>) -> (f64, f64) {
    let (start, mut longest, mut call) = (Instant::now(), 0.0, pin!(call));
    poll_fn(|context| {
        let start = Instant::now();
        let answer = call.as_mut().poll(context);
        longest = micros(start).max(longest);
        answer
    })
    .await;
    (micros(start), longest)
}

/// A cell counts as thawed before its tasks have run; frozen again at once, they would never have left.
fn settled(time: f64) -> f64 {
    std::thread::sleep(Duration::from_millis(2));
    time
}

fn one(bed: &Bed, work: &Work, args: &Args, report: &mut Report) {
    let runtime = runtime();
    let driver = runtime.block_on(driver(bed));
    let (cookie, _wait) = runtime.block_on(cell(bed, &driver, work.command, work.input));
    let context = Context::background();
    let raw = Raw::only(bed, work.processes);
    let freeze = || runtime.block_on(polled(async { cookie.freeze(&context).await.unwrap() }));
    let thaw = || runtime.block_on(polled(async { cookie.unfreeze(&context).await.unwrap() }));
    // Every turn leaves the cell running.
    let raw_freeze = || {
        let time = raw.set(true);
        raw.set(false);
        Ok(settled(time))
    };
    let both = |call: fn(&[(f64, f64); 2]) -> f64| {
        let (freeze, thaw) = (&freeze, &thaw);
        move || Ok(settled(call(&[freeze(), thaw()])))
    };
    let mut turns = [
        Turn::new("raw freeze", &[], raw_freeze),
        Turn::new("raw freeze again (null test)", &["raw freeze"], raw_freeze),
        Turn::new("freeze", &["raw freeze"], both(|[freeze, _]| freeze.0)),
        Turn::new("freeze, one poll", &["raw freeze"], both(|[freeze, _]| freeze.1)),
        Turn::new("raw thaw", &[], || {
            raw.set(true);
            Ok(settled(raw.set(false)))
        }),
        Turn::new("thaw", &["raw thaw"], both(|[_, thaw]| thaw.0)),
        Turn::new("thaw, one poll", &["raw thaw"], both(|[_, thaw]| thaw.1)),
    ];
    both_spacings("control", &format!("freezing {}", work.name), &mut turns, args, report);
    drop(turns);
    runtime.block_on(cookie.close(&context)).unwrap();
    runtime.block_on(driver.close()).unwrap();
}
