//! Random orders of writing, finishing and dropping: no byte is lost, none comes twice.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::sinks::{Manner, Seen, sink};
use super::{pump, soon, stream, until};

/// Marsaglia's xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// What happens to the handle in the middle of things.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The cell closes its end.
    Eof,
    /// The cell has written everything, but somebody holds its end.
    FinishHeld,
    /// The pump is told to finish while somebody writes.
    FinishEarly,
    /// The handle is dropped while somebody writes.
    Drop,
}

async fn one(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let writers: Vec<_> = (0..random.below(4))
        .map(|_| match random.below(4) {
            0 => Manner::Take(usize::MAX),
            1 => Manner::Take(1 + random.below(5000)),
            2 => Manner::Seldom(1 + random.below(50_000), 1 + random.below(9)),
            _ => Manner::FailAfter(random.below(300_000)),
        })
        .map(|manner| (manner, sink(manner)))
        .collect();
    let (writers, seen): (Vec<_>, Vec<(Manner, Arc<Seen>)>) =
        writers.into_iter().map(|(manner, (writer, seen))| (writer, (manner, seen))).unzip();
    let (pump, cells) = pump(writers);
    let held = cells.try_clone().unwrap();
    let most = [700_000, 2000][random.below(2)];
    let all = random.below(most);
    let end = [End::Eof, End::FinishHeld, End::FinishEarly, End::Drop][random.below(4)];
    let (written, mut sizes) = (Arc::new(AtomicUsize::new(0)), Random(random.0));
    let counter = Arc::clone(&written);
    let cell = tokio::task::spawn_blocking(move || {
        let (mut cells, mut at) = (File::from(cells), 0);
        while at < all {
            let most = [10, 5000, 100_000][sizes.below(3)];
            let count = (1 + sizes.below(most)).min(all - at);
            if cells.write_all(&stream(at, count)).is_err() {
                return;
            }
            at += count;
            counter.store(at, Ordering::SeqCst);
        }
    });
    match end {
        End::Eof => drop(held),
        End::FinishHeld => {
            cell.await.unwrap();
            pump.finish();
        }
        End::FinishEarly | End::Drop => {
            tokio::time::sleep(Duration::from_micros(random.below(3000) as u64)).await;
        }
    }
    let least = match end {
        End::Eof | End::FinishHeld => all,
        End::FinishEarly => written.load(Ordering::SeqCst),
        End::Drop => 0,
    };
    let stream = Arc::clone(&pump.stream);
    match end {
        End::FinishEarly => {
            pump.finish();
            if random.below(2) == 0 { drop(pump) } else { pump.drained().await }
        }
        End::Drop => drop(pump),
        _ => pump.drained().await,
    }
    stream.drained().await;
    assert_eq!(stream.memory(), 0);
    for (manner, seen) in &seen {
        let (got, flushed) = (seen.bytes(), seen.flushed());
        match manner {
            Manner::FailAfter(most) => assert!(got <= *most && got >= least.min(*most)),
            _ => assert!(got >= least && got <= all && flushed == got, "{end:?} {got} {least}"),
        }
        until(|| Arc::strong_count(seen) == 1).await;
        let failed = matches!(manner, Manner::FailAfter(_));
        assert!(seen.shutdowns() == 1 || failed, "{end:?}: shut down {}", seen.shutdowns());
    }
}

#[tokio::test]
async fn no_order_of_events_loses_a_byte_on_one_thread() {
    for seed in 0..300 {
        soon(one(seed)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_order_of_events_loses_a_byte_on_many_threads() {
    for seed in 300..600 {
        soon(async { tokio::spawn(one(seed)).await.unwrap() }).await;
    }
}
