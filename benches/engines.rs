//! The program that engines start, against others of its kind: whole processes, from a small one that
//! spawns and awaits them, on the bundle that `runc spec` writes.

use super::args::Args;
use super::bed::Bed;
use super::measure::Turn;
use super::peers::{Kind, NOT_THERE, write_bundle};
use super::report::Report;
use super::runtime::{Life, RUN, Runtime, STEPS, is_hybrid, is_installed};
use super::start::both_spacings;
use super::worker::flag::{LIMITS, SECCOMP};

const OURS: &str = env!("CARGO_BIN_EXE_hotcell-oci");
const OUR_NAME: &str = "hotcell-oci";

const KINDS: [Kind; 2] =
    [Kind { name: "", flags: 0 }, Kind { name: ", filter, limits", flags: SECCOMP | LIMITS }];

pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    for (verbs, life) in [("run", &RUN as &Life), ("create, start, delete", &STEPS)] {
        for kind in &KINDS {
            let turns = &mut [
                turn(bed, kind, OURS, false, true, life),
                turn(bed, kind, "runc", false, true, life),
            ];
            both_spacings("engines", &format!("{verbs}{}", kind.name), turns, args, report);
        }
        // crun knows no hybrid hosts. Both then get the v2 tree at /sys/fs/cgroup, where no controller
        // is left for limits.
        let whole = !is_hybrid();
        let turns = &mut [
            turn(bed, &KINDS[0], OURS, !whole, whole, life),
            turn(bed, &KINDS[0], "crun", !whole, whole, life),
        ];
        let name = format!("{verbs}{}", if whole { "" } else { ", no resources, v2 alone" });
        both_spacings("engines", &name, turns, args, report);
    }
}

fn turn<'a>(
    bed: &Bed,
    kind: &Kind,
    program: &'static str,
    moved: bool,
    resources: bool,
    life: &Life,
) -> Turn<'a> {
    let ours = program == OURS;
    let name = if ours { OUR_NAME } else { program };
    if !is_installed(program) {
        return Turn::missing(name, NOT_THERE);
    }
    let runtime = Runtime::new(bed, program, moved, write_bundle(bed, kind, resources));
    match runtime.try_once(life) {
        Ok(()) => runtime.turn(name.to_owned(), if ours { &[] } else { &[OUR_NAME] }, life),
        Err(why) => Turn::missing(name, why),
    }
}
