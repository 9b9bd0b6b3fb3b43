//! The first two generations of fn's driver contract, for those who still speak them.
//!
//! | generation | years | shape |
//! |---|---|---|
//! | [`a`] | 2016 to 2017 | `prepare`, then `run`, which returns when the task has ended |
//! | [`b`] | 2017 to 2018 | `prepare`, then `run`, which returns when it has started, then `wait` |
//! | [`contract`](crate::contract) | since 2018 | `create_cookie` and a cookie with a method for each step |
//!
//! ```text
//!  an agent of A ──► a::Facade ──► b::Facade ──► any contract::Driver
//!  an agent of B ─────────────────────┘
//!  an agent of C ──► upgrade::Upgraded ──► any b::Driver
//! ```
//!
//! Tasks, contexts, errors and statuses are the third generation's throughout.

pub mod a;
pub mod b;
mod config;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fake_cookie;
pub mod upgrade;

pub use config::{Config, default_config};
