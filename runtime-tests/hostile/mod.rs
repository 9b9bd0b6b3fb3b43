//! The hostile corpus: bundles and roots that try to get out, each with a canary on the host that
//! must stay as it was.
//!
//! ```text
//! case    what a row is                   scene   root, canary, shared directory
//! spoil   how a root is made hostile      watch   what an escape would show in
//! cell    plays a form through hotcell    judge   what a run amounts to
//! engine  the same through hotcell-oci    way     the ways in, and what they change
//! peers   plays it through runc and crun  page    docs/hostile.md
//! corpus  the cases
//! ```
//!
//! Scripts keep one rule: they print nothing but what they could do and should not have. So "ran and
//! said nothing" is the proof, and each that looks for something proves first that it can see.

mod case;
mod cell;
mod corpus;
mod engine;
mod judge;
mod page;
mod peers;
mod scene;
mod spoil;
pub mod watch;
mod way;

use case::{Case, Expect, Form, Mode, Upper};
use judge::{Seen, judge};
use scene::Scene;
use watch::Watch;
use way::Way;

use crate::bed::Bed;
use crate::host::soak;
use crate::snapshot::Snapshot;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        test!(places_that_lead_elsewhere, Cells, Busybox),
        test!(what_an_image_leaves_lying, Cells, Busybox),
        test!(mounts_on_hostile_targets, Cells, Busybox),
        test!(specifications_that_ask_too_much, Cells, Busybox),
        test!(directories_and_descriptors, Cells, Busybox),
        test!(programs_that_are_none, Cells, Busybox),
        test!(names_and_numbers, Cells, Busybox),
        test!(reaching_out_from_inside, Cells, Busybox),
        test!(reaching_out_in_python, Cells, Debian),
        test!(bombs_and_games, Cells, Busybox, Memory, Pids),
        test!(cells_against_cells, Cells, Busybox, Debian),
        test!(all_of_it_with_ids_of_their_own, Cells, Busybox, Debian, Memory, Pids),
        test!(all_of_it_created_and_started_by_an_engine, Cells, Busybox, Debian, Memory, Pids),
        test!(all_of_it_entering_an_engines_container, Cells, Busybox, Debian, Memory, Pids),
        test!(through_an_engines_commands, Cells, Busybox, Debian, Compiler),
        test!(the_page_lists_exactly_this_corpus),
    ];
    // Not listed otherwise: it needs programs that no test may ask for.
    if peers::wanted() {
        tests.push(test!(the_page_is_written, Cells, Busybox, Debian));
    }
    tests
}

fn places_that_lead_elsewhere(_: &Bed) {
    hold(corpus::places::cases());
}

fn what_an_image_leaves_lying(_: &Bed) {
    hold(corpus::litter::cases());
}

fn mounts_on_hostile_targets(_: &Bed) {
    hold(corpus::mounts::cases());
}

fn specifications_that_ask_too_much(_: &Bed) {
    hold(corpus::specs::cases());
}

fn directories_and_descriptors(_: &Bed) {
    hold(corpus::directories::cases());
}

fn programs_that_are_none(_: &Bed) {
    hold(corpus::programs::cases());
}

fn names_and_numbers(_: &Bed) {
    hold(corpus::identity::cases());
}

fn reaching_out_from_inside(_: &Bed) {
    hold(corpus::inside::cases());
}

fn reaching_out_in_python(_: &Bed) {
    // The calls' numbers are x86-64's.
    if cfg!(target_arch = "x86_64") {
        hold(corpus::calls::cases());
    }
}

fn bombs_and_games(_: &Bed) {
    hold(corpus::bombs::cases());
}

fn cells_against_cells(_: &Bed) {
    hold(corpus::together::cases());
}

/// How many forms of a case are played once more there, when there is no time for all.
const MOST_AGAIN: usize = 2;

/// What comes out otherwise there, and why; nothing of it reaches outside.
const OTHERWISE: [(&str, &str); 7] = [
    ("mounts of a cell reach nobody", "a specification's bind mount belongs to other ids"),
    ("a disk among the devices", "a device must be the host's own, by name or number"),
    ("devices made inside", "none can be made"),
    ("no /dev of its own, and /dev/null leads elsewhere", "the host's nodes are bound over it"),
    ("numbers that are names in the image", "the largest have no id on the host"),
    ("more in the root than the memory allows", "a layer on the disk is no memory"),
    ("limits that nothing can run in", "root is not exempt from its limit on processes"),
];

/// The same verdicts, in one mode of each case's own.
fn all_of_it_with_ids_of_their_own(_: &Bed) {
    let slice = if soak() { usize::MAX } else { MOST_AGAIN };
    let all = corpus::all();
    let cases = all.iter().flat_map(|(_, cases)| cases);
    let cases = cases.filter(|case| case.expected(Way::Library).is_some());
    let mut wrong = Vec::new();
    for case in cases.filter(|case| OTHERWISE.iter().all(|(name, _)| *name != case.name)) {
        for (at, form) in case.forms.iter().enumerate().take(slice) {
            let mode = case.modes[at % case.modes.len()];
            // A layer in memory needs a newer kernel there.
            let upper = if mode.upper == Upper::Tmpfs { Upper::Disk } else { mode.upper };
            let mode = Mode { upper, own_ids: true, ..mode };
            let scene = Scene::set_up(case.base, form);
            let before = (Snapshot::take(&scene.bed), Watch::take(&scene, true));
            wrong.extend(failure(case, form, mode, &scene, &before));
        }
    }
    none(&wrong);
}

fn all_of_it_created_and_started_by_an_engine(_: &Bed) {
    hold_by(Way::Create);
}

fn all_of_it_entering_an_engines_container(_: &Bed) {
    hold_by(Way::Exec);
}

fn through_an_engines_commands(_: &Bed) {
    let cases = corpus::engines::cases();
    let wrong = Way::OF_ENGINES.into_iter().flat_map(|way| {
        let forms = cases.iter().flat_map(|case| case.forms.iter().map(move |form| (case, form)));
        let play = |(case, form)| failure_by(way, case, form, case::ONE[0], true);
        forms.filter_map(play).collect::<Vec<_>>()
    });
    none(&wrong.collect::<Vec<_>>());
}

/// Plays the corpus as engines do, with a system call filter and without in turn.
fn hold_by(way: Way) {
    let slice = if soak() { usize::MAX } else { MOST_AGAIN };
    let all = corpus::all();
    let mut wrong = Vec::new();
    for case in all.iter().flat_map(|(_, cases)| cases) {
        for (at, form) in case.forms.iter().enumerate().take(slice) {
            // These play by themselves.
            if matches!(form.act, case::Act::Engine(_)) {
                continue;
            }
            let mode = case.modes[at % case.modes.len()];
            let filters: &[bool] = match (case.by_filter, soak()) {
                (true, _) => &[true],
                (false, true) => &[true, false],
                (false, false) => &[[true, false][at % 2]],
            };
            wrong.extend(filters.iter().filter_map(|on| failure_by(way, case, form, mode, *on)));
        }
    }
    none(&wrong);
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} of the corpus:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is wrong about one run through `hotcell-oci`, on a root of its own, which is the container's
/// to write to.
fn failure_by(way: Way, case: &Case, form: &Form, mode: Mode, filtered: bool) -> Option<String> {
    let expect = case.expected(way)?;
    let scene = Scene::set_up(case.base, form);
    let (host, before) = (Snapshot::take(&scene.bed), Watch::take(&scene, false));
    let Some(seen) = engine::play(&scene, form, mode, way, filtered) else {
        let known = matches!(expect, Expect::Either(_));
        return (!known).then(|| format!("{}, {}: there is no bundle", case.name, form.name));
    };
    let verdict = judge(&seen, &scene, &before, false, expect.code());
    let left = host.compare(&scene.bed).err();
    if verdict.is(expect, &seen) && left.is_none() {
        return None;
    }
    let mode = format!("{:?}, {}", mode.upper, if filtered { "a filter" } else { "no filter" });
    Some(told(case, form, &mode, &seen, &format!("{verdict:?}"), left))
}

fn the_page_lists_exactly_this_corpus(_: &Bed) {
    page::check(&corpus::all());
}

fn the_page_is_written(_: &Bed) {
    page::write(&corpus::all());
}

/// How many forms of a case are played when there is no time for all.
const MOST_FORMS: usize = 8;

/// Plays every form of every case in every mode, and fails with all that went wrong.
fn hold(cases: Vec<Case>) {
    none(&cases.iter().flat_map(failures).collect::<Vec<_>>());
}

fn failures(case: &Case) -> Vec<String> {
    let mut failures = Vec::new();
    if case.expected(Way::Library).is_none() {
        return failures;
    }
    let slice = if soak() { case.forms.len() } else { MOST_FORMS };
    for (at, form) in case.forms.iter().enumerate().take(slice) {
        let scene = Scene::set_up(case.base, form);
        let modes = case.modes.iter().enumerate();
        // Many forms share the modes out among them, unless there is time for all.
        let all = soak() || case.forms.len() < case.modes.len();
        let played = modes.filter(|(turn, _)| all || at % case.modes.len() == *turn);
        let before = (Snapshot::take(&scene.bed), Watch::take(&scene, true));
        failures.extend(played.filter_map(|(_, mode)| failure(case, form, *mode, &scene, &before)));
    }
    failures
}

/// What is wrong about one run, if anything is.
fn failure(
    case: &Case,
    form: &Form,
    mode: Mode,
    scene: &Scene,
    (host, before): &(Snapshot, Watch),
) -> Option<String> {
    let seen = cell::play(scene, form, mode);
    let verdict = judge(&seen, scene, before, true, case.expect.code());
    let left = host.compare(&scene.bed).err();
    if verdict.is(case.expect, &seen) && left.is_none() {
        return None;
    }
    Some(told(case, form, &format!("{mode:?}"), &seen, &format!("{verdict:?}"), left))
}

fn told(
    case: &Case,
    form: &Form,
    mode: &str,
    seen: &Seen,
    verdict: &str,
    left: Option<String>,
) -> String {
    let left = left.unwrap_or_default();
    let brief = |text: &str| text.chars().take(300).collect::<String>();
    let (out, err, verdict) = (brief(&seen.out), brief(&seen.err), brief(verdict));
    let what = format!("{}, {}, {mode}: {verdict} {left}", case.name, brief(&form.name));
    format!("{what}\n    {:?} {out:?} {err:?}", seen.code)
}
