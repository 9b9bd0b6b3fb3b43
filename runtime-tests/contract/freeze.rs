//! Freezing and thawing: what stands still, what is kept, what is refused, what it races with.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hotcell::contract::{ErrorKind, State, Status};

use super::tools::{
    PATIENCE, Sink, background, cells, command, dead, driver, on_runtime, open_dir, python,
    reaches, shell, started,
};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_24_a_frozen_container_closes_without_a_thaw, Cells, Busybox),
        test!(row_27_a_frozen_task_stands_still_and_keeps_what_it_has, Cells, Busybox),
        test!(row_28_freezing_twice_or_thawing_what_runs_is_refused, Cells, Busybox),
        test!(row_28_what_has_ended_is_neither_frozen_nor_thawed, Cells, Busybox),
        test!(row_29_freezing_races_with_the_end, Cells, Busybox),
        test!(row_30_a_request_to_a_frozen_server_is_served_after_the_thaw, Cells, Debian),
        test!(a_freeze_whose_context_has_ended_does_nothing, Cells, Busybox),
        test!(stop_thaws_what_is_frozen, Cells, Busybox),
        test!(a_frozen_task_can_be_waited_for_and_killed, Cells, Busybox),
        test!(freezes_and_thaws_from_several_tasks_agree_on_the_state, Cells, Busybox),
    ]
}

/// Counts in its own memory, as fast as it can, and says so now and then.
const COUNTER: &str = "i=0; while :; do i=$((i+1)); echo $i; usleep 2000; done";

fn row_24_a_frozen_container_closes_without_a_thaw(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for _ in 0..5 {
            let (cookie, wait) = started(&driver, command("sleep 60")).await;
            cookie.freeze(&background()).await.unwrap();
            let start = Instant::now();
            cookie.close(&background()).await.unwrap();
            // The row says 100 ms; ten times that on a host with other things to do.
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
            assert!(cells().is_empty(), "{:?}", cells());
            assert_eq!(wait.wait(&background()).await.status(), Status::Killed);
        }
    });
}

/// CPU time of the one cell there is, in µs.
fn cpu_time() -> u64 {
    let files = cells().into_iter().map(|cell| cell.join("cpu.stat"));
    let texts: Vec<_> = files.filter_map(|file| std::fs::read_to_string(file).ok()).collect();
    let used = texts.iter().flat_map(|text| text.lines());
    let used = used.filter_map(|line| line.strip_prefix("usage_usec "));
    used.map(|used| used.parse().unwrap()).next().unwrap()
}

fn row_27_a_frozen_task_stands_still_and_keeps_what_it_has(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let out = Sink::default();
        let (cookie, _wait) = started(&driver, shell(COUNTER).stdout(out.clone())).await;
        out.has("20\n").await;
        for _ in 0..2 {
            cookie.freeze(&background()).await.unwrap();
            assert_eq!(cookie.state(), State::Frozen);
            // What it had written is taken from the pipe by then.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let (before, used) = (out.bytes().len(), cpu_time());
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!((out.bytes().len(), cpu_time()), (before, used), "it ran while frozen");
            cookie.unfreeze(&background()).await.unwrap();
            assert_eq!(cookie.state(), State::Running);
            let next = out.text().lines().count() + 20;
            out.has(&format!("\n{next}\n")).await;
        }
        cookie.close(&background()).await.unwrap();
        // It never began anew, and left nothing out.
        let numbers: Vec<usize> = out.text().lines().map(|line| line.parse().unwrap()).collect();
        assert!(numbers.iter().copied().eq(1..=numbers.len()), "{numbers:?}");
    });
}

fn row_28_freezing_twice_or_thawing_what_runs_is_refused(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, _wait) = started(&driver, command("sleep 60")).await;
        for _ in 0..3 {
            let error = cookie.unfreeze(&background()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongStage);
            assert!(error.to_string().contains("not frozen"), "{error}");
            cookie.freeze(&background()).await.unwrap();
            let error = cookie.freeze(&background()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongStage);
            assert!(error.to_string().contains("frozen already"), "{error}");
            assert_eq!(cookie.state(), State::Frozen, "a refusal changes nothing");
            cookie.unfreeze(&background()).await.unwrap();
        }
        cookie.close(&background()).await.unwrap();
        for frozen in [cookie.freeze(&background()).await, cookie.unfreeze(&background()).await] {
            assert_eq!(frozen.unwrap_err().kind(), ErrorKind::Closed);
        }
    });
}

fn row_28_what_has_ended_is_neither_frozen_nor_thawed(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, command("true")).await;
        wait.wait(&background()).await;
        for frozen in [cookie.freeze(&background()).await, cookie.unfreeze(&background()).await] {
            let error = frozen.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongStage);
            assert!(error.to_string().contains("has ended"), "{error}");
        }
        assert_eq!(cookie.state(), State::Exited);
        cookie.close(&background()).await.unwrap();
    });
}

fn row_29_freezing_races_with_the_end(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (mut frozen, mut refused) = (0, 0);
        for round in 0..200u32 {
            let task = if round % 2 == 0 { "true" } else { "usleep 2000" };
            let (cookie, wait) = started(&driver, command(task)).await;
            tokio::time::sleep(Duration::from_micros(u64::from(round % 20) * 250)).await;
            match cookie.freeze(&background()).await {
                Ok(()) => {
                    frozen += 1;
                    match cookie.unfreeze(&background()).await {
                        Ok(()) => {}
                        Err(error) => assert_eq!(error.kind(), ErrorKind::WrongStage, "{error}"),
                    }
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WrongStage, "{error}");
                    refused += 1;
                }
            }
            let result = wait.wait(&background().with_timeout(PATIENCE)).await;
            assert_eq!(result.status(), Status::Success, "{round}: {result:?}");
            cookie.close(&background()).await.unwrap();
        }
        assert!(frozen > 0 && refused > 0, "it is no race: {frozen} {refused}");
    });
}

fn row_30_a_request_to_a_frozen_server_is_served_after_the_thaw(bed: &Bed) {
    const SERVER: &str = "
import socket
server = socket.socket(socket.AF_UNIX)
server.bind('/tmp/iofs/lsnr.sock')
server.listen(8)
print('up', flush=True)
while True:
    peer, _ = server.accept()
    request = peer.recv(100)
    peer.sendall(b'HTTP/1.1 200 OK\\r\\n\\r\\nyou said ' + request)
    peer.close()
";
    let dir = open_dir(bed, "iofs");
    on_runtime(async {
        let driver = driver(bed);
        let out = Sink::default();
        let task = python(SERVER).stdout(out.clone()).uds(&dir, &dir, "/tmp/iofs");
        let (cookie, _wait) = started(&driver, task).await;
        out.has("up").await;
        cookie.freeze(&background()).await.unwrap();
        // The kernel queues the connection and the request; the server hears of neither.
        let mut peer = UnixStream::connect(format!("{dir}/lsnr.sock")).unwrap();
        peer.write_all(b"hello").unwrap();
        peer.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let early = peer.read(&mut [0; 1]).unwrap_err();
        assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
        cookie.unfreeze(&background()).await.unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HTTP/1.1 200 OK\r\n\r\nyou said hello");
        cookie.close(&background()).await.unwrap();
    });
}

fn a_freeze_whose_context_has_ended_does_nothing(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, shell("sleep 0.5; exit 6")).await;
        let over = background().with_timeout(Duration::ZERO);
        assert_eq!(cookie.freeze(&dead()).await.unwrap_err().kind(), ErrorKind::Cancelled);
        let late = cookie.freeze(&over).await.unwrap_err();
        assert_eq!((late.kind(), cookie.state()), (ErrorKind::DeadlineExceeded, State::Running));
        cookie.freeze(&background()).await.unwrap();
        assert_eq!(cookie.unfreeze(&dead()).await.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(cookie.state(), State::Frozen);
        cookie.unfreeze(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Error);
        cookie.close(&background()).await.unwrap();
    });
}

fn stop_thaws_what_is_frozen(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let out = Sink::default();
        let obeys = "trap 'exit 9' TERM; echo up; while :; do usleep 1000; done";
        let (cookie, wait) = started(&driver, shell(obeys).stdout(out.clone())).await;
        out.has("up").await;
        cookie.freeze(&background()).await.unwrap();
        let ended = cookie.stop(&dead(), 15, PATIENCE).await.unwrap_err();
        assert_eq!((ended.kind(), cookie.state()), (ErrorKind::Cancelled, State::Frozen));
        cookie.stop(&background(), 15, PATIENCE).await.unwrap();
        assert_eq!(cookie.state(), State::Exited, "it has ended when stop returns");
        let result = wait.wait(&background()).await;
        assert_eq!(result.error().unwrap().to_string(), "container exit code 9");
        cookie.stop(&background(), 15, PATIENCE).await.unwrap();
        cookie.close(&background()).await.unwrap();
        // One that does not obey is killed after its grace.
        let out = Sink::default();
        let stubborn = "trap 'echo no' TERM; echo up; while :; do usleep 1000; done";
        let (cookie, wait) = started(&driver, shell(stubborn).stdout(out.clone())).await;
        out.has("up").await;
        cookie.freeze(&background()).await.unwrap();
        let (start, grace) = (Instant::now(), Duration::from_millis(300));
        cookie.stop(&background(), 15, grace).await.unwrap();
        assert!(start.elapsed() >= grace, "{:?}", start.elapsed());
        assert_eq!(wait.wait(&background()).await.status(), Status::Killed);
        assert!(out.text().contains("no"), "it was asked first");
        cookie.close(&background()).await.unwrap();
    });
}

fn a_frozen_task_can_be_waited_for_and_killed(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, shell("sleep 0.2; exit 8")).await;
        cookie.freeze(&background()).await.unwrap();
        let soon = background().with_timeout(Duration::from_millis(600));
        assert_eq!(wait.wait(&soon).await.status(), Status::Timeout, "it ran while frozen");
        assert_eq!(cookie.state(), State::Frozen);
        cookie.signal(&background(), 9).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Killed);
        reaches(&*cookie, State::Exited).await;
        cookie.close(&background()).await.unwrap();
    });
}

fn freezes_and_thaws_from_several_tasks_agree_on_the_state(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, _wait) = started(&driver, command("sleep 60")).await;
        let cookie: std::sync::Arc<dyn hotcell::contract::Cookie> = cookie.into();
        let tasks = (0..4).map(|at| {
            let cookie = std::sync::Arc::clone(&cookie);
            tokio::spawn(async move {
                let mut done = 0;
                for _ in 0..100 {
                    let result = match at % 2 {
                        0 => cookie.freeze(&background()).await,
                        _ => cookie.unfreeze(&background()).await,
                    };
                    match result {
                        Ok(()) => done += 1,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::WrongStage, "{error}"),
                    }
                    tokio::task::yield_now().await;
                }
                (at % 2, done)
            })
        });
        let (mut freezes, mut thaws) = (0, 0);
        for task in tasks.collect::<Vec<_>>() {
            match task.await.unwrap() {
                (0, done) => freezes += done,
                (_, done) => thaws += done,
            }
        }
        // Each freeze that was granted was undone by one thaw, but maybe the last.
        let state = if freezes == thaws { State::Running } else { State::Frozen };
        assert!(freezes - thaws <= 1, "{freezes} freezes, {thaws} thaws");
        assert_eq!(cookie.state(), state);
        cookie.close(&background()).await.unwrap();
    });
}
