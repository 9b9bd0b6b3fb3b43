//! The driver: one [`Instance`] per embedding process, and the story of a cell from wish to close.
//!
//! ```text
//! Instance::open ──► create ──► Created::run ──► Running::wait ──► Outcome
//!   lock, sweep       bundle,      launch           exit truth        │
//!                     cgroup                                        close: undo, backwards
//! ```
//!
//! [`run`](mod@run) tells that story; [`NativeDriver`] is the same behind the contract, on tokio. Every thing it makes is pushed on an [undo stack](undo) at
//! once; what a killed driver leaves is found and removed by the next one ([`recover`]).

mod driver;
mod error;
pub(crate) mod hidden;
mod ids;
mod instance;
mod lock;
mod mark;
mod options;
mod owner;
mod prepare;
pub mod recover;
pub mod run;
mod state;
mod trash;
pub mod undo;

pub use driver::NativeDriver;
pub use error::Error;
pub use instance::Instance;
pub use options::Options;
pub use run::{Created, Outcome, Running, Timings};
