//! Pulls killed at instants drawn from a seed: what can be seen is whole, and the rest is gone.

use std::time::Instant;

use hotcell::image::store::{Closely, Prune, Repair, Store, StoreOptions};

use super::order::Order;
use super::play::{play, player, store};
use crate::bed::Bed;
use crate::contract::races::chance::{Seed, say};
use crate::host::{image, soak};
use crate::hostile_images::play::room;
use crate::registry::{Content, Registry};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test!(whenever_a_pull_is_killed_what_is_seen_is_whole, Images)]
}

fn whenever_a_pull_is_killed_what_is_seen_is_whole(_: &Bed) {
    let rounds = if soak() { 300 } else { 8 };
    let mut content = Content::default();
    content.layout("layers", "latest", &image("layers", "oci"));
    let registry = Registry::plain(content);
    let image = format!("{}/layers:latest", registry.address());
    let order = Order { image, patience: 30_000, ..Order::default() };
    let dir = room();
    let open = || Store::open(store(dir.path()), StoreOptions::default()).unwrap();
    let start = Instant::now();
    play(&order, dir.path()).unwrap();
    let whole = start.elapsed();
    let (seed, mut seen) = (Seed::new(), 0);
    for round in 1..=rounds {
        let mut chance = seed.round(round);
        open().prune(Prune::Unused).unwrap();
        let mut killed =
            player(&order, dir.path()).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(chance.micros(whole.as_micros() as u64));
        killed.kill().unwrap();
        killed.wait().unwrap();
        let store = open();
        seen += store.images().unwrap().len();
        let checked = store.check(Closely::Inside, Repair::No).unwrap();
        assert!(checked.flaws.is_empty(), "{checked:?}");
        for name in ["work", "trash"] {
            assert_eq!(std::fs::read_dir(store.dir().join(name)).unwrap().count(), 0, "{name}");
        }
        drop(store);
        // Whatever is there already, pulling again gives all of it.
        if chance.coin() {
            let played = play(&order, dir.path()).unwrap().played;
            assert!(played.error.is_none(), "{:?}", played.error);
        }
    }
    let took = start.elapsed().as_secs_f64();
    say(format_args!("{rounds} pulls killed in {took:.1} s, {seen} of them after they were done"));
}
