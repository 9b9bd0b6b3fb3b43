//! The image cleaner: when images take too much room, those that nobody has used for longest go.
//!
//! ```text
//! validate ──mark_busy──►┐                        ┌──pop──► job: removes, twice a second at most
//! close ─────mark_free──►│ cache: what there is,  │
//! list ──────update─────►│ in use or idle, since  │
//!                        └─ when ─────notice──────┘
//! ```
//!
//! It is fn's: images are counted as a daemon reports them, so a layer that two share counts twice.

mod cache;
mod job;

pub(crate) use cache::{Cached, ImageCache};
pub(crate) use job::{Cleaner, Shelf};
