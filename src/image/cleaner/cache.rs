//! What the cleaner knows of the images: which are in use, and which idle ones were used least lately.

use std::collections::{HashMap, VecDeque};

/// An image as the cleaner counts it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cached {
    pub(crate) id: String,
    /// Its names, with their tags.
    pub(crate) tags: Vec<String>,
    /// In bytes, all its layers together.
    pub(crate) size: u64,
}

struct Busy {
    image: Cached,
    users: usize,
}

/// Images in use and idle ones, in the order of their use. Does nothing itself.
pub(crate) struct ImageCache {
    max: u64,
    exempt: Vec<String>,
    /// The one used last comes first.
    idle: VecDeque<Cached>,
    busy: HashMap<String, Busy>,
}

impl ImageCache {
    /// Over capacity from `max` bytes on. Images that have one of the `exempt` names, letter by letter,
    /// are left alone and not counted.
    pub(crate) fn new(max: u64, exempt: impl IntoIterator<Item = impl Into<String>>) -> ImageCache {
        let exempt = exempt.into_iter().map(Into::into).collect();
        ImageCache { max, exempt, idle: VecDeque::new(), busy: HashMap::new() }
    }

    fn is_exempt(&self, image: &Cached) -> bool {
        image.tags.iter().any(|tag| self.exempt.contains(tag))
    }

    /// An image is there, and was used just now, unless it is in use anyway. Says whether something
    /// has to go; so do the others.
    pub(crate) fn update(&mut self, image: &Cached) -> bool {
        if !self.is_exempt(image) && !self.busy.contains_key(&image.id) {
            self.idle.retain(|idle| idle.id != image.id);
            self.idle.push_front(image.clone());
        }
        self.is_over()
    }

    /// One more uses the image.
    pub(crate) fn mark_busy(&mut self, image: &Cached) -> bool {
        if !self.is_exempt(image) {
            self.idle.retain(|idle| idle.id != image.id);
            let new = || Busy { image: image.clone(), users: 0 };
            self.busy.entry(image.id.clone()).or_insert_with(new).users += 1;
        }
        self.is_over()
    }

    /// One of those who use the image does no more; after the last it is idle, used just now.
    pub(crate) fn mark_free(&mut self, id: &str) -> bool {
        if let Some(busy) = self.busy.get_mut(id) {
            busy.users -= 1;
            if busy.users == 0
                && let Some(Busy { image, .. }) = self.busy.remove(id)
            {
                self.idle.push_front(image);
            }
        }
        self.is_over()
    }

    /// Takes out the idle image that was used least lately.
    pub(crate) fn pop(&mut self) -> Option<Cached> {
        self.idle.pop_back()
    }

    /// Whether images take as much as they may or more, and one could go.
    pub(crate) fn is_over(&self) -> bool {
        let idle = total(self.idle.iter());
        idle > 0
            && idle.saturating_add(total(self.busy.values().map(|busy| &busy.image))) >= self.max
    }
}

fn total<'a>(images: impl Iterator<Item = &'a Cached>) -> u64 {
    images.fold(0, |sum, image| sum.saturating_add(image.size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(id: &str, tag: &str, size: u64) -> Cached {
        Cached { id: id.to_owned(), tags: vec![tag.to_owned()], size }
    }

    fn id(image: Option<Cached>) -> Option<String> {
        image.map(|image| image.id)
    }

    #[test]
    fn fns_first_vector_an_exempt_tag_and_two_images() {
        let mut cache = ImageCache::new(20, ["zoo"]);
        let zoo = image("s1", "zoo", 25);
        assert!(!cache.update(&zoo) && !cache.mark_busy(&zoo) && !cache.mark_free("s1"));
        let (third, fourth) = (image("s3", "a", 5), image("s4", "b", 5));
        assert!(!cache.update(&third) && !cache.mark_busy(&fourth));
        assert_eq!(id(cache.pop()).as_deref(), Some("s3"));
        assert!(!cache.mark_free("s4"));
        assert_eq!(id(cache.pop()).as_deref(), Some("s4"));
    }

    #[test]
    fn fns_second_vector_one_that_is_too_large() {
        let mut cache = ImageCache::new(20, ["zoo"]);
        assert!(cache.update(&image("s1", "a", 25)));
        assert_eq!(id(cache.pop()).as_deref(), Some("s1"));
        assert_eq!(cache.pop(), None);
        assert!(!cache.is_over());
    }

    #[test]
    fn fns_third_vector_one_that_is_used_twice() {
        let mut cache = ImageCache::new(20, ["zoo"]);
        let large = image("s1", "a", 25);
        assert!(cache.update(&large));
        assert!(!cache.mark_busy(&large) && !cache.mark_busy(&large));
        assert_eq!(cache.pop(), None);
        assert!(!cache.mark_free("s1"));
        assert_eq!(cache.pop(), None);
        assert!(cache.mark_free("s1"));
        assert_eq!(id(cache.pop()).as_deref(), Some("s1"));
        // Who was never marked frees nothing.
        assert!(!cache.mark_free("s1"));
        assert_eq!(cache.pop(), None);
    }

    #[test]
    fn fns_fourth_vector_an_update_of_one_in_use() {
        let mut cache = ImageCache::new(20, ["zoo"]);
        let large = image("s1", "a", 25);
        assert!(!cache.mark_busy(&large) && !cache.update(&large));
        assert_eq!(cache.pop(), None);
    }

    #[test]
    fn exempt_is_a_name_letter_by_letter() {
        let mut cache = ImageCache::new(20, "busybox node:20 ".split_whitespace());
        assert!(cache.update(&image("s1", "busybox:latest", 25)));
        assert!(!ImageCache::new(20, ["busybox:latest"]).update(&image(
            "s1",
            "busybox:latest",
            25
        )));
    }

    #[test]
    fn as_much_as_there_may_be_is_too_much_and_use_keeps() {
        let mut cache = ImageCache::new(20, [""; 0]);
        let all = ["a", "b", "c"].map(|id| image(id, id, 5));
        assert!(all.iter().all(|image| !cache.update(image)));
        assert!(cache.update(&image("d", "d", 5)));
        cache.update(&all[0]);
        cache.mark_busy(&all[1]);
        let order: Vec<_> = std::iter::from_fn(|| id(cache.pop())).collect();
        assert_eq!(order, ["c", "d", "a"]);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Update(u8),
        Busy(u8),
        Free(u8),
        Pop,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0..6_u8).prop_map(Op::Update),
            (0..6_u8).prop_map(Op::Busy),
            (0..6_u8).prop_map(Op::Free),
            Just(Op::Pop),
        ]
    }

    proptest! {
        #[test]
        fn an_image_in_use_is_never_taken_and_none_is_there_twice(
            ops in proptest::collection::vec(op(), 0..80)
        ) {
            let mut cache = ImageCache::new(20, ["5"]);
            let mut users = [0_usize; 6];
            let image = |n: u8| image(&n.to_string(), &n.to_string(), u64::from(n));
            for op in ops {
                match op {
                    Op::Update(n) => { cache.update(&image(n)); }
                    Op::Busy(n) => { cache.mark_busy(&image(n)); users[usize::from(n)] += 1; }
                    Op::Free(n) => {
                        cache.mark_free(&n.to_string());
                        users[usize::from(n)] = users[usize::from(n)].saturating_sub(1);
                    }
                    Op::Pop => {
                        if let Some(taken) = cache.pop() {
                            let n: usize = taken.id.parse().unwrap();
                            prop_assert!(users[n] == 0 && n != 5, "{}", taken.id);
                        }
                    }
                }
                let mut ids: Vec<_> = cache.idle.iter().map(|image| &image.id).collect();
                ids.extend(cache.busy.keys());
                let count = ids.len();
                ids.sort();
                ids.dedup();
                prop_assert_eq!(count, ids.len());
            }
        }
    }
}
