//! Embedders killed at instants drawn from a seed.

use std::time::{Duration, Instant};

use super::embedder::{Embedder, STAGES};
use super::host::sweep;
use crate::bed::Bed;
use crate::contract::races::chance::{Seed, say};
use crate::host::soak;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(whatever_an_embedder_was_doing_one_sweep_leaves_nothing, Cells, Busybox),
        test!(the_sweep_may_come_at_once, Cells, Busybox),
        test!(many_cells_are_swept_in_no_time, Cells, Busybox, Cpu),
    ]
}

/// How long a sweep may take.
const SWEEP: Duration = Duration::from_secs(2);

/// What the rounds found.
#[derive(Default)]
struct Figures {
    worst: Duration,
    /// How many workers were in each stage when they were killed; the last, before the first stage.
    stages: [u32; STAGES.len() + 1],
}

/// Kills `rounds` embedders of `part`, each at an instant before it is `oldest`. What every third
/// leaves is left to the next embedder to sweep, which is killed in its turn.
fn kill(bed: &Bed, part: &str, rounds: u64, oldest: Duration) -> Figures {
    let (seed, start) = (Seed::new(), Instant::now());
    let mut figures = Figures::default();
    for round in 1..=rounds {
        let mut chance = seed.round(round);
        let mut embedder = Embedder::start(bed, part, chance.next());
        std::thread::sleep(chance.micros(oldest.as_micros() as u64));
        embedder.kill();
        if round % 3 != 0 || round == rounds {
            figures.worst = figures.worst.max(sweep(bed));
        }
        for stage in embedder.stages() {
            figures.stages[stage.map_or(STAGES.len(), usize::from)] += 1;
        }
    }
    assert!(figures.worst < SWEEP, "a sweep took {:?}", figures.worst);
    let (took, worst) = (start.elapsed().as_secs_f64(), figures.worst.as_micros());
    say(format_args!("{part}: {rounds} kills in {took:.1} s, the slowest sweep {worst} us"));
    for (stage, count) in STAGES.iter().chain(&["before"]).zip(&figures.stages) {
        say(format_args!("killed in stage {stage}: {count}"));
    }
    figures
}

fn whatever_an_embedder_was_doing_one_sweep_leaves_nothing(bed: &Bed) {
    let rounds = if soak() { 10_000 } else { 200 };
    let figures = kill(bed, "busy", rounds, Duration::from_millis(100));
    assert!(!soak() || figures.stages.iter().all(|count| *count > 0), "{:?}", figures.stages);
}

/// The child that has still to be executed holds copies of all descriptors.
fn the_sweep_may_come_at_once(bed: &Bed) {
    let rounds = if soak() { 5000 } else { 300 };
    kill(bed, "storm", rounds, Duration::from_millis(30));
}

/// One of them is slow to die, if nobody helps it.
fn many_cells_are_swept_in_no_time(bed: &Bed) {
    let cells = if soak() { 200 } else { 40 };
    let mut embedder = Embedder::start(bed, "lasting", cells);
    embedder.line();
    embedder.kill();
    let took = sweep(bed);
    say(format_args!("{cells} running cells swept in {took:.3?}"));
    // By itself the first would take longer, and it alone.
    assert!(took < Duration::from_secs(5), "{took:?}");
}
