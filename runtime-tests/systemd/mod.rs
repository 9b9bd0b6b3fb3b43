//! Cgroups that systemd makes: on a host whose PID 1 it is, with cgroup v2 alone.
//!
//! ```text
//! scope    a container's unit from its start to its end     engines  podman and dockerd, whose
//!                                                                    default it is there
//! ```

mod engines;
mod scope;

use crate::Test;

pub fn tests() -> Vec<Test> {
    scope::tests().into_iter().chain(engines::tests()).collect()
}
