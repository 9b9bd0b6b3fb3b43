//! Adapters: other shapes for the same containers. Each stands on [`contract::Driver`] and nothing
//! below it, so that it serves real containers, the mock and a user's own driver alike.
//!
//! [`generations`] speaks the first two generations of fn's contract, in both directions.
//!
//! [`contract::Driver`]: crate::contract::Driver

pub mod generations;
