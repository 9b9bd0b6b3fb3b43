//! The program that engines start, against others of its kind: whole processes, from a small one that
//! spawns and awaits them, on the bundle that `runc spec` writes.

use super::args::Args;
use super::bed::Bed;
use super::measure::Turn;
use super::peers::{Kind, NOT_THERE, write_bundle};
use super::report::Report;
use super::runtime::{Life, RUN, Runtime, STEPS, is_hybrid, is_installed};
use super::start::both_spacings;
use super::worker::flag::{LIMITS, NO_CGROUPNS, SECCOMP};

/// Where the program is that `scripts/bench` has built for engines.
const BUILT: &str = "HOTCELL_BENCH_OCI";
const OUR_NAME: &str = "hotcell-oci";

const KINDS: [Kind; 2] =
    [Kind { name: "", flags: 0 }, Kind { name: ", filter, limits", flags: SECCOMP | LIMITS }];
/// As `runc spec` writes it on unified hosts, and on hybrid ones.
const CRUNS_KINDS: [Kind; 2] =
    [Kind { name: "", flags: 0 }, Kind { name: ", host's cgroup namespace", flags: NO_CGROUPNS }];

pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    // It lives as long as the program's requests do, which is to the end.
    let ours: &'static str = std::env::var(BUILT)
        .map_or(env!("CARGO_BIN_EXE_hotcell-oci"), |path| Box::leak(path.into_boxed_str()));
    for (verbs, life) in [("run", &RUN as &Life), ("create, start, delete", &STEPS)] {
        for kind in &KINDS {
            let turns = &mut [
                turn(bed, kind, (OUR_NAME, ours), false, true, life),
                turn(bed, kind, ("runc", "runc"), false, true, life),
            ];
            both_spacings("engines", &format!("{verbs}{}", kind.name), turns, args, report);
        }
        // crun knows no hybrid hosts. Both then get the v2 tree at /sys/fs/cgroup, where no controller
        // is left for limits.
        let whole = !is_hybrid();
        for kind in &CRUNS_KINDS {
            let turns = &mut [
                turn(bed, kind, (OUR_NAME, ours), !whole, whole, life),
                turn(bed, kind, ("crun", "crun"), !whole, whole, life),
            ];
            let how = if whole { "" } else { ", no resources, v2 alone" };
            let name = format!("{verbs}{how}{}", kind.name);
            both_spacings("engines", &name, turns, args, report);
        }
    }
}

fn turn<'a>(
    bed: &Bed,
    kind: &Kind,
    (name, program): (&'static str, &'static str),
    moved: bool,
    resources: bool,
    life: &Life,
) -> Turn<'a> {
    let ours = name == OUR_NAME;
    if !is_installed(program) {
        return Turn::missing(name, NOT_THERE);
    }
    let runtime = Runtime::new(bed, program, moved, write_bundle(bed, kind, resources));
    match runtime.try_once(life) {
        Ok(()) => runtime.turn(name.to_owned(), if ours { &[] } else { &[OUR_NAME] }, life),
        Err(why) => Turn::missing(name, why),
    }
}
