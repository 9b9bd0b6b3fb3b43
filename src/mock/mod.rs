//! A driver without containers: tasks that only pretend, for the tests of an embedder.
//!
//! [`MockDriver::new`] is fn's mock: every task ends well at once, but every 100th start fails.
//! [`MockDriver::scripted`] plays whatever the contract allows: images that have to be pulled, slow
//! and failing operations, output, exit codes, signals, tasks that never end. It keeps the stages as
//! a real driver does, needs no privilege, and follows tokio's clock, so that a test which pauses it
//! takes no time.
//!
//! ```
//! use std::sync::Arc;
//! use hotcell::contract::{Context, Driver, Status, Task};
//! use hotcell::mock::{MockDriver, Play};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> hotcell::contract::Result<()> {
//! let driver = MockDriver::scripted(|task| match task.command().as_str() {
//!     "hog" => Play::runs_out_of_memory(),
//!     _ => Play::exits(3),
//! });
//! let context = Context::background();
//! let task = Task::builder("any").command("hog").memory(64 << 20).build();
//! let cookie = driver.create_cookie(&context, Arc::new(task)).await?;
//! cookie.validate_image(&context).await?;
//! cookie.create_container(&context).await?;
//! let result = cookie.run(&context).await?.wait(&context).await;
//! assert_eq!(result.status(), Status::Killed);
//! cookie.close(&context).await?;
//! # Ok(())
//! # }
//! ```

mod close;
mod container;
mod cookie;
mod driver;
mod operation;
mod play;
mod player;
mod prepare;
mod pump;
mod shared;
mod wait;

#[cfg(test)]
mod course_tests;
#[cfg(test)]
mod script_tests;
#[cfg(test)]
mod tests;

pub use driver::MockDriver;
pub use operation::Operation;
pub use play::Play;
