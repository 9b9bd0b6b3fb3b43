//! The cleaner at work: one thread of a driver's that sleeps until there is too much.

use std::error::Error;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::cache::{Cached, ImageCache};
use crate::unpoisoned::lock;

/// How much time is between two removals, and between two tries to list.
const PACE: Duration = Duration::from_millis(500);
/// How long the list of images at the start is tried for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the images are.
pub(crate) trait Shelf: Send + 'static {
    /// All images that there are.
    ///
    /// # Errors
    /// When they can't be listed.
    fn list(&self) -> Result<Vec<Cached>, Box<dyn Error>>;

    /// Removes an image with all its names. One that is not there is removed.
    ///
    /// # Errors
    /// When it can't be removed, because somebody uses it, for example.
    fn remove(&self, id: &str) -> Result<(), Box<dyn Error>>;
}

/// A cleaner at work. Dropping it stops it, and waits for a removal that is under way.
pub(crate) struct Cleaner {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// What the cleaner shares with those who use images.
struct Desk {
    state: Mutex<State>,
    /// Something is over capacity, or it is over.
    notice: Condvar,
}

struct State {
    cache: ImageCache,
    stopped: bool,
}

impl Cleaner {
    /// Starts with the images that there are: those that are listed first go first.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(crate) fn start(cache: ImageCache, shelf: impl Shelf) -> std::io::Result<Cleaner> {
        let state = Mutex::new(State { cache, stopped: false });
        let desk = Arc::new(Desk { state, notice: Condvar::new() });
        let his = Arc::clone(&desk);
        let work = move || his.clean(&shelf);
        let thread = std::thread::Builder::new().name("hotcell-cleaner".to_owned()).spawn(work)?;
        Ok(Cleaner { desk, thread: Some(thread) })
    }

    /// One more uses the image.
    pub(crate) fn mark_busy(&self, image: &Cached) {
        self.change(|cache| cache.mark_busy(image));
    }

    /// One less uses the image.
    pub(crate) fn mark_free(&self, id: &str) {
        self.change(|cache| cache.mark_free(id));
    }

    fn change(&self, change: impl FnOnce(&mut ImageCache) -> bool) {
        if change(&mut lock(&self.desk.state).cache) {
            self.desk.notice.notify_one();
        }
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        lock(&self.desk.state).stopped = true;
        self.desk.notice.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has told of what went wrong.
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn clean(&self, shelf: &impl Shelf) {
        self.take_stock(shelf);
        while let Some(image) = self.next() {
            if let Err(error) = shelf.remove(&image.id) {
                tracing::warn!(image = image.id, error, "cleaning an image away");
                // Others get their turn first.
                lock(&self.state).cache.update(&image);
            }
            if self.sleep(PACE) {
                return;
            }
        }
    }

    fn take_stock(&self, shelf: &impl Shelf) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match shelf.list() {
                Ok(images) => {
                    let mut state = lock(&self.state);
                    for image in &images {
                        state.cache.update(image);
                    }
                    return;
                }
                Err(error) if Instant::now() >= deadline => {
                    tracing::warn!(error, "listing the images to clean");
                    return;
                }
                Err(_) if self.sleep(PACE) => return,
                Err(_) => {}
            }
        }
    }

    /// Waits for an image that has to go; `None` when it is over.
    fn next(&self) -> Option<Cached> {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return None;
            }
            if state.cache.is_over()
                && let Some(image) = state.cache.pop()
            {
                return Some(image);
            }
            state = self.notice.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Whether it is over by then.
    fn sleep(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        let waited = self.notice.wait_timeout_while(state, time, |state| !state.stopped);
        waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Long enough for anything that works.
    const LONG: Duration = Duration::from_secs(60);
    const HALF: u64 = 512 << 10;

    /// Tells what is removed, and fails a number of times at first.
    struct Fake {
        images: Vec<Cached>,
        listings: Mutex<usize>,
        removals: Mutex<usize>,
        removed: Sender<String>,
    }

    fn fails(left: &Mutex<usize>) -> bool {
        let mut left = lock(left);
        let fails = *left > 0;
        *left = left.saturating_sub(1);
        fails
    }

    impl Shelf for Fake {
        fn list(&self) -> Result<Vec<Cached>, Box<dyn Error>> {
            match fails(&self.listings) {
                true => Err("not yet".into()),
                false => Ok(self.images.clone()),
            }
        }

        fn remove(&self, id: &str) -> Result<(), Box<dyn Error>> {
            let _ = self.removed.send(id.to_owned());
            match fails(&self.removals) {
                true => Err("in use".into()),
                false => Ok(()),
            }
        }
    }

    fn image(id: &str) -> Cached {
        Cached { id: id.to_owned(), tags: vec![format!("{id}:latest")], size: HALF }
    }

    fn start(ids: &[&str]) -> (Cleaner, Receiver<String>) {
        start_with(ids, 0, 0)
    }

    fn start_with(ids: &[&str], listings: usize, removals: usize) -> (Cleaner, Receiver<String>) {
        let (removed, seen) = channel();
        let images = ids.iter().map(|id| image(id)).collect();
        let (listings, removals) = (Mutex::new(listings), Mutex::new(removals));
        let cache = ImageCache::new(1 << 20, ["zoo0:latest"]);
        (Cleaner::start(cache, Fake { images, listings, removals, removed }).unwrap(), seen)
    }

    /// What is removed until nothing is for twice the time that a removal is waited for.
    fn all(seen: &Receiver<String>, first: usize) -> Vec<String> {
        let mut all: Vec<_> = (0..first).map(|_| seen.recv_timeout(LONG).unwrap()).collect();
        all.extend(std::iter::from_fn(|| seen.recv_timeout(PACE * 2).ok()));
        all
    }

    #[test]
    fn fns_vector_those_listed_first_go_until_it_is_enough() {
        let (_cleaner, seen) = start(&["zoo0", "zoo1", "zoo2", "zoo3"]);
        assert_eq!(all(&seen, 2), ["zoo1", "zoo2"]);
    }

    #[test]
    fn what_cannot_be_removed_is_tried_again_after_the_others() {
        let (_cleaner, seen) = start_with(&["stuck", "zoo1", "zoo2"], 0, 1);
        assert_eq!(all(&seen, 3), ["stuck", "zoo1", "zoo2"]);
    }

    #[test]
    fn images_that_cannot_be_listed_yet_are_listed_later() {
        let (_cleaner, seen) = start_with(&["zoo1", "zoo2"], 2, 0);
        assert_eq!(all(&seen, 1), ["zoo1"]);
    }

    #[test]
    fn an_image_goes_when_its_last_user_has_gone() {
        let (cleaner, seen) = start(&[]);
        let images = ["a", "b"].map(image);
        images.iter().for_each(|image| cleaner.mark_busy(image));
        cleaner.mark_busy(&images[0]);
        cleaner.mark_free("a");
        assert_eq!(all(&seen, 0), [""; 0], "both are in use");
        cleaner.mark_free("a");
        assert_eq!(all(&seen, 1), ["a"]);
    }

    #[test]
    fn a_cleaner_that_is_dropped_has_stopped() {
        let (cleaner, seen) = start(&["a", "b", "c", "d", "e"]);
        seen.recv_timeout(LONG).unwrap();
        drop(cleaner);
        let rest = seen.iter().count();
        assert!(rest < 4, "the shelf is gone, and {rest} more were removed");
    }
}
