//! One pull for all who want the same at the same time.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::progress::Audience;
use super::{Error, Listener};
use crate::image::store::Image;
use crate::unpoisoned::lock;

type Outcome = Result<Image, Arc<Error>>;

/// The pulls under way.
pub(super) struct Flights<K> {
    under_way: Mutex<HashMap<K, Weak<Flight>>>,
}

/// A pull under way: it ends when nobody waits for it any more.
struct Flight {
    outcome: watch::Receiver<Option<Outcome>>,
    audience: Audience,
    transfer: AbortHandle,
}

impl<K> Default for Flights<K> {
    fn default() -> Flights<K> {
        Flights { under_way: Mutex::default() }
    }
}

impl<K: Hash + Eq> Flights<K> {
    /// Waits for the pull of this key, and starts it if there is none. What came of one that has ended is
    /// not kept: the next asks again.
    pub(super) async fn join<T>(
        &self,
        key: K,
        listener: Option<Listener>,
        transfer: impl FnOnce(Audience) -> T,
    ) -> Result<Image, Error>
    where
        T: Future<Output = Result<Image, Error>> + Send + 'static,
    {
        let flight = self.enter(key, transfer);
        if let Some(listener) = &listener {
            flight.audience.add(listener);
        }
        let mut outcome = flight.outcome.clone();
        let outcome = outcome.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        // Nothing came: whoever pulled was stopped, with its runtime.
        outcome.unwrap_or_else(|| Err(Arc::new(Error::Interrupted))).map_err(Error::Shared)
    }

    fn enter<T>(&self, key: K, transfer: impl FnOnce(Audience) -> T) -> Arc<Flight>
    where
        T: Future<Output = Result<Image, Error>> + Send + 'static,
    {
        let mut under_way = lock(&self.under_way);
        under_way.retain(|_, flight| flight.strong_count() > 0);
        let found = under_way.get(&key).and_then(Weak::upgrade);
        if let Some(flight) = found.filter(|flight| flight.outcome.borrow().is_none()) {
            return flight;
        }
        let (tell, outcome) = watch::channel(None);
        let audience = Audience::default();
        let transfer = transfer(audience.clone());
        let task = tokio::spawn(async move {
            let ended = transfer.await.map_err(Arc::new);
            tell.send_replace(Some(ended));
        });
        let flight = Arc::new(Flight { outcome, audience, transfer: task.abort_handle() });
        under_way.insert(key, Arc::downgrade(&flight));
        flight
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.transfer.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// A transfer that takes a second and fails, and counts how often it began and came so far.
    #[derive(Clone, Default)]
    struct Count {
        begun: Arc<AtomicUsize>,
        ended: Arc<AtomicUsize>,
    }

    impl Count {
        async fn transfer(self) -> Result<Image, Error> {
            self.begun.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.ended.fetch_add(1, Ordering::SeqCst);
            Err(Error::Untyped { of: "it".to_owned() })
        }

        fn is(&self, begun: usize, ended: usize) {
            let counts = [&self.begun, &self.ended].map(|count| count.load(Ordering::SeqCst));
            assert_eq!(counts, [begun, ended]);
        }
    }

    async fn join(flights: Arc<Flights<u8>>, key: u8, count: Count) -> Result<Image, Error> {
        flights.join(key, None, |_| count.transfer()).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_for_all_who_want_the_same_whoever_leaves() {
        let (flights, count) = (Arc::<Flights<u8>>::default(), Count::default());
        let waiting: Vec<_> = [1, 1, 1, 2]
            .map(|key| tokio::spawn(join(Arc::clone(&flights), key, count.clone())))
            .into();
        tokio::time::sleep(Duration::from_millis(100)).await;
        // The first caller goes.
        waiting[0].abort();
        for (at, waiter) in waiting.into_iter().enumerate() {
            match waiter.await {
                Ok(ended) => assert!(matches!(ended, Err(Error::Shared(_))), "{ended:?}"),
                Err(_) => assert_eq!(at, 0),
            }
        }
        count.is(2, 2);
        // What came of it is not kept.
        let again = join(flights, 1, count.clone()).await;
        assert!(again.is_err());
        count.is(3, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_and_it_ends() {
        let (flights, count) = (Arc::<Flights<u8>>::default(), Count::default());
        let waiters = [(); 2].map(|()| tokio::spawn(join(Arc::clone(&flights), 1, count.clone())));
        tokio::time::sleep(Duration::from_millis(500)).await;
        waiters.iter().for_each(tokio::task::JoinHandle::abort);
        tokio::time::sleep(Duration::from_secs(2)).await;
        count.is(1, 0);
        let late = join(flights, 1, count.clone()).await;
        assert!(late.is_err());
        count.is(2, 1);
    }
}
