//! The pumps against real pipes, with writers and readers of every kind.

mod feed;
mod finish;
mod output;
mod random;
mod sinks;
mod throughput;

use std::future::Future;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, pipe_with};

use super::Pump;
use super::pipes::{Owner, output_pipe};
use crate::contract::Output;

/// Whoever runs the tests.
fn me() -> Owner {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

/// A pump with these writers, and the cell's end of its pipe.
fn pump(writers: Vec<Output>) -> (Pump, OwnedFd) {
    let (ours, cells) = output_pipe(me()).unwrap();
    (Pump::start(ours, "standard output", writers).unwrap(), cells)
}

/// Waits at most this long in real time, also when tokio's clock is paused.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    let (armed, disarmed) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        if disarmed
            .recv_timeout(Duration::from_secs(60))
            .is_err_and(|end| end == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            // Nothing can be polled any more if the only thread is stuck.
            eprintln!("a test takes for ever");
            std::process::abort();
        }
    });
    let done = work.await;
    drop(armed);
    done
}

/// Waits until `state` is so. Takes no time by tokio's clock.
async fn until(mut state: impl FnMut() -> bool) {
    while !state() {
        tokio::task::yield_now().await;
    }
}

/// Lets everything happen that can happen without time passing.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// A piece of the test stream: no two pieces of it look the same.
fn stream(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(byte).collect()
}

fn byte(at: usize) -> u8 {
    ((at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// Writes to a pipe until it takes no more for a while; says how much that was.
async fn stuff(pipe: &OwnedFd, mut at: usize) -> usize {
    rustix::fs::fcntl_setfl(pipe, rustix::fs::OFlags::NONBLOCK).unwrap();
    let mut tries = 0;
    while tries < 200 {
        match rustix::io::write(pipe, &stream(at, 4096)) {
            Ok(count) => {
                at += count;
                tries = 0;
            }
            Err(Errno::AGAIN) => {
                tries += 1;
                tokio::task::yield_now().await;
            }
            Err(errno) => panic!("{errno}"),
        }
    }
    at
}

/// What a pipe holds.
fn pipe_size() -> usize {
    fcntl_getpipe_size(pipe_with(PipeFlags::CLOEXEC).unwrap().0).unwrap()
}
