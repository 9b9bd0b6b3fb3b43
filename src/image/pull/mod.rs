//! From a registry to the store: images are pulled layer by layer, checked and unpacked as they come.
//!
//! ```text
//!  Reference ──► manifest ──► blobs ──────────────► layers ──► Image
//!  credentials    client       client, in parallel    unpack    store
//! ```
//!
//! Every byte of a registry's answer is hostile. What it says is used when it has the digest that was
//! promised; and a secret is shown to the host that it is for, and to nobody else.

mod claims;
pub(crate) mod client;
mod credentials;
mod documents;
mod download;
mod error;
mod flight;
mod progress;
mod puller;
mod settings;

pub use client::{Blob, Client, Found, Repository, Which};
pub use credentials::{Credentials, DockerFile, Keyring, KeyringError, Secret};
pub use error::{Asked, Error, Failure};
pub use progress::{Listener, Progress};
pub use puller::{Pull, Puller};
pub use settings::{Endpoint, EndpointError, RegistrySettings, Settings, SettingsError, Timeouts};
