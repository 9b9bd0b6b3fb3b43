//! From a bundle and a cgroup to a running process.
//!
//! ```text
//! Bundle ──compile──► Plan ──encode──► control socket ──► init (src/init) ──► task
//!                      ▲                     │
//!                      └── prints the step ◄─┘ Failed { step, call, errno }
//! ```
//!
//! The parent does all the thinking, and does it before there is a child: [`compile`] turns the
//! specification into a flat [`Plan`]. [`launch`] starts the init, hands it the plan and waits
//! until the task has been executed or a step has failed. [`Cell`] is what runs then, and [`exec`]
//! starts further processes in it.

mod cell;
mod compile;
mod control;
mod cradle;
mod encode;
mod error;
mod exec;
mod exit;
mod failure;
mod filter;
mod given;
mod hooks;
mod inside;
mod joined;
mod latch;
mod listener;
mod mount_plan;
mod options;
mod plan;
mod program;
mod report;
mod start;
mod stdio;
mod target;
mod trees;
mod user_namespace;

pub use cell::Cell;
pub use compile::{Place, compile, held_capabilities};
#[cfg(feature = "cli")]
pub(crate) use compile::{may_mount, tmpfs_keeps_attributes};
pub use error::Error;
pub use exec::{Exec, exec};
pub use exit::Exit;
pub use hooks::{HookPoint, hook_state, run_all_hooks, run_hooks};
pub use inside::{InsideHook, InsidePoint};
pub use latch::Latch;
pub use listener::Listener;
pub use mount_plan::{Mapped, Mount, Tree};
#[cfg(feature = "cli")]
pub(crate) use options::MOUNT_OPTIONS;
pub use plan::{Given, IdMaps, Joined, Plan, Step, Tasks};
pub use start::{Launched, launch};
pub use stdio::{Stdio, Stream};
