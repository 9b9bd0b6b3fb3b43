//! Carrying what a pretended task writes to where it goes, as a real driver does.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, sink};
use tokio::time::sleep;

use super::container::Container;
use crate::contract::Output;

/// How much a task can write before it has to wait for its writer: 256 KiB and a pipe.
pub(super) const ROOM: usize = (256 << 10) + (64 << 10);

/// How long a task's result waits for its writers. They go on after it.
pub(super) const GRACE: Duration = Duration::from_millis(100);

/// How long one write may make no progress once the task has ended.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What is carried at a time.
const BUFFER: usize = 8 << 10;

/// Carries what the task writes until the task closes its end, then shuts the writer down. The task
/// doesn't notice if that fails.
pub(super) async fn pump(
    container: &Container,
    name: &str,
    mut pipe: DuplexStream,
    output: Option<Output>,
) {
    if let Some(output) = output
        && let Err(error) = carry(container, &mut pipe, output).await
    {
        container.stream_failed(&format!("{name} can't be written"), error);
    }
    // Neither a pipe's end nor the sink can fail.
    let _ = copy(&mut pipe, &mut sink()).await;
}

/// Ends with the writer gone.
async fn carry(
    container: &Container,
    pipe: &mut DuplexStream,
    mut output: Output,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = pipe.read(&mut buffer).await?;
        let mut left = &buffer[..count];
        if left.is_empty() {
            return patiently(container, output.shutdown()).await;
        }
        while !left.is_empty() {
            match patiently(container, output.write(left)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                taken => left = left.get(taken..).unwrap_or_default(),
            }
        }
        patiently(container, output.flush()).await?;
    }
}

/// Waits as long as the task runs, and from then on for [`PATIENCE`].
async fn patiently<T>(
    container: &Container,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let patience = async {
        container.until(|core| (!core.alive()).then_some(())).await;
        sleep(PATIENCE).await;
    };
    tokio::select! {
        biased;
        done = work => done,
        () = patience => Err(io::ErrorKind::TimedOut.into()),
    }
}
