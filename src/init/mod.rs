//! The child's half of a launch: 52 KB that interpret the parent's plan and become the task.
//!
//! ```text
//! clone3 ──► execveat(init) ──► receive plan ──► step, step, … ──► all clear ──► execve(task)
//!                                    │                                  ├─ or stay: PID 1, reap
//!                                    │                                  └─ or be born inside
//!                                    └─ a step fails: report {step, call, errno}, exit
//! ```
//!
//! The same files are compiled twice: as a program that links nothing (`main.rs`, embedded in the
//! library by `build.rs`), and as this ordinary module, so that the parent shares [`wire`] and lint
//! and unit tests see the rest. Nothing here allocates, panics on purpose, or knows the embedder.
#![allow(unsafe_code, reason = "the init talks to the kernel with nothing in between")]
#![allow(unreachable_pub, missing_docs, reason = "the program sees these files from another root")]
#![cfg_attr(
    not(hotcell_init),
    allow(dead_code, reason = "the library itself runs only the part it shares with the init")
)]

mod cell;
mod cover;
mod enter;
#[cfg(feature = "fault-injection")]
pub mod fault;
mod files;
mod hook;
mod kernel;
mod line;
mod links;
mod memory;
mod mounts;
mod plan;
mod privilege;
mod proc;
pub mod run;
mod standing;
mod supervise;
mod task;
mod terminal;
pub mod wire;
