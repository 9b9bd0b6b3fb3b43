//! Output of short and of long tasks, byte by byte.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll, ready};
use std::time::Duration;

use hotcell::contract::{Driver, Status, TaskBuilder};
use tokio::io::AsyncWrite;

use super::chance::{Chance, ends, rounds, say, share};
use crate::bed::Bed;
use crate::contract::tools::{Sink, command, driver, finished, on_runtime};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_8_no_byte_of_a_short_task_is_lost, Cells, Busybox),
        test!(row_11_every_byte_of_a_long_output_arrives, Cells, Busybox),
    ]
}

fn row_8_no_byte_of_a_short_task_is_lost(bed: &Bed) {
    on_runtime(async {
        let driver: Arc<dyn Driver> = Arc::new(driver(bed));
        let play = |number, chance| echo_round(Arc::clone(&driver), number, chance);
        let (mut bytes, mut most) = (0, 0);
        rounds("echo", 1000, play, |length| {
            bytes += length;
            most = length.max(most);
        })
        .await;
        say(format_args!("{bytes} bytes, all there; the longest output had {most}"));
        driver.close().await.unwrap();
    });
}

/// How many bytes it said.
async fn echo_round(driver: Arc<dyn Driver>, number: u64, mut chance: Chance) -> usize {
    let sink = Sink::default();
    let (task, expected) = match chance.below(4) {
        // More than a pipe and its buffer hold, and from both sides.
        0 => {
            let length = usize::try_from(chance.below(700_000)).unwrap();
            let payload = payload(length, number);
            (command("cat").input(io::Cursor::new(payload.clone())), payload)
        }
        // Written by a task that ends at once: what our own buffer (256 KiB) does not hold is in the
        // pipe then.
        1 => {
            let mut words =
                payload(230_000 + usize::try_from(chance.below(90_000)).unwrap(), number);
            // No argument may be longer than 128 KiB.
            words.iter_mut().skip(100_000).step_by(100_000).for_each(|byte| *byte = b' ');
            echo(&words)
        }
        _ => echo(&payload(2 + usize::try_from(chance.below(40)).unwrap(), number)),
    };
    // Some writers take nothing until the task has ended.
    let late = Duration::from_millis(if chance.coin() { 0 } else { chance.below(40) });
    let late = Late { sleep: Box::pin(tokio::time::sleep(late)), sink: sink.clone() };
    let result = ends("echo", finished(&*driver, task.stdout(late))).await;
    assert_eq!(result.status(), Status::Success, "{result:?}");
    let got = sink.bytes();
    let ends_of = |bytes: &[u8]| (bytes.len(), bytes.first().copied(), bytes.last().copied());
    assert_eq!(ends_of(&got), ends_of(&expected), "echo {number}");
    assert!(got == expected, "echo {number}: the bytes between differ");
    got.len()
}

fn echo(words: &[u8]) -> (TaskBuilder, Vec<u8>) {
    let words = String::from_utf8(words.to_vec()).unwrap();
    (command(&format!("echo {words}")), format!("{words}\n").into_bytes())
}

/// Letters whose first is `<` and whose last is `>`; those between depend on place and `number`.
fn payload(length: usize, number: u64) -> Vec<u8> {
    let mut chance = Chance::of(number);
    let letter = |_| b'a' + u8::try_from(chance.below(26)).unwrap();
    let between: Vec<u8> = (0..length).map(letter).collect();
    [b"<", &between[..], b">"].concat()
}

/// Takes nothing before its time.
struct Late {
    sleep: Pin<Box<tokio::time::Sleep>>,
    sink: Sink,
}

impl AsyncWrite for Late {
    fn poll_write(
        mut self: Pin<&mut Self>,
        poller: &mut Poller,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.sleep.is_elapsed() {
            ready!(self.sleep.as_mut().poll(poller));
        }
        Pin::new(&mut self.sink).poll_write(poller, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Poller) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Poller) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Compares what it is given with the numbers from 1 on, a line each, and takes what it likes.
#[derive(Clone)]
struct Counted(Arc<Mutex<Counting>>);

struct Counting {
    bytes: u64,
    next: u64,
    /// What is left of the line before `next`.
    line: Vec<u8>,
    chance: Chance,
}

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        poller: &mut Poller,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock().unwrap();
        if state.chance.below(50) == 0 {
            poller.waker().wake_by_ref();
            return Poll::Pending;
        }
        let most = 1 + usize::try_from(state.chance.below(bytes.len() as u64)).unwrap();
        for byte in &bytes[..most] {
            if state.line.is_empty() {
                state.line = format!("{}\n", state.next).into_bytes();
                state.line.reverse();
                state.next += 1;
            }
            if state.line.pop() != Some(*byte) {
                let at = state.bytes;
                return Poll::Ready(Err(io::Error::other(format!("byte {at} is wrong"))));
            }
            state.bytes += 1;
        }
        Poll::Ready(Ok(most))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Poller) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Poller) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn row_11_every_byte_of_a_long_output_arrives(bed: &Bed) {
    // 1 to 12,500,000 have 101,388,896 bytes with their line ends.
    let (last, start) = (share(12_500_000), std::time::Instant::now());
    let expected: u64 = (1..=last).map(|n| u64::from(n.ilog10()) + 2).sum();
    on_runtime(async {
        let driver = driver(bed);
        let counting = Counting { bytes: 0, next: 1, line: Vec::new(), chance: Chance::of(last) };
        let counted = Counted(Arc::new(Mutex::new(counting)));
        let task = command(&format!("seq 1 {last}")).stdout(counted.clone());
        let result = finished(&driver, task).await;
        assert_eq!(result.status(), Status::Success, "{result:?}");
        assert_eq!(counted.0.lock().unwrap().bytes, expected);
        driver.close().await.unwrap();
    });
    let seconds = start.elapsed().as_secs_f64();
    say(format_args!("stdout: {expected} bytes, each compared, in {seconds:.1} s"));
}
