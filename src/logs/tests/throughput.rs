//! A lot of bytes: all of them arrive, and fast.

use std::fs::File;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::AsyncWrite;

use super::{pump, soon, stream};

/// The test stream of these tests, over and over; a prime, so that no buffer's size divides it.
const PERIOD: usize = 1_000_003;

/// A writer that compares what it gets with the test stream.
struct Check {
    expected: Arc<Vec<u8>>,
    at: usize,
    odd: bool,
    total: Arc<Mutex<usize>>,
}

impl AsyncWrite for Check {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = if self.odd { 1 + self.at * 31 % 70_001 } else { usize::MAX };
        let expected = &self.expected[self.at..];
        let count = bytes.len().min(most).min(expected.len());
        assert!(bytes[..count] == expected[..count]);
        self.at = (self.at + count) % PERIOD;
        *self.total.lock().unwrap() += count;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Sends so many bytes through a pump in writes of odd sizes; gives megabytes in a second.
async fn run(bytes: usize, odd: bool, writers: usize) -> f64 {
    let expected = Arc::new(stream(0, PERIOD));
    let totals: Vec<_> = (0..writers).map(|_| Arc::new(Mutex::new(0))).collect();
    let checks = totals.iter().map(|total| {
        let (expected, total) = (Arc::clone(&expected), Arc::clone(total));
        Box::new(Check { expected, at: 0, odd, total }) as _
    });
    let (pump, cells) = pump(checks.collect());
    let start = Instant::now();
    let cell = std::thread::spawn(move || {
        let mut cells = File::from(cells);
        let mut sent = 0;
        while sent < bytes {
            let at = sent % PERIOD;
            let most = if odd { 1 + sent * 17 % 99_991 } else { 64 << 10 };
            let count = most.min(PERIOD - at).min(bytes - sent);
            cells.write_all(&expected[at..at + count]).unwrap();
            sent += count;
        }
    });
    pump.drained().await;
    let elapsed = start.elapsed();
    cell.join().unwrap();
    assert!(totals.iter().all(|total| *total.lock().unwrap() == bytes));
    bytes as f64 / 1e6 / elapsed.as_secs_f64()
}

/// A build without optimization is given less.
const LOT: usize = if cfg!(debug_assertions) { 10_000_000 } else { 100_000_000 };

#[tokio::test]
async fn a_hundred_megabytes_arrive_byte_for_byte_on_one_thread() {
    soon(run(LOT, true, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_megabytes_arrive_byte_for_byte_on_many_threads() {
    soon(run(LOT, true, 2)).await;
}

#[test]
#[ignore = "a measurement"]
fn measure_throughput() {
    for (name, threads) in [("one thread", 0), ("four threads", 4)] {
        let mut builder = match threads {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder.enable_all().build().unwrap();
        for writers in [0, 1, 2] {
            let mut speeds: Vec<f64> =
                (0..9).map(|_| runtime.block_on(run(500_000_000, false, writers))).collect();
            speeds.sort_by(f64::total_cmp);
            println!("{name}, {writers} writers: {:.0} MB/s", speeds[4]);
        }
    }
}
