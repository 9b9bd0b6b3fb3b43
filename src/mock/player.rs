//! The pretended task itself: reads, writes, sleeps, obeys signals and ends.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf, copy, duplex};
use tokio::time::{Instant, sleep_until, timeout};

use super::container::{Container, Core, Streams};
use super::play::End;
use super::pump::{GRACE, ROOM, pump};
use crate::contract::{
    Context, Error, ErrorKind, ExitInfo, Input, RunResult, Stat, State, Status, result_of,
};

const SIGKILL: i32 = 9;

/// Signals that end no process: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH. The mock doesn't
/// play job control.
const HARMLESS: [i32; 8] = [17, 18, 19, 20, 21, 22, 23, 28];

/// Something that comes to a task from outside.
enum Event {
    Halt(bool),
    Signal(i32),
}

/// Plays a task from its start to its end.
pub(super) async fn play(stage: Stage, streams: Streams) {
    let container = &*stage.container;
    let (stdout, stdout_pipe) = duplex(ROOM);
    let (stderr, stderr_pipe) = duplex(ROOM);
    let mut task = Box::pin(act(container, streams.stdin, stdout, stderr));
    let mut pumps = Box::pin(async {
        tokio::join!(
            pump(container, "standard output", stdout_pipe, streams.stdout),
            pump(container, "standard error", stderr_pipe, streams.stderr),
        );
    });
    let mut measuring = Box::pin(measure(container));
    let (mut pumped, mut measured, mut halted) = (false, false, false);
    let end = loop {
        tokio::select! {
            biased;
            event = container.until(next_event) => match event {
                Event::Halt(halt) => {
                    halted = halt;
                    container.change(|core| core.halted = halt);
                }
                Event::Signal(signal) => {
                    if let Some(end) = reaction(container, signal) {
                        break end;
                    }
                }
            },
            () = &mut pumps, if !pumped => pumped = true,
            () = &mut measuring, if !measured => measured = true,
            end = &mut task, if !halted => break end,
        }
    };
    // With it go its ends of the pipes.
    drop(task);
    stage.ended(&end);
    if !measured {
        // Once more, for what is due; whoever takes long over it isn't waited for.
        let _ = timeout(Duration::ZERO, &mut measuring).await;
    }
    drop(measuring);
    // Whoever has not taken everything by then gets the rest after the result.
    pumped = pumped || timeout(GRACE, &mut pumps).await.is_ok();
    stage.judged(end);
    if !pumped {
        pumps.await;
    }
}

/// What the task has to know next.
fn next_event(core: &mut Core) -> Option<Event> {
    if core.check_open().is_err() || core.signals.contains(&SIGKILL) {
        return Some(Event::Signal(SIGKILL));
    }
    let halt = core.state == State::Frozen;
    if halt != core.halted {
        return Some(Event::Halt(halt));
    }
    if halt { None } else { core.signals.pop_front().map(Event::Signal) }
}

/// How the task ends at a signal, if it does.
fn reaction(container: &Container, signal: i32) -> Option<End> {
    match container.play.reactions.get(&signal) {
        Some(own) if signal != SIGKILL => own.clone(),
        _ => (!HARMLESS.contains(&signal)).then_some(End::Signal(signal)),
    }
}

/// The task's own course.
async fn act(
    container: &Container,
    stdin: Option<Input>,
    mut stdout: DuplexStream,
    mut stderr: DuplexStream,
) -> End {
    let play = &container.play;
    let computed = container.look(|core| core.stdout.clone());
    // It can't fail: the other ends are read until these are closed.
    for text in [&play.stdout, &computed] {
        let _ = stdout.write_all(text).await;
    }
    let _ = stderr.write_all(&play.stderr).await;
    let read = match stdin {
        Some(mut stdin) if play.echo => copy(&mut stdin, &mut stdout).await.map(drop),
        Some(mut stdin) => glance(&mut stdin).await,
        None => Ok(()),
    };
    if let Err(error) = read {
        container.stream_failed("standard input can't be read", error);
    }
    match play.lasting {
        Some(time) => super::container::pause(time).await,
        None => std::future::pending().await,
    }
    play.end.clone()
}

/// What a reader says at once: a pipe takes something in whether the task reads it or not.
async fn glance(input: &mut Input) -> io::Result<()> {
    let mut byte = [0];
    let glance = |cx: &mut Poller<'_>| {
        let mut buffer = ReadBuf::new(&mut byte);
        match Pin::new(&mut *input).poll_read(cx, &mut buffer) {
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    };
    poll_fn(glance).await
}

/// Takes the measurements, one after the other.
async fn measure(container: &Container) {
    let began = Instant::now();
    let context = Context::from_token(container.measuring.clone());
    let series = async {
        for (after, metrics) in &container.play.stats {
            let Some(due) = began.checked_add(*after) else { return };
            if Instant::now() < due {
                sleep_until(due).await;
            }
            let stat = Stat { timestamp: SystemTime::now(), metrics: Some(metrics.clone()) };
            container.task.write_stat(&context, stat).await;
        }
    };
    // Either way there is no more to measure.
    let _ = container.measuring.run_until_cancelled(series).await;
}

/// Sees to it that a task which has begun has an end and a result, even if its runtime stops or
/// something of the embedder's panics.
pub(super) struct Stage {
    container: Arc<Container>,
    started_at: SystemTime,
}

impl Stage {
    /// For a task that begins now.
    pub(super) fn new(container: Arc<Container>) -> Stage {
        Stage { container, started_at: SystemTime::now() }
    }

    fn ended(&self, end: &End) {
        let exited = |code| ExitInfo::exited(code, self.started_at, SystemTime::now());
        let exit = match end {
            End::Code(code) => Some(exited(*code)),
            End::Signal(signal) => Some(exited(0).by_signal(*signal)),
            End::OutOfMemory => Some(exited(0).by_oom()),
            End::Lost(_) => None,
        };
        self.container.change(|core| {
            if core.alive() {
                core.state = State::Exited;
            }
            core.exit = exit;
        });
    }

    fn judged(&self, end: End) {
        self.container.change(|core| {
            let result = match (end, core.exit) {
                (End::Lost(error), _) => RunResult::failure(Status::Error, error),
                (_, Some(exit)) => {
                    let error = core.stream_error.take();
                    result_of(&exit, self.container.memory_limit_bytes, error)
                }
                (_, None) => RunResult::failure(Status::Error, lost()),
            };
            core.result = Some(result);
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.container.look(|core| core.result.is_none()) {
            let end = End::Lost(lost());
            self.ended(&end);
            self.judged(end);
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Host, "what played the task has stopped")
}
