//! Whether a start costs more in a large embedder, beside many live cells, on a host of many mounts.

use super::args::Args;
use super::bed::Bed;
use super::contender::Contender;
use super::measure::Turn;
use super::report::Report;
use super::start::{both_spacings, floor};
use super::worker::flag::{BUNDLE, LIMITS, NET, SECCOMP};

const WHOLE: u32 = LIMITS | NET | SECCOMP;

pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    embedders(bed, args, report);
    live_cells(bed, args, report);
    mounts(bed, args, report);
}

/// A worker of this many megabytes, or why there can't be one.
fn embedder<'a>(bed: &Bed, name: &str, against: &[&str], megabytes: usize) -> Turn<'a> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    let available: usize = available.trim().trim_end_matches(" kB").parse().unwrap();
    if available >> 10 < megabytes * 3 / 2 {
        return Turn::missing(name, format!("only {} MB are free", available >> 10));
    }
    start(Contender::start(&mut bed.worker(megabytes)), name, against, WHOLE)
}

fn start<'a>(mut who: Contender, name: &str, against: &[&str], flags: u32) -> Turn<'a> {
    Turn::new(name, against, move || who.measure(&format!("start {flags}")))
}

fn embedders(bed: &Bed, args: &Args, report: &mut Report) {
    let least = "hotcell in 16 MB";
    let mut turns = vec![
        floor(bed, "floor", &[], BUNDLE | WHOLE),
        embedder(bed, least, &["floor"], 16),
        embedder(bed, "hotcell in 1 GB", &[least], 1024),
    ];
    if !args.quick {
        turns.push(embedder(bed, "hotcell in 4 GB", &[least], 4096));
    }
    both_spacings("scale", "the embedder's memory", &mut turns, args, report);
}

/// All contenders run beside all live cells; what differs is whose they are.
fn live_cells(bed: &Bed, args: &Args, report: &mut Report) {
    let least = "hotcell with 1 live cell";
    let mut turns = vec![floor(bed, "floor", &[], BUNDLE | WHOLE)];
    for (count, base) in [(1, "floor"), (100, least), (1000, least)] {
        if args.quick && count == 1000 {
            continue;
        }
        let mut worker = Contender::start(&mut bed.worker(16));
        let name = format!("hotcell with {count} live cell{}", if count == 1 { "" } else { "s" });
        // Without networks of their own, whose removal would go on for seconds afterwards.
        match worker.ask(&format!("park {SECCOMP} {count}")) {
            Ok(_) => turns.push(start(worker, &name, &[base], WHOLE)),
            Err(why) => panic!("{name}: {why}"),
        }
    }
    both_spacings("scale", "live cells", &mut turns, args, report);
}

/// Each contender and its mounts are in a mount namespace of their own.
fn mounts(bed: &Bed, args: &Args, report: &mut Report) {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let here = table.lines().count();
    let mut turns = Vec::new();
    let totals = [here, here + 200, here + 2000];
    let name = |who: &str, total: usize| format!("{who}, {total} mounts");
    for total in totals {
        for (who, command, flags) in
            [("floor", bed.floor(), BUNDLE | WHOLE), ("hotcell", bed.worker(16), WHOLE)]
        {
            let mut tool = bed.tool();
            tool.arg("among-mounts").arg((total - here).to_string());
            tool.arg(command.get_program()).args(command.get_args());
            tool.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
            let (least, same) = (name(who, here), name("floor", total));
            let mut against = Vec::new();
            if total != here {
                against.push(least.as_str());
            }
            if who == "hotcell" {
                against.push(same.as_str());
            }
            let contender = Contender::start(&mut tool);
            turns.push(start(contender, &name(who, total), &against, flags));
        }
    }
    both_spacings("scale", "mounts of the host", &mut turns, args, report);
}
