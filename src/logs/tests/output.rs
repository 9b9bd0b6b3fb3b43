//! Delivery while the cell runs.

use std::error::Error as _;
use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use super::sinks::{Full, Manner, sink};
use super::{pipe_size, pump, settle, soon, stream, stuff, until};
use crate::contract::ErrorKind;
use crate::logs::ring::CAPACITY;

#[tokio::test]
async fn a_line_is_delivered_and_flushed_while_the_cell_goes_on() {
    soon(async {
        let (writer, seen) = sink(Manner::Take(usize::MAX));
        let (pump, cells) = pump(vec![writer]);
        let mut cells = File::from(cells);
        let mut at = 0;
        for length in [1, 80, 3000, 1, 200_000 % 65_536] {
            cells.write_all(&stream(at, length)).unwrap();
            at += length;
            until(|| seen.flushed() == at).await;
        }
        assert!(pump.failure().is_none());
    })
    .await;
}

#[tokio::test]
async fn an_idle_stream_has_no_buffer() {
    soon(async {
        let (writer, seen) = sink(Manner::Take(1000));
        let (pump, cells) = pump(vec![writer]);
        assert_eq!(pump.stream.memory(), 0);
        for round in 1..4 {
            File::from(cells.try_clone().unwrap())
                .write_all(&stream((round - 1) * 60_000, 60_000))
                .unwrap();
            until(|| seen.flushed() == round * 60_000).await;
            until(|| pump.stream.memory() == 0).await;
        }
    })
    .await;
}

#[tokio::test]
async fn two_writers_at_different_speeds_get_the_same_bytes() {
    soon(async {
        let (fast, fast_seen) = sink(Manner::Take(usize::MAX));
        let (slow, slow_seen) = sink(Manner::Seldom(1021, 3));
        let (pump, cells) = pump(vec![slow, fast]);
        let all = 2_000_003;
        let cell = std::thread::spawn(move || File::from(cells).write_all(&stream(0, all)));
        pump.drained().await;
        cell.join().unwrap().unwrap();
        assert_eq!((fast_seen.flushed(), slow_seen.flushed()), (all, all));
    })
    .await;
}

#[tokio::test]
async fn single_bytes_arrive_and_cost_no_more_than_the_bound() {
    soon(async {
        let (writer, seen) = sink(Manner::StuckAfter(3));
        let (pump, cells) = pump(vec![writer]);
        for at in 0..50_000 {
            rustix::io::write(&cells, &stream(at, 1)).unwrap();
            if at % 7 == 0 {
                tokio::task::yield_now().await;
            }
            assert!(pump.stream.memory() <= CAPACITY);
        }
        let polls = seen.polls.load(std::sync::atomic::Ordering::SeqCst);
        assert!(polls < 10, "a busy writer is not asked again for every byte: {polls}");
        seen.free();
        until(|| seen.flushed() == 50_000).await;
    })
    .await;
}

#[tokio::test]
async fn a_writer_that_takes_nothing_stops_the_cell_at_the_bound() {
    soon(async {
        let (stuck, seen) = sink(Manner::StuckAfter(0));
        let (quick, quick_seen) = sink(Manner::Take(usize::MAX));
        let (pump, cells) = pump(vec![stuck, quick]);
        let written = stuff(&cells, 0).await;
        assert_eq!(written, CAPACITY + pipe_size());
        assert_eq!(pump.stream.memory(), CAPACITY);
        assert_eq!(quick_seen.flushed(), CAPACITY, "it has all that there is");
        seen.free();
        drop(cells);
        pump.drained().await;
        assert_eq!((seen.flushed(), quick_seen.flushed()), (written, written));
        assert_eq!(pump.stream.memory(), 0);
    })
    .await;
}

/// What a writer's failure leaves: the rest is discarded, the other writer gets everything.
async fn fails(manner: Manner) -> crate::contract::Error {
    let (bad, bad_seen) = sink(manner);
    let (good, good_seen) = sink(Manner::Take(usize::MAX));
    let (alone, mut alone_cells) = {
        let (pump, cells) = pump(vec![sink(manner).0]);
        (pump, File::from(cells))
    };
    let (both, mut both_cells) = {
        let (pump, cells) = pump(vec![bad, good]);
        (pump, File::from(cells))
    };
    let all = 3 * CAPACITY;
    let cell = tokio::task::spawn_blocking(move || {
        alone_cells.write_all(&stream(0, all)).unwrap();
        both_cells.write_all(&stream(0, all)).unwrap();
    });
    cell.await.unwrap();
    alone.drained().await;
    both.drained().await;
    assert_eq!(good_seen.flushed(), all);
    assert_eq!(std::sync::Arc::strong_count(&bad_seen), 1, "the writer is gone");
    let error = both.failure().unwrap();
    assert_eq!(error.kind(), ErrorKind::Stream);
    assert_eq!(alone.failure().unwrap().to_string(), error.to_string());
    error
}

#[tokio::test]
async fn a_writer_that_fails_is_remembered_with_its_own_error() {
    let error = soon(fails(Manner::FailAfter(1024))).await;
    let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    assert_eq!(source.get_ref().unwrap().downcast_ref::<Full>(), Some(&Full(42)));
    assert_eq!(error.chain(), "writing standard output: full: 42");
}

#[tokio::test]
async fn a_flush_that_fails_is_a_failure_of_the_writer() {
    let error = soon(fails(Manner::FailingFlush)).await;
    assert_eq!(error.chain(), "writing standard output: full: 43");
}

#[tokio::test]
async fn a_shutdown_that_fails_is_a_failure_of_the_writer() {
    let error = soon(fails(Manner::FailingShutdown)).await;
    assert_eq!(error.chain(), "writing standard output: full: 44");
}

#[tokio::test]
async fn a_writer_that_takes_nothing_and_says_so_has_failed() {
    let error = soon(fails(Manner::NothingAfter(1024))).await;
    let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::WriteZero);
}

#[tokio::test]
async fn a_writer_that_panics_takes_nobody_with_it() {
    let error = soon(fails(Manner::PanicAfter(1024))).await;
    assert_eq!(error.to_string(), "a writer of standard output panicked");
}

#[tokio::test]
async fn without_writers_everything_is_discarded() {
    soon(async {
        let (pump, cells) = pump(Vec::new());
        let cell = tokio::task::spawn_blocking(move || {
            File::from(cells).write_all(&vec![0; 10 * CAPACITY]).unwrap();
        });
        cell.await.unwrap();
        pump.drained().await;
        assert_eq!(pump.stream.memory(), 0);
    })
    .await;
}

#[tokio::test]
async fn end_of_file_is_the_end_without_finish() {
    soon(async {
        let (writer, seen) = sink(Manner::Take(7));
        let (pump, cells) = pump(vec![writer]);
        File::from(cells).write_all(&stream(0, 1000)).unwrap();
        tokio::join!(pump.drained(), pump.drained());
        pump.drained().await;
        assert_eq!(seen.flushed(), 1000);
        assert_eq!(std::sync::Arc::strong_count(&seen), 1, "the writer is gone");
        pump.finish();
        pump.drained().await;
    })
    .await;
}

#[tokio::test]
async fn a_slow_stream_does_not_hold_up_the_other() {
    soon(async {
        let (stuck, stuck_seen) = sink(Manner::StuckAfter(0));
        let (quick, quick_seen) = sink(Manner::Take(usize::MAX));
        let (slow, errors) = pump(vec![stuck]);
        let (fast, output) = pump(vec![quick]);
        stuff(&errors, 0).await;
        let all = 4 * CAPACITY;
        let cell =
            tokio::task::spawn_blocking(move || File::from(output).write_all(&stream(0, all)));
        cell.await.unwrap().unwrap();
        fast.drained().await;
        assert_eq!((quick_seen.flushed(), stuck_seen.bytes()), (all, 0));
        let late = tokio::time::timeout(Duration::from_millis(20), slow.drained()).await;
        assert!(late.is_err());
        settle().await;
    })
    .await;
}
