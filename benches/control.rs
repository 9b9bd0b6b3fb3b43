//! What can be done to a running cell: freezing (see `freezing.rs`), killing, closing, measuring;
//! against bare system calls that do the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hotcell::bundle::CellConfig;
use hotcell::cgroup::Sample;
use hotcell::contract::metric;
use hotcell::native::{Instance, Running};

use super::args::Args;
use super::bed::Bed;
use super::freezing::{self, Raw, count};
use super::measure::{Turn, interleave};
use super::report::{Report, Row};
use super::start::both_spacings;
use super::worker::flag::{LIMITS, SECCOMP};
use super::worker::{SLEEP, allow_descriptors, config, park};

pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    freezing::compare(bed, args, report);
    allow_descriptors();
    let driver = Instance::open(bed.options()).unwrap();
    for tasks in [1, 20, 200] {
        if !(args.quick && tasks == 200) {
            ends(bed, &driver, tasks, args, report);
        }
    }
    let mut cells = Vec::new();
    for live in [1, 100, 1000] {
        if !(args.quick && live == 1000) {
            samples(bed, &driver, (&mut cells, live), args, report);
        }
    }
    cells.into_iter().for_each(|cell| cell.close().unwrap());
}

/// The v2 directory of a cell, then its v1 ones.
fn directories(cell: &Running) -> Vec<PathBuf> {
    let mut views = cell.cgroup().views();
    views.sort_by_key(|view| view.name != "unified");
    views.into_iter().map(|view| view.path).collect()
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

/// A cell of so many tasks, all there.
fn crowd(bed: &Bed, driver: &Instance, tasks: usize) -> Running {
    let script = format!("for i in $(seq {}); do sleep 3600 & done; wait", tasks - 1);
    let sleep: CellConfig = config(&bed.rootfs, SECCOMP, &SLEEP);
    let all: CellConfig = config(&bed.rootfs, SECCOMP, &["/bin/sh", "-c", &script]);
    let cell = park(driver, if tasks == 1 { &sleep } else { &all });
    while count(&directories(&cell)[0]) < tasks {
        std::thread::sleep(Duration::from_micros(200));
    }
    cell
}

/// Kill and close. Each turn has a cell of its own.
fn ends(bed: &Bed, driver: &Instance, tasks: usize, args: &Args, report: &mut Report) {
    let raw_kill = |frozen: bool| {
        let cell = crowd(bed, driver, tasks);
        let raw = Raw::open(&directories(&cell)[0]);
        if frozen {
            cell.cgroup().freeze().unwrap();
        }
        let start = Instant::now();
        raw.kill(cell.cell().pidfd());
        let took = micros(start);
        cell.close().unwrap();
        Ok(took)
    };
    let kill = |frozen: bool| {
        let cell = crowd(bed, driver, tasks);
        if frozen {
            cell.cgroup().freeze().unwrap();
        }
        let start = Instant::now();
        cell.kill().unwrap();
        cell.cell().wait(None).unwrap();
        let took = micros(start);
        cell.close().unwrap();
        Ok(took)
    };
    let raw_close = || {
        let cell = crowd(bed, driver, tasks);
        let directories = directories(&cell);
        let raw = Raw::open(&directories[0]);
        let start = Instant::now();
        raw.kill(cell.cell().pidfd());
        directories.iter().for_each(|dir| remove(dir));
        let took = micros(start);
        cell.close().unwrap();
        Ok(took)
    };
    let close = || {
        let cell = crowd(bed, driver, tasks);
        let start = Instant::now();
        cell.close().unwrap();
        Ok(micros(start))
    };
    let mut turns = [
        Turn::new("raw kill", &[], || raw_kill(false)),
        Turn::new("raw kill again (null test)", &["raw kill"], || raw_kill(false)),
        Turn::new("kill until gone", &["raw kill"], || kill(false)),
        Turn::new("raw kill, frozen", &[], || raw_kill(true)),
        Turn::new("kill until gone, frozen", &["raw kill, frozen"], || kill(true)),
        Turn::new("raw kill and rmdir", &[], raw_close),
        Turn::new("close", &["raw kill and rmdir"], close),
    ];
    let name = format!("ending a cell of {tasks} task{}", if tasks == 1 { "" } else { "s" });
    match tasks {
        200 => {
            let spacing = Duration::ZERO;
            interleave(&mut turns, spacing, args.spaced);
            report.row(Row { group: "control", name: &name, spacing }, &turns);
        }
        _ => both_spacings("control", &name, &mut turns, args, report),
    }
}

/// The kernel may hold on to it for a moment after the last process.
fn remove(dir: &Path) {
    while let Err(error) = std::fs::remove_dir(dir) {
        assert_eq!(error.kind(), std::io::ErrorKind::ResourceBusy, "{}", dir.display());
    }
}

/// The files that a measurement reads, opened once.
struct Files(Vec<File>);

impl Files {
    fn open(cell: &Running) -> Files {
        let names = [
            "cpu.stat",
            "memory.usage_in_bytes",
            "memory.current",
            "blkio.throttle.io_service_bytes_recursive",
            "io.stat",
        ];
        let directories = directories(cell);
        let hybrid = directories.len() > 1;
        let mut files = Vec::new();
        for (at, dir) in directories.iter().enumerate() {
            // On a hybrid host the first hierarchy counts CPU time alone.
            let names = if hybrid && at == 0 { &names[..1] } else { &names[..] };
            let of_v1 = |name: &&&str| !(hybrid && at > 0 && **name == "cpu.stat");
            files.extend(
                names.iter().filter(of_v1).filter_map(|name| File::open(dir.join(name)).ok()),
            );
        }
        Files(files)
    }

    fn read(&self) -> usize {
        let mut page = [0; 4096];
        self.0.iter().map(|file| file.read_at(&mut page, 0).unwrap()).sum()
    }
}

/// One measurement of one cell, with so many alive in the driver.
fn samples(
    bed: &Bed,
    driver: &Instance,
    (cells, live): (&mut Vec<Running>, usize),
    args: &Args,
    report: &mut Report,
) {
    let config = config(&bed.rootfs, LIMITS | SECCOMP, &SLEEP);
    while cells.len() < live {
        cells.push(park(driver, &config));
    }
    let cell = &cells[live / 2];
    let files = Files::open(cell);
    let network = File::open(format!("/proc/{}/net/dev", cell.cell().pid())).unwrap();
    let timed = |call: &dyn Fn()| {
        let start = Instant::now();
        call();
        Ok(micros(start))
    };
    let raw = || timed(&|| _ = black_box(files.read()));
    let mut turns = [
        Turn::new("raw reads", &[], raw),
        Turn::new("raw reads again (null test)", &["raw reads"], raw),
        Turn::new("sample", &["raw reads"], || {
            timed(&|| _ = black_box(cell.cgroup().sample_brief().unwrap()))
        }),
        Turn::new("sample, network, nine values", &["raw reads"], || {
            timed(&|| {
                let sample = cell.cgroup().sample_brief().unwrap();
                drop(black_box(metrics(&sample, &network)));
            })
        }),
    ];
    let s = if live == 1 { "" } else { "s" };
    both_spacings("control", &format!("measuring, {live} live cell{s}"), &mut turns, args, report);
}

/// The nine metrics, as the driver hands them to a task.
fn metrics(sample: &Sample, network: &File) -> BTreeMap<String, u64> {
    let mut page = [0; 4096];
    let length = network.read_at(&mut page, 0).unwrap();
    let text = String::from_utf8_lossy(&page[..length]);
    let (mut received, mut sent) = (0, 0);
    for (_, counts) in text.lines().filter_map(|line| line.split_once(':')) {
        let mut counts = counts.split_whitespace().map(|count| count.parse::<u64>().unwrap());
        received += counts.next().unwrap();
        sent += counts.nth(7).unwrap();
    }
    let values = [
        (metric::NET_RX, received),
        (metric::NET_TX, sent),
        (metric::MEM_USAGE, sample.memory_bytes.unwrap_or(0)),
        (metric::MEM_LIMIT, 128 << 20),
        (metric::DISK_READ, sample.disk_read_bytes.unwrap_or(0)),
        (metric::DISK_WRITE, sample.disk_write_bytes.unwrap_or(0)),
        (metric::CPU_USER, sample.cpu_user.as_nanos() as u64),
        (metric::CPU_KERNEL, sample.cpu_system.as_nanos() as u64),
        (metric::CPU_TOTAL, sample.cpu_total.as_nanos() as u64),
    ];
    values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
