//! What a task brought along for its streams, when that fails, stands still, or is held elsewhere.

use std::error::Error as _;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::task::{Context as Poller, Poll};
use std::time::{Duration, Instant};

use hotcell::contract::{ErrorKind, RunResult, State, Status};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tools::{
    Sink, background, cells, command, dead, driver, finished, on_runtime, open_dir, python, shell,
    started,
};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_21_a_writers_failure_comes_back_as_it_was, Cells, Busybox),
        test!(row_21_a_readers_failure_comes_back_as_it_was, Cells, Busybox),
        test!(row_21_a_failure_beats_the_tasks_own_code_and_the_context, Cells, Busybox),
        test!(row_21_a_writer_that_panics_is_a_failure, Cells, Busybox),
        test!(a_writer_that_stands_still_delays_nothing_for_long, Cells, Busybox),
        test!(a_daemon_that_holds_stdout_ends_with_the_cell, Cells, Busybox),
        test!(a_process_outside_that_holds_stdout_delays_nothing, Cells, Debian),
    ]
}

/// An error of the embedder's own.
#[derive(Debug, thiserror::Error)]
#[error("the disk of customer {0} is full")]
struct Full(u32);

/// Takes this many bytes, then fails; or gives them, then fails.
struct Fails {
    left: usize,
    panics: bool,
}

impl Fails {
    fn after(left: usize) -> Fails {
        Fails { left, panics: false }
    }

    fn error() -> io::Error {
        io::Error::new(io::ErrorKind::StorageFull, Full(42))
    }
}

impl AsyncWrite for Fails {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Poller, b: &[u8]) -> Poll<io::Result<usize>> {
        let count = b.len().min(self.left);
        self.left -= count;
        if count == 0 && self.panics {
            // Without the hook, which may print a backtrace for longer than a failure counts.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        Poll::Ready(if count == 0 { Err(Fails::error()) } else { Ok(count) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Poller) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Poller) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Fails {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Poller,
        b: &mut ReadBuf,
    ) -> Poll<io::Result<()>> {
        let count = b.remaining().min(self.left);
        self.left -= count;
        b.put_slice(&vec![b'x'; count]);
        Poll::Ready(if count == 0 { Err(Fails::error()) } else { Ok(()) })
    }
}

/// The result is the embedder's own error value.
#[track_caller]
fn assert_full(result: &RunResult) {
    let error = result.error().unwrap();
    assert_eq!((result.status(), error.kind()), (Status::Error, ErrorKind::Stream));
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).unwrap();
    assert_eq!(cause.kind(), io::ErrorKind::StorageFull);
    let own = cause.get_ref().and_then(|own| own.downcast_ref::<Full>()).unwrap();
    assert_eq!(own.0, 42);
    assert!(error.chain().contains("the disk of customer 42 is full"), "{}", error.chain());
}

fn row_21_a_writers_failure_comes_back_as_it_was(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        // The task is not held up: it writes as much as it likes.
        let flood = "head -c 5000000 /dev/zero";
        let result = finished(&driver, command(flood).stdout(Fails::after(1024))).await;
        assert_full(&result);
        assert!(result.error().unwrap().to_string().contains("standard output"), "{result:?}");
        let result = finished(&driver, shell("echo x >&2").stderr(Fails::after(0))).await;
        assert_full(&result);
        assert!(result.error().unwrap().to_string().contains("standard error"), "{result:?}");
        // One that would fail later does not.
        let result = finished(&driver, shell("echo x").stdout(Fails::after(1024))).await;
        assert_eq!(result.status(), Status::Success);
    });
}

fn row_21_a_readers_failure_comes_back_as_it_was(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let out = Sink::default();
        let task = command("cat").input(Fails::after(1000)).stdout(out.clone());
        let result = finished(&driver, task).await;
        assert_full(&result);
        assert!(result.error().unwrap().to_string().contains("standard input"), "{result:?}");
        assert_eq!(out.bytes(), [b'x'; 1000], "what was read before counts");
    });
}

fn row_21_a_failure_beats_the_tasks_own_code_and_the_context(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let task = shell("echo x; exit 3").stdout(Fails::after(0));
        let (cookie, wait) = started(&driver, task).await;
        assert_full(&wait.wait(&background()).await);
        assert_full(&wait.wait(&dead()).await);
        assert_eq!(cookie.exit_info().unwrap().code, 3, "the facts are still there");
        cookie.close(&background()).await.unwrap();
        assert_full(&wait.wait(&background()).await);
    });
}

fn row_21_a_writer_that_panics_is_a_failure(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let writer = Fails { left: 0, panics: true };
        let result = finished(&driver, shell("echo x").stdout(writer)).await;
        let error = result.error().unwrap();
        assert_eq!((result.status(), error.kind()), (Status::Error, ErrorKind::Stream));
    });
}

/// The driver gives writers 100 ms after the task's end; the rest is for a host with other things
/// to do.
const SOON: Duration = Duration::from_secs(2);

fn a_writer_that_stands_still_delays_nothing_for_long(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (_never_read, stuck) = tokio::io::duplex(1);
        let (cookie, wait) = started(&driver, shell("echo much; exit 7").stdout(stuck)).await;
        super::tools::reaches(&*cookie, State::Exited).await;
        let start = Instant::now();
        let result = wait.wait(&background()).await;
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert_eq!(result.error().unwrap().to_string(), "container exit code 7");
        cookie.close(&background()).await.unwrap();
        assert!(start.elapsed() < 2 * SOON, "{:?}", start.elapsed());
        // Closed while the task itself is held up by it.
        let (_never_read, stuck) = tokio::io::duplex(1);
        let task = command("head -c 5000000 /dev/zero").stdout(stuck);
        let (cookie, wait) = started(&driver, task).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(cookie.state(), State::Running, "nobody took what it writes");
        let start = Instant::now();
        cookie.close(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Killed);
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    });
}

fn a_daemon_that_holds_stdout_ends_with_the_cell(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let out = Sink::default();
        let script = "setsid sh -c 'trap \"\" HUP TERM; echo daemon; sleep 600; echo never' &
            usleep 300000; echo task; exit 0";
        let (cookie, wait) = started(&driver, shell(script).stdout(out.clone())).await;
        let start = Instant::now();
        assert_eq!(wait.wait(&background()).await.status(), Status::Success);
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert_eq!(out.text(), "daemon\ntask\n");
        let processes =
            |cell: std::path::PathBuf| std::fs::read_to_string(cell.join("cgroup.procs"));
        assert!(cells().into_iter().filter_map(|cell| processes(cell).ok()).all(|p| p.is_empty()));
        cookie.close(&background()).await.unwrap();
    });
}

/// Takes the descriptor that a peer sends.
fn received(socket: &UnixListener) -> OwnedFd {
    let (peer, _) = socket.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut bytes = [io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(&peer, &mut bytes, &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
    let rights = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    rights.unwrap()
}

fn a_process_outside_that_holds_stdout_delays_nothing(bed: &Bed) {
    use std::os::unix::fs::PermissionsExt;
    const GIVES_AWAY: &str = "
import socket
peer = socket.socket(socket.AF_UNIX)
peer.connect('/data/socket')
print('before', flush=True)
socket.send_fds(peer, [b'x'], [1])
print('after', flush=True)
";
    let dir = open_dir(bed, "data-volume");
    let socket = UnixListener::bind(format!("{dir}/socket")).unwrap();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(format!("{dir}/socket"), open).unwrap();
    on_runtime(async {
        let driver = driver(bed);
        let out = Sink::default();
        let task = python(GIVES_AWAY).stdout(out.clone()).volume(&dir, "/data");
        let (cookie, wait) = started(&driver, task).await;
        let held = tokio::task::spawn_blocking(move || received(&socket)).await.unwrap();
        super::tools::reaches(&*cookie, State::Exited).await;
        let start = Instant::now();
        assert_eq!(wait.wait(&background()).await.status(), Status::Success);
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert_eq!(out.text(), "before\nafter\n");
        // Nobody listens to the survivor.
        let heard = rustix::io::write(&held, b"still here");
        assert_eq!(heard.unwrap_err(), rustix::io::Errno::PIPE);
        cookie.close(&background()).await.unwrap();
    });
}
