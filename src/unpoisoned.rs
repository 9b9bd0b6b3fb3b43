//! Locking what a panic elsewhere leaves whole: plain values and stages, replaced in one step.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The lock, poisoned or not.
pub(crate) fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
