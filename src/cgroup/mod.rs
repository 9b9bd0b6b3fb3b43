//! Control groups: which tree this host has, a cell's place in it, limits, freezing, killing and
//! measuring.
//!
//! ```text
//! Hierarchies::detect ──► Parent::open ──► Parent::create(leaf) ──► Cgroup
//!   what is mounted        "hotcell", once    limits written         freeze, kill, sample, remove
//! ```
//!
//! A launch needs little of it at first: `begin` makes the v2 directory, and `Cgroup::complete` what v1
//! hierarchies have besides, while the cell builds itself.
//!
//! A container of an engine's stands where its engine says, in every hierarchy of the host:
//!
//! ```text
//! Places::resolve(cgroupsPath) ──► Cgroup::create_at ──► launch, update, stats, pids ──► remove_at
//! ```
//!
//! Two kinds of host. *Unified*: everything is cgroup v2. *Hybrid*: a v2 tree with few or no
//! controllers stands beside v1 hierarchies; then memory, cpu, pids and blkio are v1, while birth,
//! freeze, kill, events and CPU time are v2, where they cost microseconds. A limit that no
//! controller here can enforce is an error with the controller's and the file's name.

mod at;
mod begin;
mod cpuset;
mod detect;
mod device_program;
mod devices;
mod error;
mod files;
mod freezer;
mod hand_down;
mod inner;
mod leaf;
mod limits;
mod members;
mod old;
mod parent;
mod places;
mod removal;
mod resources;
mod sample;
pub mod stats;

pub use at::Devices;
pub use detect::{Controller, Hierarchies, Mounted};
pub use error::Error;
pub use hand_down::OwnPlace;
pub use inner::Inner;
pub use leaf::{Cgroup, Enforced, View};
pub use parent::Parent;
pub use places::Places;
pub use sample::{OomEvents, Sample};
pub use stats::Stats;
