//! What an embedder sees: fn's driver contract, in Rust.
//!
//! ```text
//! Driver::create_cookie(task) ─► Cookie
//!   validate_image ─► [pull_image ─► validate_image] ─► create_container ─► run ─► WaitResult
//!                                                                            │        │
//!                         freeze ⇄ unfreeze, signal, stop  ◄─────────────────┘      wait ─► RunResult
//!   close, at any stage
//! ```
//!
//! The order, the units and the outcomes are those of the third generation of fnproject/fn's
//! package `drivers`; `docs/fn-contract.md` lists them one by one, and where hotcell decided
//! otherwise. Two kinds of failure are kept apart: a task that failed is a [`RunResult`] with a
//! status, a driver that failed is an [`Error`] with a kind.
//!
//! Everything here is asynchronous, runs on tokio and can be used behind `dyn`. Any future may be
//! dropped at any await: nothing leaks.
//!
//! This module is about names and meanings, and does nothing itself. [`native`](crate::native) runs
//! real containers, [`mock`](crate::mock) plays them.

mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod driver;
mod error;
mod hooks;
mod image_name;
mod outcome;
mod ready_task;
mod result;
mod retry;
mod slot;
mod stat;
mod strict_json;
mod task;
mod task_builder;

pub use async_trait::async_trait;
pub use config::{Config, LoggerConfig, LoggerTag};
pub use context::{Context, ContextEnd};
pub use driver::{ContainerOptions, Cookie, Driver, WaitResult};
pub use error::{Error, ErrorKind, Result};
pub use hooks::{
    AfterCall, BeforeCall, BoxFuture, Call, CallExtensions, CloseTask, Wrap, no_call_hook,
};
pub use image_name::{ImageName, parse_image, parse_image_first_generation};
pub(crate) use outcome::{result_of, result_of_end};
pub use ready_task::Task;
pub use result::{ExitInfo, RunResult, State, Status};
pub(crate) use retry::with_retries;
pub use retry::{BackOffConfig, RetryErrorChecker, never_retry};
pub use stat::Stat;
pub use task::{AuthConfiguration, Auther, ContainerTask, Input, Output};
pub use task_builder::TaskBuilder;
/// Cancels a [`Context`].
pub use tokio_util::sync::CancellationToken;

/// The names of the nine metrics.
pub mod metric {
    pub use super::stat::{
        CPU_KERNEL, CPU_TOTAL, CPU_USER, DISK_READ, DISK_WRITE, MEM_LIMIT, MEM_USAGE, NET_RX,
        NET_TX,
    };
}
