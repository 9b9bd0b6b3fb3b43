//! What every driver has to do, as checks that run against any of them.
//!
//! A driver's author writes a [`Harness`], which makes drivers and knows how to have some simple
//! work done in them. [`run_all`] runs everything; [`checks`] gives the checks one by one, for a
//! test harness that lists them. Each has a time limit, so that a driver that hangs is a failure
//! with a name, and leaves nothing behind if the driver doesn't.
//!
//! ```
//! use std::sync::Arc;
//! use hotcell::contract::conformance::{Capability, Harness, Work, async_trait, checks};
//! use hotcell::contract::{Driver, Result, Task, TaskBuilder};
//! use hotcell::mock::{MockDriver, Play};
//!
//! struct Mine;
//!
//! #[async_trait]
//! impl Harness for Mine {
//!     async fn driver(&self) -> Result<Arc<dyn Driver>> {
//!         Ok(Arc::new(MockDriver::scripted(|task| match task.command().as_str() {
//!             "false" => Play::exits(1),
//!             _ => Play::default(),
//!         })))
//!     }
//!
//!     fn task(&self, work: Work) -> TaskBuilder {
//!         Task::builder("any").command(if work == Work::Exit(1) { "false" } else { "true" })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let check = checks().into_iter().find(|check| check.name() == "outcomes::code_zero_is_success");
//! check.expect("it is in the list").run(&Mine).await.expect("the mock keeps the contract");
//! # }
//! ```

// What goes wrong in a check is told in words, for people: the same for all of them.
#![allow(clippy::missing_errors_doc, reason = "every check fails alike: with what it saw")]

mod check;
pub mod closing;
pub mod dropping;
pub mod freezing;
mod harness;
pub mod images;
pub mod options;
pub mod outcomes;
mod scene;
pub mod signals;
pub mod stages;
pub mod stdio;
mod streams;
pub mod waiting;

#[cfg(test)]
mod flawed;
#[cfg(test)]
mod flawed_tests;
#[cfg(test)]
mod tests;

pub use async_trait::async_trait;
pub use check::{Check, Failure, Failures, Report, checks, run_all};
pub use harness::{Capability, Harness, Work};
pub use scene::{Reason, Verdict};
