//! What an idle cell costs in memory, processes and threads, beside parked processes in the same
//! namespaces.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::args::Args;
use super::bed::Bed;
use super::contender::Contender;
use super::report::{Report, Row};
use super::worker::flag::{BUNDLE, INIT, LIMITS, NET, SECCOMP};

/// The fields of /proc/meminfo that are the kernel's own, and the driver's files.
const KERNEL: [&str; 4] = ["Slab", "KernelStack", "PageTables", "Percpu"];
const FILES: &str = "Shmem";

pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    let count = if args.quick { 60 } else { 300 };
    let rows = [("host network", 0, 0), ("own network", NET, 0), ("own network, init", NET, INIT)];
    for (name, net, init) in rows.into_iter().skip(usize::from(args.quick)) {
        let row = format!("{count} idle cells, {name}");
        let row = Row { group: "memory", name: &row, spacing: Duration::ZERO };
        let flags = LIMITS | SECCOMP | net;
        // What the floor has no word for it does without.
        let floor = (bed.floor(), BUNDLE | flags);
        let worker = (bed.worker(16), flags | init);
        for (who, (mut command, flags)) in [("floor", floor), ("hotcell", worker)] {
            let mut contender = Contender::start(&mut command);
            let pid = contender.pid();
            let parent = match who {
                "floor" => format!("floor-{pid}"),
                _ => bed.options().cgroup_parent,
            };
            one(report, row, who, (&mut contender, flags, count), &parent);
        }
    }
}

/// A moment of the host and of one contender, in KB.
struct Moment {
    host: BTreeMap<String, f64>,
    rss: f64,
    threads: f64,
}

impl Moment {
    fn now(pid: u32) -> Moment {
        Moment {
            host: fields("/proc/meminfo"),
            rss: fields(&format!("/proc/{pid}/status"))["VmRSS"],
            threads: std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count() as f64,
        }
    }
}

/// The numbered fields of such a file.
fn fields(path: &str) -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().trim_end_matches(" kB").parse().ok()?))
    };
    text.lines().filter_map(field).collect()
}

/// The processes below the parent's leaves.
pub(crate) fn tasks(parent: &str) -> Vec<u32> {
    let tops = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(|top| Path::new(top).join(parent));
    let leaves = tops.iter().flat_map(std::fs::read_dir).flatten().flatten();
    let procs = |leaf: PathBuf| std::fs::read_to_string(leaf.join("cgroup.procs"));
    let text: String = leaves.filter_map(|leaf| procs(leaf.path()).ok()).collect();
    text.lines().filter_map(|pid| pid.parse().ok()).collect()
}

fn one(
    report: &mut Report,
    row: Row,
    who: &str,
    (contender, flags, count): (&mut Contender, u32, usize),
    parent: &str,
) {
    let pid = contender.pid();
    let mut ask =
        |request: &str| contender.ask(request).unwrap_or_else(|why| panic!("{who}: {why}"));
    // What is there once stays: caches, the first cell's libraries.
    ask(&format!("park {flags} 3"));
    ask("unpark");
    std::thread::sleep(Duration::from_secs(2));
    let before = Moment::now(pid);
    ask(&format!("park {flags} {count}"));
    std::thread::sleep(Duration::from_secs(1));
    let after = Moment::now(pid);
    let tasks = tasks(parent);
    let each = |total: f64| (total / count as f64 * 10.0).round() / 10.0;
    let grown = |name: &str| {
        let of = |moment: &Moment| moment.host.get(name).copied().unwrap_or(0.0);
        each(of(&after) - of(&before))
    };
    let kernel = KERNEL.map(grown);
    let anonymous =
        tasks.iter().filter_map(|pid| fields(&format!("/proc/{pid}/status")).remove("RssAnon"));
    let anonymous = each(anonymous.sum());
    let rss = each(after.rss - before.rss);
    let threads = each(after.threads - before.threads);
    let processes = each(tasks.len() as f64) - 1.0;
    ask("unpark");
    // A network namespace is taken apart in the background, some milliseconds each.
    std::thread::sleep(Duration::from_millis(500 + 8 * count as u64));
    let all: f64 = kernel.iter().sum::<f64>() + rss + grown(FILES);
    let fields = json!({
        "cells": count,
        "driver_kb": rss,
        "files_kb": grown(FILES),
        "slab_kb": kernel[0],
        "kernel_stack_kb": kernel[1],
        "page_tables_kb": kernel[2],
        "percpu_kb": kernel[3],
        "sum_kb": all,
        "task_anonymous_kb": anonymous,
        "processes_beside_the_task": processes,
        "threads_of_the_driver": threads,
    });
    let words = format!(
        "a cell: {all:.0} KB = driver {rss} + files {} + slab {} + stacks {} + page tables {} + percpu {}; \
         the task's own {anonymous}; {processes} processes, {threads} threads more",
        grown(FILES),
        kernel[0],
        kernel[1],
        kernel[2],
        kernel[3],
    );
    report.figure(row, who, &fields, &words);
}
