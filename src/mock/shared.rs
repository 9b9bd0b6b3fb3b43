//! What the containers of a driver have in common: its script, its count, the ids that are taken.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Play;
use crate::contract::{
    BackOffConfig, ContainerTask, Error, ErrorKind, Result, RetryErrorChecker, never_retry,
};
use crate::unpoisoned::lock;

/// What a driver's containers do, task by task.
pub(super) type Script = Box<dyn Fn(&dyn ContainerTask) -> Play + Send + Sync>;

/// What the containers of a driver have in common.
pub(super) struct Shared {
    script: Script,
    /// `None`: a start fails only if the script says so.
    fails_every: Option<u64>,
    runs: AtomicU64,
    closed: AtomicBool,
    ids: Mutex<HashSet<String>>,
    retry: Mutex<(BackOffConfig, RetryErrorChecker)>,
}

impl Shared {
    pub(super) fn new(script: Script, fails_every: Option<u64>) -> Shared {
        Shared {
            script,
            fails_every,
            runs: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            ids: Mutex::default(),
            retry: Mutex::new((BackOffConfig::default(), never_retry())),
        }
    }

    /// What the script says of a task.
    pub(super) fn play(&self, task: &dyn ContainerTask) -> Play {
        (self.script)(task)
    }

    /// How many starts were counted.
    pub(super) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Counts a start; fn's mock fails at some.
    pub(super) fn count_run(&self) -> Result<()> {
        let number = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        match self.fails_every {
            Some(every) if number.is_multiple_of(every) => {
                let message = format!("mock driver error: start {number} fails");
                Err(Error::new(ErrorKind::Launch, message))
            }
            _ => Ok(()),
        }
    }

    /// Takes an id; an empty one is never taken.
    pub(super) fn take_id(&self, id: &str) -> Result<()> {
        let mut ids = lock(&self.ids);
        if id.is_empty() || ids.insert(id.to_owned()) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, format!("another container has the id {id:?}")))
    }

    pub(super) fn free_id(&self, id: &str) {
        lock(&self.ids).remove(id);
    }

    pub(super) fn retry_policy(&self) -> (BackOffConfig, RetryErrorChecker) {
        lock(&self.retry).clone()
    }

    pub(super) fn set_retry_policy(&self, policy: BackOffConfig, checker: RetryErrorChecker) {
        *lock(&self.retry) = (policy, checker);
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the driver has been closed"));
        }
        Ok(())
    }
}
