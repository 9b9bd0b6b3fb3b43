//! The streams of a cell: output pumped from its pipes to the embedder's writers, input to its pipe.
//!
//! ```text
//! cell ──pipe──► reading task ──► ring ──► writer's task ──► Output
//!                (pump.rs)      (ring.rs)  (deliver.rs)  └─► ...
//! Input ──► feeding task ──pipe──► cell
//!           (feed.rs)
//! ```
//!
//! No stream costs a thread, and an idle one no buffer: reading and writing are done through one
//! buffer for each thread, and the ring's memory lives as long as there is something in it. A full
//! ring stops the reading, so that the cell waits for its slowest writer and nothing is lost; a
//! writer that failed holds up nobody.

mod deliver;
mod failure;
mod feed;
mod pipes;
mod pump;
mod ring;
mod scratch;
mod shared;

#[cfg(test)]
mod tests;

#[cfg(feature = "cli")]
pub(crate) use pipes::Owner;
pub(crate) use {
    deliver::GRACE,
    feed::Feed,
    pipes::{input_pipe, output_pipe},
    pump::Pump,
};
