//! From what a caller wants to a real OCI bundle: limits ──► specification ──► directory.
//!
//! [`CellConfig`] is what is wanted, in this crate's own words; [`Account`] gives names of users a
//! meaning in a root, [`DeviceFlag::look_up`] a device its number. [`spec`] turns it into an
//! [`oci_spec::runtime::Spec`] without touching the host. [`Bundle`] is a directory with that
//! specification as `config.json`, which runc, crun and youki can run too: what is special to
//! hotcell stands in annotations ([`annotation`]), and a root that cells share is written read-only
//! there, so that no other runtime ever writes to it.

mod accounts;
pub mod annotation;
mod capability;
mod config;
mod defaults;
mod device;
mod directory;
mod error;
mod grammar;
mod image_defaults;
mod layers;
mod limits;
mod merged;
mod mount_flag;
mod name;
mod path;
mod read;
mod spec;
mod units;
mod user;
mod user_namespace;
mod volume;

pub use accounts::Account;
pub use capability::{CapabilityName, adjust_capabilities};
pub use config::{CellConfig, Network, Seccomp, Tmpfs, Upper};
pub use defaults::{CAPABILITIES, MASKED_PATHS, PATH, READONLY_PATHS};
pub use device::{Device, DeviceAccess, DeviceFlag, DeviceKind, DeviceRule};
pub use directory::Bundle;
pub use error::Error;
pub use image_defaults::{ImageDefaults, LeftOpen, STOP_SIGNAL};
pub(crate) use layers::{above as dir_of_layers, split as layer_names};
pub use limits::{Limits, Rlimit};
pub use mount_flag::MountFlag;
pub use name::CellName;
pub use spec::spec;
pub use units::{Bytes, MilliCpu};
pub use user::{Principal, User, UserSpec};
pub use user_namespace::{IdRange, UserNamespace};
pub(crate) use user_namespace::{map_ids, owner, wants_ids, without_id};
pub use volume::{Propagation, Submounts, Volume};
