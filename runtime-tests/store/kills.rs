//! Loads killed at instants drawn from a seed: what can be seen is whole, and the rest is gone.

use std::io::{BufRead, BufReader};
use std::time::Instant;

use hotcell::image::store::Prune;

use super::{disk, load, open, player, whole};
use crate::bed::Bed;
use crate::contract::races::chance::{Seed, say};
use crate::host::{image, soak};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test!(whenever_a_load_is_killed_what_is_seen_is_whole, Images)]
}

fn whenever_a_load_is_killed_what_is_seen_is_whole(_: &Bed) {
    let rounds = if soak() { 200 } else { 6 };
    let at = disk();
    let dir = at.path().join("store");
    // Whiteouts, opaque directories and, with more than eight layers, a merged tree.
    let archive = image("layers", "docker.tar.gz");
    let start = Instant::now();
    load(&open(&dir), &archive);
    let whole_load = start.elapsed() * 2;
    let (seed, mut seen) = (Seed::new(), 0);
    for round in 1..=rounds {
        let mut chance = seed.round(round);
        open(&dir).prune(Prune::Unused).unwrap();
        let mut loader = player("load", &dir, &archive).spawn().unwrap();
        BufReader::new(loader.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        std::thread::sleep(chance.micros(whole_load.as_micros() as u64));
        loader.kill().unwrap();
        loader.wait().unwrap();
        let store = open(&dir);
        let images = store.images().unwrap();
        seen += images.len();
        whole(&store);
        // Whatever is there already, loading again gives all of it.
        if chance.coin() {
            let again = load(&store, &archive).remove(0);
            assert_eq!(again.names().unwrap().len(), 1);
            whole(&store);
        }
    }
    let took = start.elapsed().as_secs_f64();
    say(format_args!("{rounds} loads killed in {took:.1} s, {seen} of them after they were done"));
    assert!(!soak() || (1..rounds as usize).contains(&seen), "{seen} of {rounds}");
}
