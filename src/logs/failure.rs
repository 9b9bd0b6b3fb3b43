//! The failure of a stream: the first one counts, and one that comes too late is at least logged.

use std::sync::{Mutex, MutexGuard};

use crate::contract::Error;
use crate::unpoisoned::lock;

/// Keeps a stream's first failure.
#[derive(Default)]
pub(super) struct FirstFailure {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    first: Option<Error>,
    /// Somebody has judged the task by what there was: nobody will ask again.
    asked: bool,
}

impl FirstFailure {
    /// Keeps a failure if it is the first. One that nobody will ask for any more is logged.
    pub(super) fn set(&self, error: Error) {
        let asked = {
            let mut state = self.lock();
            if state.first.is_none() {
                state.first = Some(error.clone());
            }
            state.asked
        };
        if asked {
            tracing::warn!("after the task's end: {}", error.chain());
        }
    }

    /// The first failure, for whoever judges the task.
    pub(super) fn get(&self) -> Option<Error> {
        let mut state = self.lock();
        state.asked = true;
        state.first.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;
    use crate::contract::ErrorKind;

    /// Counts warnings.
    #[derive(Clone, Default)]
    struct Warnings(Arc<AtomicU32>);

    impl Subscriber for Warnings {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target().starts_with("hotcell::logs::failure")
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            assert_eq!(*event.metadata().level(), Level::WARN);
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn the_first_failure_stays_and_what_comes_after_the_verdict_is_logged() {
        let warnings = Warnings::default();
        let count = || warnings.0.load(Ordering::Relaxed);
        let _logging = tracing::subscriber::set_default(warnings.clone());
        let error = |text: &str| Error::new(ErrorKind::Stream, text);
        let text = |failure: &FirstFailure| failure.get().map(|error| error.to_string());

        let failure = FirstFailure::default();
        failure.set(error("one"));
        failure.set(error("two"));
        assert_eq!((text(&failure).as_deref(), count()), (Some("one"), 0));
        failure.set(error("three"));
        assert_eq!((text(&failure).as_deref(), count()), (Some("one"), 1));

        let late = FirstFailure::default();
        assert_eq!(text(&late), None);
        late.set(error("late"));
        assert_eq!(count(), 2);
    }
}
