//! What the reading task, the writers' tasks and the handle of one output stream have in common.

use std::io;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::failure::FirstFailure;
use super::ring::Ring;
use crate::contract::{Error, ErrorKind};
use crate::unpoisoned::lock;

/// One stream's state. Whoever holds its lock runs no foreign code: the wakers belong to tasks of
/// ours, and waking one puts it in tokio's queue.
pub(super) struct Shared {
    /// What it is called in errors.
    pub(super) name: &'static str,
    state: Mutex<State>,
    /// The first writer's failure.
    pub(super) failure: FirstFailure,
    /// Nothing more will be delivered, or only slowly.
    drained: Notify,
}

struct State {
    ring: Ring,
    order: Order,
    /// Nothing more comes.
    complete: Option<Instant>,
    /// How many writers had their chance after that and did not take everything.
    slow: usize,
    /// The reading task.
    reader: Option<Waker>,
    /// The writers' tasks.
    waiting: Vec<Waiting>,
}

/// What the reading task has been told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on reading.
    Read,
    /// Read what is there, then end.
    Finish,
    /// End.
    Abandon,
}

/// What a writer's task wants to be woken for. One that is busy with its writer is not woken for
/// bytes, or single bytes from the cell would have it try again each time.
#[derive(Clone)]
enum Waiting {
    Nothing,
    Bytes(Waker),
    End(Waker),
}

impl Shared {
    pub(super) fn new(name: &'static str, writers: usize) -> Shared {
        let state = State {
            ring: Ring::new(writers),
            order: Order::Read,
            complete: None,
            slow: 0,
            reader: None,
            waiting: vec![Waiting::Nothing; writers],
        };
        let (state, failure) = (Mutex::new(state), FirstFailure::default());
        Shared { name, state, failure, drained: Notify::new() }
    }

    // The handle's part.

    /// Tells the reading task to end. Only the first order counts.
    pub(super) fn order(&self, order: Order) {
        let mut state = self.lock();
        if state.order == Order::Read {
            state.order = order;
            state.wake_reader();
        }
    }

    /// Waits until nothing more comes and every writer has everything or has left.
    #[cfg(test)]
    pub(super) async fn drained(&self) {
        self.until(|state| state.complete.is_some() && state.ring.writers() == 0).await;
    }

    /// The same, but for writers that had their chance and are slow.
    pub(super) async fn offered(&self) {
        self.until(|state| state.complete.is_some() && state.ring.writers() <= state.slow).await;
    }

    async fn until(&self, reached: impl Fn(&State) -> bool) {
        loop {
            // It counts from here on, polled or not.
            let notified = self.drained.notified();
            if reached(&self.lock()) {
                return;
            }
            notified.await;
        }
    }

    /// Keeps a failure if it is the first.
    pub(super) fn fail(&self, kind: ErrorKind, doing: &str, error: io::Error) {
        self.failure.set(Error::caused(kind, format!("{doing} {}", self.name), error));
    }

    /// Keeps that a writer panicked, if it is the first failure.
    pub(super) fn fail_panicked(&self) {
        let what = format!("a writer of {} panicked", self.name);
        self.failure.set(Error::new(ErrorKind::Stream, what));
    }

    // The reading task's part.

    /// Waits for an order to end, or until so many bytes may be read.
    pub(super) fn poll_turn(
        &self,
        cx: &mut Context<'_>,
        pipe: &Receiver,
    ) -> Poll<io::Result<(Order, usize)>> {
        let mut state = self.lock();
        if state.order != Order::Read {
            return Poll::Ready(Ok((state.order, 0)));
        }
        match &mut state.reader {
            Some(waker) => waker.clone_from(cx.waker()),
            reader => *reader = Some(cx.waker().clone()),
        }
        let room = state.ring.room();
        if room == 0 {
            return Poll::Pending;
        }
        let ready = pipe.poll_read_ready(cx);
        if ready.is_pending() {
            state.ring.rest();
        }
        // Nobody else fills the ring, so the room is there as long as the reading task waits.
        ready.map_ok(|()| (Order::Read, room))
    }

    /// Puts bytes into the ring.
    pub(super) fn push(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.ring.push(bytes);
        state.waiting.iter_mut().for_each(|waiting| waiting.wake(false));
    }

    /// Nothing more comes.
    pub(super) fn complete(&self) {
        let mut state = self.lock();
        state.complete = Some(Instant::now());
        state.reader = None;
        state.ring.rest();
        state.waiting.iter_mut().for_each(|waiting| waiting.wake(true));
        self.notify(state);
    }

    // A writer's part.

    /// Waits for bytes: `true`, or `false` if there are none and none come.
    pub(super) fn poll_bytes(&self, cx: &mut Context<'_>, writer: usize) -> Poll<bool> {
        let mut state = self.lock();
        match (state.ring.left(writer), state.complete.is_some()) {
            (1.., _) => Poll::Ready(true),
            (0, true) => Poll::Ready(false),
            (0, false) => {
                state.waiting[writer] = Waiting::Bytes(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits until nothing more comes.
    pub(super) fn poll_complete(&self, cx: &mut Context<'_>, writer: usize) -> Poll<()> {
        let mut state = self.lock();
        if state.complete.is_some() {
            return Poll::Ready(());
        }
        state.waiting[writer] = Waiting::End(cx.waker().clone());
        Poll::Pending
    }

    /// Copies what comes next for this writer.
    pub(super) fn copy(&self, writer: usize, to: &mut [u8]) -> usize {
        self.lock().ring.copy(writer, to)
    }

    /// This writer has taken so many bytes.
    pub(super) fn advance(&self, writer: usize, count: usize) {
        self.lock().make_room(|ring| ring.advance(writer, count));
    }

    /// How many bytes this writer has not taken.
    pub(super) fn left(&self, writer: usize) -> usize {
        self.lock().ring.left(writer)
    }

    /// When nothing more came, if that is so.
    pub(super) fn complete_at(&self) -> Option<Instant> {
        self.lock().complete
    }

    /// A writer had its chance and is slow.
    pub(super) fn is_slow(&self) {
        let mut state = self.lock();
        state.slow += 1;
        self.notify(state);
    }

    /// This writer takes no more, slow or not.
    pub(super) fn leave(&self, writer: usize, slow: bool) {
        let mut state = self.lock();
        state.slow -= usize::from(slow);
        state.make_room(|ring| ring.leave(writer));
        self.notify(state);
    }

    fn notify(&self, state: MutexGuard<'_, State>) {
        let complete = state.complete.is_some();
        drop(state);
        if complete {
            // Here wait tasks that are not ours.
            self.drained.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// How much memory the ring has.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.lock().ring.memory()
    }
}

impl Waiting {
    fn wake(&mut self, end: bool) {
        match self {
            Waiting::Nothing => return,
            Waiting::End(_) if !end => return,
            Waiting::Bytes(waker) | Waiting::End(waker) => waker.wake_by_ref(),
        }
        *self = Waiting::Nothing;
    }
}

impl State {
    /// Does what may make room, and tells the reading task if that is what it waits for.
    fn make_room(&mut self, change: impl FnOnce(&mut Ring)) {
        let was_full = self.ring.room() == 0;
        change(&mut self.ring);
        if was_full && self.ring.room() > 0 {
            self.wake_reader();
        }
    }

    fn wake_reader(&self) {
        if let Some(waker) = &self.reader {
            waker.wake_by_ref();
        }
    }
}
