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
