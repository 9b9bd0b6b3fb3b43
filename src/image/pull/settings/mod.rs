//! What a host says of registries: mirrors, authorities, plain HTTP, patience.

mod endpoint;
mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use endpoint::{Endpoint, EndpointError};
pub use file::SettingsError;

/// How registries are reached. The default suits public registries, and those on this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// What is special about a registry, by the name that stands in references: `host` or `host:port`,
    /// and `docker.io` for Docker Hub.
    pub registries: BTreeMap<String, RegistrySettings>,
    /// Directories with a directory `HOST` or `HOST:PORT` for each host that has certificates of its own:
    /// authorities in `*.crt`, and a client's pair in `NAME.cert` and `NAME.key`. The first directory that
    /// has one for a host counts.
    pub certs_dirs: Vec<PathBuf>,
    /// How long is waited for what.
    pub timeouts: Timeouts,
}

/// What is special about one registry.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RegistrySettings {
    /// Who is asked first, in this order. Mirrors have to be trusted with what a tag means.
    pub mirrors: Vec<Endpoint>,
    /// The registry speaks HTTP without TLS: everybody on the way can read and change what goes by.
    pub plain_http: bool,
    /// Files with certificates (PEM) of authorities that the registry may have its own from, beside the
    /// host's.
    pub ca: Vec<PathBuf>,
}

/// How long is waited. Nothing bounds a transfer that moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// For a name, a connection and the handshake of TLS, each: 10 s.
    pub connect: Duration,
    /// From a request to its answer: 30 s.
    pub first_byte: Duration,
    /// For the next 1024 bytes of a blob: 30 s. A manifest has to be whole in four times that.
    pub stall: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        let certs_dirs = ["/etc/hotcell/certs.d", "/etc/docker/certs.d", "/etc/containers/certs.d"];
        Settings {
            registries: BTreeMap::new(),
            certs_dirs: certs_dirs.map(PathBuf::from).to_vec(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let (connect, patience) = (Duration::from_secs(10), Duration::from_secs(30));
        Timeouts { connect, first_byte: patience, stall: patience }
    }
}
