//! A container's network namespace, made while its cgroups are: each takes the kernel about as long as
//! all the rest.

use std::os::fd::OwnedFd;
use std::thread::{Builder, JoinHandle};

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::sys::unshare::new_network_namespace;

/// The thread that makes it. It leaves its own network for good, and ends then.
#[derive(Debug)]
pub(super) struct Early(Option<JoinHandle<std::io::Result<OwnedFd>>>);

impl Early {
    /// Begins, if the container gets one that needs nothing of the container's own first.
    pub(super) fn begin(spec: &Spec) -> Early {
        let thread = Builder::new().name("hotcell-network".to_owned()).stack_size(64 << 10);
        // Where there is no thread to be had, there is time.
        Early(wanted(spec).then(|| thread.spawn(new_network_namespace).ok()).flatten())
    }

    /// The namespace. Without one, for whatever reason, the container's init makes it, and says what is
    /// wrong if it can't.
    pub(super) fn finish(self) -> Option<OwnedFd> {
        self.0?.join().ok()?.ok()
    }
}

/// One of a user namespace's belongs to that, and is made in it.
fn wanted(spec: &Spec) -> bool {
    let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref());
    let listed = listed.unwrap_or_default();
    let is = |kind| listed.iter().find(|namespace| namespace.typ() == kind);
    let joined = |path: &std::path::PathBuf| !path.as_os_str().is_empty();
    is(LinuxNamespaceType::User).is_none()
        && is(LinuxNamespaceType::Network)
            .is_some_and(|network| !network.path().as_ref().is_some_and(joined))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_of(listed: &str) -> bool {
        let json = format!(r#"{{"ociVersion": "1.0.2", "linux": {{"namespaces": [{listed}]}}}}"#);
        wanted(&serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn one_is_made_early_where_it_is_new_and_nobody_elses() {
        assert!(wanted_of(r#"{"type": "pid"}, {"type": "network"}"#));
        assert!(wanted_of(r#"{"type": "network", "path": ""}"#));
        assert!(!wanted_of(r#"{"type": "network", "path": "/proc/7/ns/net"}"#));
        assert!(!wanted_of(r#"{"type": "network"}, {"type": "user"}"#));
        assert!(!wanted_of(r#"{"type": "pid"}"#));
    }
}
