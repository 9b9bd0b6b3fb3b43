//! A cold start against the kernel's own price: with limits and without, in a new network namespace
//! and in the host's, with the system call filter and without.

use std::time::Duration;

use super::args::Args;
use super::bed::Bed;
use super::contender::Contender;
use super::likeness;
use super::measure::{Turn, interleave};
use super::report::{Report, Row};
use super::worker::flag::{BUNDLE, INIT, LIMITS, NET, PLAIN, SECCOMP};

pub(crate) const APART: Duration = Duration::from_millis(80);

/// The floor that does all that the cell's bundle asks for.
const FLOOR: &str = "floor";
/// The floor as the design drew it: fewer masks, one overlay for all, no filters.
const PLAIN_FLOOR: &str = "plain floor";

pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    likeness::compare(bed, report);
    for limits in [LIMITS, 0] {
        for net in [NET, 0] {
            for filter in [SECCOMP, 0] {
                one(bed, args, report, limits | net | filter);
            }
        }
    }
    with_init(bed, args, report);
    plain(bed, args, report);
}

fn name(flags: u32) -> String {
    let word = |flag, yes: &'static str, no: &'static str| if flags & flag != 0 { yes } else { no };
    [
        word(LIMITS, "limits", "no limits"),
        word(NET, "new network", "host network"),
        word(SECCOMP, "filter", "no filter"),
    ]
    .join(", ")
}

pub(crate) fn floor<'a>(bed: &Bed, name: &str, against: &[&str], flags: u32) -> Turn<'a> {
    let mut floor = Contender::start(&mut bed.floor());
    Turn::new(name, against, move || floor.measure(&format!("start {flags}")))
}

pub(crate) fn hotcell<'a>(bed: &Bed, name: &str, against: &[&str], flags: u32) -> Turn<'a> {
    let mut worker = Contender::start(&mut bed.worker(16));
    Turn::new(name, against, move || worker.measure(&format!("start {flags}")))
}

fn one(bed: &Bed, args: &Args, report: &mut Report, flags: u32) {
    let mut turns = [
        floor(bed, FLOOR, &[], BUNDLE | flags),
        floor(bed, "floor again (null test)", &[FLOOR], BUNDLE | flags),
        floor(bed, PLAIN_FLOOR, &[FLOOR], PLAIN | flags & (LIMITS | NET)),
        hotcell(bed, "hotcell", &[FLOOR, PLAIN_FLOOR], flags),
        hotcell(bed, "hotcell again (null test)", &["hotcell"], flags),
    ];
    both_spacings("start", &name(flags), &mut turns, args, report);
}

/// An init that stays, against none.
fn with_init(bed: &Bed, args: &Args, report: &mut Report) {
    let flags = LIMITS | NET | SECCOMP;
    let mut turns = [
        hotcell(bed, "hotcell", &[], flags),
        hotcell(bed, "hotcell, an init stays", &["hotcell"], flags | INIT),
    ];
    both_spacings("start", "with an init", &mut turns, args, report);
}

/// What each part of the plain floor adds to the one before.
fn plain(bed: &Bed, args: &Args, report: &mut Report) {
    const ROWS: [(&str, u32); 7] = [
        ("vfork, exec", 0),
        ("namespaces, bind, proc, pivot", 1),
        ("... network namespace", 1 | 2),
        ("... overlay", 1 | 2 | 4),
        ("... dev, pts, shm, mqueue, sys, masks", 1 | 2 | 4 | 8),
        ("... v2 cgroup", 1 | 2 | 4 | 8 | 16),
        ("... limits", 1 | 2 | 4 | 8 | 16 | 32),
    ];
    let base = [ROWS[0].0];
    let mut turns =
        ROWS.map(|(name, flags)| floor(bed, name, if flags == 0 { &[] } else { &base }, flags));
    both_spacings("start", "parts of the plain floor", &mut turns, args, report);
}

/// The row back to back and 80 ms apart.
pub(crate) fn both_spacings(
    group: &str,
    name: &str,
    turns: &mut [Turn],
    args: &Args,
    report: &mut Report,
) {
    for (spacing, rounds) in [(Duration::ZERO, args.rounds), (APART, args.spaced)] {
        interleave(turns, spacing, rounds);
        report.row(Row { group, name, spacing }, turns);
    }
}
