//! Standard input: what the cell reads, and what ends it.

use std::error::Error as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::sinks::Full;
use super::{me, pipe_size, settle, soon, stream, until};
use crate::contract::{ErrorKind, Input};
use crate::logs::{Feed, input_pipe};

fn feed(input: Input) -> (Feed, OwnedFd) {
    let (ours, cells) = input_pipe(me()).unwrap();
    (Feed::start(ours, input).unwrap(), cells)
}

/// Reads all that the cell can read.
async fn read_all(cells: OwnedFd) -> Vec<u8> {
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        File::from(cells).read_to_end(&mut bytes).map(|_| bytes)
    });
    read.await.unwrap().unwrap()
}

/// A reader that gives zeroes for ever, then does what it is told; alive as long as its mark.
struct Source {
    then: fn() -> Poll<io::Result<()>>,
    left: usize,
    _mark: Arc<()>,
}

impl AsyncRead for Source {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return (self.then)();
        }
        let count = self.left.min(buffer.remaining());
        buffer.initialize_unfilled_to(count).fill(0);
        buffer.advance(count);
        self.left -= count;
        Poll::Ready(Ok(()))
    }
}

fn source(left: usize, then: fn() -> Poll<io::Result<()>>) -> (Input, Arc<()>) {
    let mark = Arc::new(());
    (Box::new(Source { then, left, _mark: Arc::clone(&mark) }), mark)
}

#[tokio::test]
async fn the_cell_reads_the_input_and_then_its_end() {
    soon(async {
        let all = 1_000_003;
        let (feed, cells) = feed(Box::new(io::Cursor::new(stream(0, all))));
        assert!(read_all(cells).await == stream(0, all));
        assert!(feed.failure().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_line_arrives_while_the_input_stays_open() {
    soon(async {
        let (mut writes, reads) = tokio::io::duplex(100);
        let (feed, cells) = feed(Box::new(reads));
        for line in ["one\n", "two\n"] {
            writes.write_all(line.as_bytes()).await.unwrap();
            let cells = cells.try_clone().unwrap();
            let read = tokio::task::spawn_blocking(move || {
                let mut bytes = [0; 4];
                File::from(cells).read_exact(&mut bytes).map(|()| bytes)
            });
            assert_eq!(read.await.unwrap().unwrap(), line.as_bytes());
        }
        drop(writes);
        assert!(read_all(cells).await.is_empty());
        assert!(feed.failure().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_cell_that_closes_its_input_stops_it_and_is_no_failure() {
    soon(async {
        let (input, mark) = source(usize::MAX, || Poll::Pending);
        let (feed, cells) = feed(input);
        settle().await;
        assert_eq!(Arc::strong_count(&mark), 2);
        drop(cells);
        until(|| Arc::strong_count(&mark) == 1).await;
        assert!(feed.failure().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_fails_is_remembered_with_its_own_error() {
    soon(async {
        let (input, _mark) = source(100_000, || Poll::Ready(Err(io::Error::other(Full(7)))));
        let (feed, cells) = feed(input);
        assert_eq!(read_all(cells).await.len(), 100_000, "and the cell reads the end");
        let error = feed.failure().unwrap();
        assert_eq!(error.kind(), ErrorKind::Stream);
        let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.get_ref().unwrap().downcast_ref::<Full>(), Some(&Full(7)));
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_panics_is_a_failure() {
    soon(async {
        let (input, _mark) = source(10, || panic!("on purpose"));
        let (feed, cells) = feed(input);
        assert_eq!(read_all(cells).await.len(), 10);
        assert_eq!(feed.failure().unwrap().kind(), ErrorKind::Stream);
    })
    .await;
}

#[tokio::test]
async fn a_dropped_feed_closes_a_full_pipe() {
    soon(async {
        let (input, mark) = source(usize::MAX, || Poll::Pending);
        let (feed, cells) = feed(input);
        settle().await;
        drop(feed);
        until(|| Arc::strong_count(&mark) == 1).await;
        assert_eq!(read_all(cells).await.len(), pipe_size());
    })
    .await;
}

#[tokio::test]
async fn only_our_end_is_non_blocking() {
    soon(async {
        let (input, _mark) = source(0, || Poll::Pending);
        let (_feed, cells) = feed(input);
        let flags = rustix::fs::fcntl_getfl(&cells).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        let (pump, cells) = super::pump(Vec::new());
        let flags = rustix::fs::fcntl_getfl(&cells).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        let flags = rustix::io::fcntl_getfd(&cells).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        drop(pump);
        until(|| rustix::io::write(&cells, b"x") == Err(Errno::PIPE)).await;
        let mut nothing = tokio::io::empty();
        assert_eq!(nothing.read(&mut [0; 1]).await.unwrap(), 0);
    })
    .await;
}
