//! Standard input, output and error: every byte, in order, each stream for itself.

use std::time::{Duration, Instant};

use hotcell::contract::{State, Status};
use tokio::io::{AsyncReadExt, BufWriter};

use super::tools::{
    PATIENCE, Sink, background, command, driver, finished, on_runtime, open_dir, output, reaches,
    shell, started,
};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_8_the_first_byte_is_never_lost, Cells, Busybox),
        test!(row_10_the_input_is_read_to_its_end, Cells, Busybox),
        test!(row_10_without_input_the_end_comes_at_once, Cells, Busybox),
        test!(row_10_ten_megabytes_in_and_out, Cells, Busybox),
        test!(row_10_input_that_nobody_reads_holds_nothing_up, Cells, Busybox),
        test!(row_11_stdout_and_stderr_are_separate_and_each_may_be_left_out, Cells, Busybox),
        test!(row_11_twenty_megabytes_are_exact, Cells, Busybox),
        test!(row_11_a_slow_stderr_does_not_stop_stdout, Cells, Busybox),
        test!(row_11_what_the_pipe_still_holds_at_the_end_is_read, Cells, Busybox),
        test!(row_11_a_writer_is_flushed_as_it_goes, Cells, Busybox),
        test!(row_11_what_is_written_last_is_there, Cells, Busybox),
    ]
}

/// What a slow writer leaves to the driver: 256 KiB of its own and 64 KiB in the pipe. The task is
/// held up when it has written that much more than the writer took.
const LIMIT: usize = (256 + 64) << 10;

/// Bytes without a pattern that a mistake could repeat.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..count.div_ceil(8)).flat_map(|_| next()).take(count).collect()
}

fn row_8_the_first_byte_is_never_lost(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for round in 0..50 {
            let (result, out, err) = output(&driver, command(&format!("echo {round}"))).await;
            assert_eq!(result.status(), Status::Success, "{result:?}");
            assert_eq!((out, err), (format!("{round}\n"), String::new()));
        }
    });
}

fn row_10_the_input_is_read_to_its_end(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for text in [&b""[..], b"x", b"two\nlines", b"\0\xff"] {
            let out = Sink::default();
            let task = command("cat").input(text).stdout(out.clone());
            assert_eq!(finished(&driver, task).await.status(), Status::Success);
            assert_eq!(out.bytes(), text);
        }
    });
}

fn row_10_without_input_the_end_comes_at_once(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (result, out, err) = output(&driver, command("cat")).await;
        assert_eq!(result.status(), Status::Success);
        assert_eq!((out, err), (String::new(), String::new()));
        let (_, out, _) = output(&driver, command("readlink /proc/self/fd/0")).await;
        assert_eq!(out, "/dev/null\n");
    });
}

fn row_10_ten_megabytes_in_and_out(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let bytes = noise(10 << 20);
        let out = Sink::default();
        let task = command("cat").input(std::io::Cursor::new(bytes.clone())).stdout(out.clone());
        assert_eq!(finished(&driver, task).await.status(), Status::Success);
        let took = out.bytes();
        assert!(took == bytes, "{} bytes, not those that went in", took.len());
    });
}

fn row_10_input_that_nobody_reads_holds_nothing_up(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        // One reader always has more, the other never has anything.
        let (_keeps_open, silent) = tokio::io::duplex(1);
        for task in [
            command("usleep 200000").input(tokio::io::repeat(7)),
            command("usleep 200000").input(silent),
            command("head -c 1").input(tokio::io::repeat(7)),
        ] {
            let start = Instant::now();
            assert_eq!(finished(&driver, task).await.status(), Status::Success);
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        }
        // The embedder's reader is let go of, whoever still holds on to the result.
        let (mut other_end, reader) = tokio::io::duplex(1);
        let (cookie, wait) = started(&driver, command("true").input(reader)).await;
        assert_eq!(wait.wait(&background()).await.status(), Status::Success);
        cookie.close(&background()).await.unwrap();
        let gone = tokio::time::timeout(PATIENCE, other_end.read_u8()).await.unwrap();
        assert!(gone.is_err(), "it is still there");
        drop(wait);
    });
}

fn row_11_stdout_and_stderr_are_separate_and_each_may_be_left_out(bed: &Bed) {
    const BOTH: &str = "echo out; echo err >&2; echo out; echo err >&2";
    on_runtime(async {
        let driver = driver(bed);
        let (_, out, err) = output(&driver, shell(BOTH)).await;
        assert_eq!((out.as_str(), err.as_str()), ("out\nout\n", "err\nerr\n"));
        let (out, err) = (Sink::default(), Sink::default());
        finished(&driver, shell(BOTH).stdout(out.clone())).await;
        finished(&driver, shell(BOTH).stderr(err.clone())).await;
        assert_eq!((out.text().as_str(), err.text().as_str()), ("out\nout\n", "err\nerr\n"));
        // Discarded in the cell itself: no pipe, nothing to fill.
        let flood = "sleep 60 & readlink /proc/$!/fd/1 >&2; head -c 50000000 /dev/zero; exit $?";
        let err = Sink::default();
        let result = finished(&driver, shell(flood).stderr(err.clone())).await;
        assert_eq!((result.status(), err.text().as_str()), (Status::Success, "/dev/null\n"));
    });
}

fn row_11_twenty_megabytes_are_exact(bed: &Bed) {
    let dir = open_dir(bed, "data-volume");
    on_runtime(async {
        let driver = driver(bed);
        let script = "head -c 20000000 /dev/urandom > /data/bytes; cat /data/bytes
            sha256sum < /data/bytes >&2";
        let (out, err) = (Sink::default(), Sink::default());
        let task = shell(script).volume(&dir, "/data").stdout(out.clone()).stderr(err.clone());
        assert_eq!(finished(&driver, task).await.status(), Status::Success);
        let written = std::fs::read(format!("{dir}/bytes")).unwrap();
        assert_eq!(written.len(), 20_000_000);
        assert!(out.bytes() == written, "{} bytes, not those it wrote", out.bytes().len());
        // The cell's own checksum of what it wrote, and another cell's of what we got.
        let again = command("sha256sum").input(std::io::Cursor::new(out.bytes()));
        assert_eq!(output(&driver, again).await.1, err.text());
    });
}

fn row_11_a_slow_stderr_does_not_stop_stdout(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        // A writer that takes 64 KiB and then nothing until somebody reads.
        let (mut reader, slow) = tokio::io::duplex(64 << 10);
        let out = Sink::default();
        let script = format!(
            "head -c {LIMIT} /dev/zero >&2; echo first
            (head -c 1000000 /dev/zero >&2; echo last) & head -c 3000000 /dev/zero | tr '\\0' x
            echo; echo second; wait"
        );
        let task = shell(&script).stdout(out.clone()).stderr(slow);
        let (cookie, wait) = started(&driver, task).await;
        out.has("first").await;
        out.has("second").await;
        // What is beyond the limit waits for the writer: nothing is thrown away.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!out.text().contains("last"), "more than the limit was taken");
        assert_eq!(out.bytes().iter().filter(|byte| **byte == b'x').count(), 3_000_000);
        let (forever, mut err) = (background(), Vec::new());
        let (result, read) = tokio::join!(wait.wait(&forever), reader.read_to_end(&mut err));
        assert_eq!((result.status(), read.unwrap()), (Status::Success, LIMIT + 1_000_000));
        assert!(out.text().contains("last"));
        cookie.close(&background()).await.unwrap();
    });
}

fn row_11_what_the_pipe_still_holds_at_the_end_is_read(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (mut reader, slow) = tokio::io::duplex(64 << 10);
        let all = LIMIT + (64 << 10);
        let task = command(&format!("head -c {all} /dev/zero")).stdout(slow);
        let (cookie, wait) = started(&driver, task).await;
        assert_eq!(wait.wait(&background()).await.status(), Status::Success);
        cookie.close(&background()).await.unwrap();
        // Only now does the writer get to work: the pipe is long gone, its bytes are not.
        let mut out = Vec::new();
        assert_eq!(reader.read_to_end(&mut out).await.unwrap(), all);
    });
}

fn row_11_a_writer_is_flushed_as_it_goes(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let out = Sink::default();
        let buffered = BufWriter::with_capacity(1 << 20, out.clone());
        let script = "printf one; usleep 500000; printf two; usleep 100000000";
        let (cookie, _wait) = started(&driver, shell(script).stdout(buffered)).await;
        out.has("one").await;
        out.has("two").await;
        cookie.close(&background()).await.unwrap();
        let out = Sink::default();
        let buffered = BufWriter::with_capacity(1 << 20, out.clone());
        let result = finished(&driver, command("echo last words").stdout(buffered)).await;
        assert_eq!((result.status(), out.text().as_str()), (Status::Success, "last words\n"));
    });
}

fn row_11_what_is_written_last_is_there(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for _ in 0..30 {
            // As much as a pipe holds, and the end at once.
            let out = Sink::default();
            let task = command("head -c 65536 /dev/zero").stdout(out.clone());
            let result = finished(&driver, task).await;
            assert_eq!((result.status(), out.bytes().len()), (Status::Success, 65536));
        }
        // Killed with its output in the pipe, which nobody has read by then.
        let out = Sink::default();
        let task = shell("echo dying words; kill -9 $$").stdout(out.clone());
        let (cookie, wait) = started(&driver, task).await;
        reaches(&*cookie, State::Exited).await;
        cookie.close(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Killed);
        assert_eq!(out.text(), "dying words\n");
    });
}
