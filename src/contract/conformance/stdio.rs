//! The task's streams.

use std::error::Error as _;
use std::io;

use tokio::io::{AsyncWriteExt, duplex};

use super::scene::{During, Scene, ensure, told};
use super::streams::{Broken, BrokenAtTheEnd, Capture, Marked, Stuck};
use super::{Harness, Reason, Verdict, Work};
use crate::contract::{Error, ErrorKind, RunResult, Status};

const OUT: &str = "to-standard-output";
const ERR: &str = "to-standard-error";
const SAY: Work = Work::Say { stdout: OUT, stderr: ERR };

/// The task reads what it is given and then the end of file; all it writes is there when the wait
/// returns.
pub async fn the_task_reads_to_the_end_and_is_heard(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let output = Capture::default();
    let task = scene.task(Work::Echo).input(&b"one\ntwo\0\xff"[..]).stdout(output.clone());
    told(&scene.outcome(task).await?, Status::Success, None)?;
    let seen = output.flushed();
    ensure!(seen == b"one\ntwo\0\xff", "the task echoed {seen:?}");
    scene.finish().await
}

/// What is written arrives at once, in both directions, not only at the end.
pub async fn the_streams_are_live_while_the_task_runs(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let output = Capture::default();
    let (input, mut keys) = duplex(64);
    let task = scene.task(Work::Echo).input(input).stdout(output.clone());
    let running = scene.running(task).await?;
    for (number, word) in ["first", "second"].into_iter().enumerate() {
        let typed = keys.write_all(word.as_bytes()).await;
        typed.map_err(|error| Reason::new(format!("the input isn't read: {error}")))?;
        output.until(["first".len(), "firstsecond".len()][number]).await?;
    }
    drop(keys);
    told(&running.result().await, Status::Success, None)?;
    ensure!(output.flushed() == b"firstsecond", "the task echoed {:?}", output.flushed());
    scene.close(&*running.cookie).await?;
    scene.finish().await
}

/// More than fits into any pipe.
pub async fn a_lot_of_data_arrives_whole(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    // 251 is prime: a block that is lost or doubled is seen.
    let data: Vec<u8> = (0..1u32 << 20).map(|number| (number % 251) as u8).collect();
    let output = Capture::default();
    let input = io::Cursor::new(data.clone());
    let task = scene.task(Work::Echo).input(input).stdout(output.clone());
    told(&scene.outcome(task).await?, Status::Success, None)?;
    let seen = output.flushed();
    let same = seen.iter().zip(&data).take_while(|(seen, sent)| seen == sent).count();
    let (seen, sent) = (seen.len(), data.len());
    ensure!(seen == sent && same == sent, "of {sent} bytes {seen} arrived, {same} of them right");
    scene.finish().await
}

/// Standard output and standard error go where each should, to the byte.
pub async fn the_two_outputs_are_kept_apart(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let (stdout, stderr) = (Capture::default(), Capture::default());
    let task = scene.task(SAY).stdout(stdout.clone()).stderr(stderr.clone());
    told(&scene.outcome(task).await?, Status::Success, None)?;
    for (name, output, wanted) in [("output", stdout, OUT), ("error", stderr, ERR)] {
        let seen = String::from_utf8_lossy(&output.flushed()).into_owned();
        ensure!(seen == wanted, "standard {name} has {seen:?}, not {wanted:?}");
    }
    scene.finish().await
}

/// Without streams the task reads the end of file and writes to nowhere.
pub async fn no_streams_are_no_trouble(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    for work in [Work::Echo, SAY] {
        told(&scene.outcome(scene.task(work)).await?, Status::Success, None)?;
    }
    scene.finish().await
}

/// The result is a failed stream, and its source is the stream's own error.
fn told_as(result: &RunResult, mark: Marked) -> Verdict {
    told(result, Status::Error, Some(ErrorKind::Stream))?;
    let source = result.error().and_then(Error::source);
    let own = source.and_then(|error| error.downcast_ref::<io::Error>());
    let seen = own.and_then(io::Error::get_ref).and_then(|error| error.downcast_ref());
    let chain = result.error().map(Error::chain).unwrap_or_default();
    ensure!(seen == Some(&mark), "the source isn't the stream's error, but: {chain}");
    Ok(())
}

/// A writer that fails makes the result an error, with the writer's own error as its source.
pub async fn a_writer_that_fails_is_the_result(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let task = scene.task(SAY).stdout(Broken(Marked(1)));
    told_as(&scene.outcome(task).await?, Marked(1))?;
    let task = scene.task(SAY).stdout(Capture::default()).stderr(Broken(Marked(2)));
    told_as(&scene.outcome(task).await?, Marked(2))?;
    scene.finish().await
}

/// A reader that fails does too.
pub async fn a_reader_that_fails_is_the_result(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let task = scene.task(Work::Echo).input(Broken(Marked(3)));
    told_as(&scene.outcome(task).await?, Marked(3))?;
    scene.finish().await
}

/// At the task's end each writer is shut down, because nobody else can do it; that too can fail.
pub async fn a_writer_is_shut_down_at_the_end(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let (stdout, stderr) = (Capture::default(), Capture::default());
    let task = scene.task(SAY).stdout(stdout.clone()).stderr(stderr.clone());
    told(&scene.outcome(task).await?, Status::Success, None)?;
    for (name, output) in [("output", stdout), ("error", stderr)] {
        let seen = output.shutdowns();
        ensure!(seen == 1, "the writer of standard {name} was shut down {seen} times");
    }
    let task = scene.task(SAY).stderr(BrokenAtTheEnd(Marked(4)));
    told_as(&scene.outcome(task).await?, Marked(4))?;
    scene.finish().await
}

/// A writer that never takes anything holds up neither a wait after the task's end nor a close, and
/// the result is the task's own.
pub async fn a_writer_that_never_writes_does_not_hang_a_wait(harness: &dyn Harness) -> Verdict {
    let scene = Scene::open(harness).await?;
    let running = scene.running(scene.task(SAY).stdout(Stuck)).await?;
    told(&running.result().await, Status::Success, None)?;
    scene.close(&*running.cookie).await?;

    let running = scene.running(scene.task(SAY).stdout(Stuck)).await?;
    running.cookie.close(&scene.context).await.during("close")?;
    scene.finish().await
}
