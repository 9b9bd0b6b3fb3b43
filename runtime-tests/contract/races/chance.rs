//! Numbers from a seed, so that a failure can be played again, and the figures of a proof.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::host::soak;

/// How long one operation may take before it counts as hanging.
pub const HANGS: Duration = Duration::from_secs(20);

/// How many cells are in flight.
pub const AT_ONCE: u64 = 6;

/// A small generator: each number is a hash of its place in the sequence.
#[derive(Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn of(seed: u64) -> Chance {
        Chance(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn micros(&mut self, limit: u64) -> Duration {
        Duration::from_micros(self.below(limit))
    }

    pub fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// The seed of a proof: `HOTCELL_SEED`, or a new one. Says it if the proof fails.
pub struct Seed(u64);

impl Seed {
    pub fn new() -> Seed {
        let given = std::env::var("HOTCELL_SEED").ok();
        Seed(given.map_or_else(random, |seed| seed.parse().unwrap()))
    }

    /// The numbers of one round. Hashed once more: neighbours must not share a sequence.
    pub fn round(&self, number: u64) -> Chance {
        let mut own = Chance(self.0 ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        Chance(own.next())
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("it failed with HOTCELL_SEED={}", self.0);
        }
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
    u64::from_ne_bytes(bytes)
}

/// `whole`, or a twentieth of it if this is not the soak.
pub fn share(whole: u64) -> u64 {
    if soak() { whole } else { whole / 20 }
}

/// Plays `whole` rounds, some at a time, and folds what they found. A round knows its number.
pub async fn rounds<T, F>(
    name: &str,
    whole: u64,
    round: impl Fn(u64, Chance) -> F,
    mut found: impl FnMut(T),
) where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (seed, start) = (Seed::new(), Instant::now());
    let (count, mut running) = (share(whole), JoinSet::new());
    for number in 0..count {
        if number >= AT_ONCE {
            found(running.join_next().await.unwrap().unwrap());
        }
        running.spawn(round(number, seed.round(number)));
    }
    while let Some(done) = running.join_next().await {
        found(done.unwrap());
    }
    say(format_args!("{name}: {count} rounds in {:.1} s", start.elapsed().as_secs_f64()));
}

/// A figure, in the soak.
pub fn say(figure: impl Display) {
    if soak() {
        println!("    {figure}");
    }
}

/// `work`, which must come to an end.
pub async fn ends<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(HANGS, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} hangs"),
    }
}

/// Waits more exactly than the runtime's timer does.
pub async fn pause(time: Duration) {
    let until = Instant::now() + time;
    if let Some(coarse) = time.checked_sub(Duration::from_millis(2)) {
        tokio::time::sleep(coarse).await;
    }
    while Instant::now() < until {
        tokio::task::yield_now().await;
    }
}
