//! What an embedder does around each call that a container serves.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::{Context, Result};
use crate::unpoisoned::lock;

/// One invocation of a function, as the hooks see it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Call {
    /// Unique among calls.
    pub id: String,
    /// The function.
    pub fn_id: String,
    /// The application it belongs to.
    pub app_id: String,
    /// When its caller gives up.
    pub deadline: Option<SystemTime>,
}

/// What a caller asks of a wrapping driver, by name.
pub type CallExtensions = BTreeMap<String, String>;

/// A future that owns what it needs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs before a container serves a call; its error ends the container.
pub type BeforeCall =
    Arc<dyn Fn(Context, Call, CallExtensions) -> BoxFuture<Result<()>> + Send + Sync>;

/// Runs after a container has served a call, if [`BeforeCall`] went well; its error ends the
/// container.
pub type AfterCall = BeforeCall;

/// Cleans up after a task. May be called more than once.
pub type CloseTask = Arc<dyn Fn() + Send + Sync>;

/// Puts something around a hook: gets the old one, gives the new one. It may call what the task
/// offers, but not wrap the same hook from within.
pub type Wrap<T> = Box<dyn FnOnce(T) -> T + Send>;

/// A hook that does nothing.
#[must_use]
pub fn no_call_hook() -> BeforeCall {
    Arc::new(|_, _, _| Box::pin(std::future::ready(Ok(()))))
}

/// A hook that can be wrapped while it is used.
pub(super) struct Hook<T> {
    current: Mutex<T>,
    /// Whose turn it is to wrap.
    wrapping: Mutex<()>,
}

impl<T: Clone> Hook<T> {
    pub(super) fn new(hook: T) -> Hook<T> {
        Hook { current: Mutex::new(hook), wrapping: Mutex::new(()) }
    }

    /// The hook as it is now, to be run without any lock.
    pub(super) fn get(&self) -> T {
        lock(&self.current).clone()
    }

    /// Puts `wrap` around it. Others may use the old one meanwhile; nobody else wraps it.
    pub(super) fn wrap(&self, wrap: Wrap<T>) {
        let _turn = lock(&self.wrapping);
        let wrapped = wrap(self.get());
        // Dropped when the lock is free again: it is the embedder's.
        let _old = std::mem::replace(&mut *lock(&self.current), wrapped);
    }
}
