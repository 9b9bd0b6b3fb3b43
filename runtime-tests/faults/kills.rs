//! The embedder killed at every point, each time it is reached; then one sweep. What is not the soak
//! takes the first, second, fourth, … time.

use std::collections::{BTreeMap, BTreeSet};

use hotcell::fault::{ENV, Point};

use crate::bed::Bed;
use crate::host::soak;
use crate::killed::embedder::{Embedder, STAGES};
use crate::killed::host::sweep;
use crate::{Test, test};

/// No point is reached as often.
const ENOUGH: u32 = 300;

/// Where embedders were killed: how often at each point, and in which stages.
#[derive(Default)]
struct Tally {
    kills: BTreeMap<&'static str, u32>,
    stages: BTreeSet<u8>,
}

impl Tally {
    /// Kills `part` at every point, each time that it comes by. `before` is what it finds, `after`
    /// what must be true when it is dead.
    fn kill(&mut self, bed: &Bed, part: &str, before: impl Fn(), after: impl Fn()) {
        // A fault there strikes the init, not the driver.
        for point in Point::of_drivers().filter(|point| **point != Point::InitStep) {
            let mut nth = 1;
            loop {
                assert!(nth < ENOUGH, "{} is reached for ever", point.name());
                before();
                let fault = format!("{}:{nth}=kill", point.name());
                let mut embedder = Embedder::start_with(bed, part, 0, &[(ENV, &fault)]);
                let killed = embedder.was_killed();
                after();
                if !killed {
                    break;
                }
                *self.kills.entry(point.name()).or_default() += 1;
                self.stages.extend(embedder.stages().into_iter().flatten());
                nth = if soak() { nth + 1 } else { nth * 2 };
            }
        }
    }

    fn total(&self) -> u32 {
        self.kills.values().sum()
    }
}

pub fn tests() -> Vec<Test> {
    vec![test!(one_sweep_is_enough_wherever_the_embedder_was_killed, Cells, Busybox)]
}

fn one_sweep_is_enough_wherever_the_embedder_was_killed(bed: &Bed) {
    let mut tally = Tally::default();
    for part in ["story-core", "story-contract"] {
        tally.kill(bed, part, || {}, || _ = sweep(bed));
    }
    let lives = tally.total();
    tally.kill(bed, "sweep", || remains(bed), || _ = sweep(bed));
    let sweeps = tally.total() - lives;
    let (points, all) = (tally.kills.len(), Point::of_drivers().count() - 1);
    println!("killed at {points} of {all} points: {lives} times in a life, {sweeps} in a sweep");
    let missed = Point::of_drivers().filter(|point| !tally.kills.contains_key(point.name()));
    let missed: Vec<_> = missed.filter(|point| **point != Point::InitStep).collect();
    assert!(missed.is_empty(), "never killed at {missed:?}");
    assert!(!soak() || tally.stages.len() == STAGES.len(), "only in stages {:?}", tally.stages);
}

/// What an embedder leaves that is killed while its cells run.
fn remains(bed: &Bed) {
    let mut embedder = Embedder::start(bed, "lasting", 2);
    embedder.line();
    embedder.kill();
}
