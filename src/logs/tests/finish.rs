//! The end of the cell, of the handle, and of the patience with writers.

use std::error::Error as _;
use std::fs::File;
use std::future::Future;
use std::io::{self, Write};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::time::Instant;

use super::sinks::{Manner, sink};
use super::{pipe_size, pump, settle, soon, stream, stuff, until};
use crate::contract::ErrorKind;
use crate::logs::Pump;
use crate::logs::deliver::PATIENCE;
use crate::logs::pump::LAST;
use crate::logs::ring::CAPACITY;

fn is_ready(work: impl Future) -> bool {
    let work = std::pin::pin!(work);
    work.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Whether the pump's end of this pipe is closed.
fn is_closed(cells: impl std::os::fd::AsFd) -> bool {
    rustix::io::write(cells, b"x") == Err(Errno::PIPE)
}

#[tokio::test]
async fn finish_delivers_what_a_pump_that_never_ran_finds_in_the_pipe() {
    soon(async {
        let (writer, seen) = sink(Manner::Take(usize::MAX));
        let (pump, cells) = pump(vec![writer]);
        rustix::io::write(&cells, &stream(0, 65_536)).unwrap();
        pump.finish();
        drop(pump);
        until(|| Arc::strong_count(&seen) == 1).await;
        assert_eq!(seen.flushed(), 65_536);
        assert!(is_closed(&cells), "somebody holds the other end, and is not waited for");
    })
    .await;
}

#[tokio::test]
async fn finish_takes_what_tokio_has_not_yet_heard_of() {
    soon(async {
        for at in 0..300 {
            let (writer, seen) = sink(Manner::Take(usize::MAX));
            let (pump, cells) = pump(vec![writer]);
            for _ in 0..at % 5 {
                tokio::task::yield_now().await;
            }
            rustix::io::write(&cells, &stream(0, 100)).unwrap();
            pump.finish();
            pump.drained().await;
            assert_eq!(seen.flushed(), 100);
        }
    })
    .await;
}

#[tokio::test]
async fn a_slow_writer_gets_its_bytes_after_the_end() {
    soon(async {
        let (stuck, seen) = sink(Manner::StuckAfter(10));
        let (pump, cells) = pump(vec![stuck]);
        let written = stuff(&cells, 0).await;
        pump.finish();
        until(|| is_closed(&cells)).await;
        assert!(!is_ready(pump.drained()));
        assert!(pump.stream.memory() <= CAPACITY + LAST);
        let stream = Arc::clone(&pump.stream);
        drop(pump);
        assert_eq!(seen.bytes(), 10);
        seen.free();
        stream.drained().await;
        assert_eq!((seen.flushed(), written), (written, CAPACITY + pipe_size()));
        assert_eq!(stream.memory(), 0);
    })
    .await;
}

#[tokio::test]
async fn finish_takes_all_of_the_largest_pipe() {
    soon(async {
        let (stuck, seen) = sink(Manner::StuckAfter(0));
        let (ours, cells) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let Ok(size) = fcntl_setpipe_size(&cells, 1 << 20) else { return };
        let pump = Pump::start(ours, "standard output", vec![stuck]).unwrap();
        let written = stuff(&cells, 0).await;
        assert_eq!(written, CAPACITY + size);
        pump.finish();
        seen.free();
        pump.drained().await;
        assert_eq!(seen.flushed(), written);
    })
    .await;
}

#[tokio::test]
async fn whoever_goes_on_writing_after_the_end_is_cut_off() {
    soon(async {
        let (stuck, seen) = sink(Manner::StuckAfter(0));
        let (ours, cells) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        // As good as a process that writes faster than it is read. Takes a privilege.
        let Ok(_) = fcntl_setpipe_size(&cells, 2 << 20) else { return };
        let pump = Pump::start(ours, "standard output", vec![stuck]).unwrap();
        assert_eq!(stuff(&cells, 0).await, CAPACITY + (2 << 20));
        pump.finish();
        until(|| is_closed(&cells)).await;
        assert_eq!(pump.stream.memory(), CAPACITY + LAST);
        seen.free();
        pump.drained().await;
        assert_eq!(seen.flushed(), CAPACITY + LAST);
    })
    .await;
}

#[tokio::test]
async fn a_handle_dropped_without_finish_closes_the_pipe_and_delivers_the_ring() {
    soon(async {
        let (stuck, seen) = sink(Manner::StuckAfter(0));
        let (pump, cells) = pump(vec![stuck]);
        stuff(&cells, 0).await;
        drop(pump);
        until(|| is_closed(&cells)).await;
        seen.free();
        until(|| Arc::strong_count(&seen) == 1).await;
        assert_eq!(seen.flushed(), CAPACITY);
    })
    .await;
}

#[tokio::test]
async fn drained_may_be_dropped_and_asked_again_by_many() {
    soon(async {
        let (stuck, seen) = sink(Manner::StuckAfter(0));
        let (pump, cells) = pump(vec![stuck]);
        let pump = Arc::new(pump);
        rustix::io::write(&cells, &stream(0, 1)).unwrap();
        pump.finish();
        for _ in 0..3 {
            let short = tokio::time::timeout(Duration::from_millis(5), pump.drained());
            assert!(short.await.is_err());
        }
        let callers: Vec<_> = (0..5)
            .map(|_| Arc::clone(&pump))
            .map(|pump| tokio::spawn(async move { pump.drained().await }))
            .collect();
        settle().await;
        seen.free();
        for caller in callers {
            caller.await.unwrap();
        }
        assert!(is_ready(pump.drained()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_stands_still_after_the_end_is_given_up() {
    soon(async {
        let (stuck, seen) = sink(Manner::StuckAfter(5));
        let (pump, mut cells) = {
            let (pump, cells) = pump(vec![stuck]);
            (pump, File::from(cells))
        };
        cells.write_all(&stream(0, 100)).unwrap();
        until(|| seen.bytes() == 5).await;
        tokio::time::sleep(3 * PATIENCE).await;
        assert_eq!(Arc::strong_count(&seen), 2, "as long as the cell runs, a writer may wait");
        let end = Instant::now();
        pump.finish();
        pump.drained().await;
        let (late, bound) = (end.elapsed(), PATIENCE + Duration::from_millis(10));
        assert!(late >= PATIENCE && late <= bound, "{late:?}");
        assert_eq!(Arc::strong_count(&seen), 1, "the writer is gone");
        let error = pump.failure().unwrap();
        let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!((error.kind(), source.kind()), (ErrorKind::Stream, io::ErrorKind::TimedOut));
        assert_eq!(pump.stream.memory(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_writer_is_shut_down_once_however_its_stream_ends() {
    soon(async {
        for end in 0..3 {
            let (writer, seen) = sink(Manner::Take(usize::MAX));
            let (pump, cells) = pump(vec![writer]);
            rustix::io::write(&cells, &stream(0, 100 * end)).unwrap();
            settle().await;
            assert_eq!(seen.shutdowns(), 0, "the cell may write more");
            match end {
                0 => drop(cells),
                1 => pump.finish(),
                _ => drop(pump),
            }
            until(|| Arc::strong_count(&seen) == 1).await;
            assert_eq!((seen.shutdowns(), seen.bytes()), (1, 100 * end));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_never_ends_is_given_up_and_one_that_does_is_waited_for() {
    soon(async {
        for freed in [false, true] {
            let (stuck, seen) = sink(Manner::StuckShutdown);
            let (pump, cells) = pump(vec![stuck]);
            rustix::io::write(&cells, &stream(0, 100)).unwrap();
            until(|| seen.flushed() == 100).await;
            pump.finish();
            assert!(tokio::time::timeout(PATIENCE / 2, pump.drained()).await.is_err());
            if freed {
                seen.free();
            }
            pump.drained().await;
            assert_eq!(seen.shutdowns(), usize::from(freed));
            let kind = pump.failure().map(|error| error.kind());
            assert_eq!(kind, (!freed).then_some(ErrorKind::Stream));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_patience_starts_anew_with_every_bit_of_progress() {
    soon(async {
        let (mut reads, writes) = tokio::io::duplex(1);
        let (pump, cells) = pump(vec![Box::new(writes)]);
        rustix::io::write(&cells, &stream(0, 6)).unwrap();
        drop(cells);
        let slow = tokio::spawn(async move {
            let mut got = Vec::new();
            loop {
                tokio::time::sleep(PATIENCE * 9 / 10).await;
                match tokio::io::AsyncReadExt::read_u8(&mut reads).await {
                    Ok(byte) => got.push(byte),
                    Err(_) => return got,
                }
            }
        });
        pump.drained().await;
        assert!(pump.failure().is_none());
        assert_eq!(slow.await.unwrap(), stream(0, 6));
    })
    .await;
}

#[test]
fn a_runtime_that_ends_leaves_nobody_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (stuck, seen) = sink(Manner::StuckAfter(0));
    let (pump, cells) = runtime.block_on(async { pump(vec![stuck]) });
    drop(runtime);
    assert!(is_ready(pump.drained()) && is_closed(&cells));
    assert_eq!(Arc::strong_count(&seen), 1);
    pump.finish();
}

#[test]
fn outside_a_runtime_there_is_an_error() {
    let (ours, _cells) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    assert!(Pump::start(ours, "standard output", Vec::new()).is_err());
}
