//! From a registry to the store: images are pulled layer by layer, checked and unpacked as they come.
//!
//! ```text
//!  Reference ──► manifest ──► blobs ──────────────► layers ──► Image
//!  credentials    client       client, in parallel    unpack    store
//! ```
//!
//! Every byte of a registry's answer is hostile. What it says is used when it has the digest that was
//! promised; and a secret is shown to the host that it is for, and to nobody else.
//!
//! ```no_run
//! use hotcell::image::pull::{Client, Keyring, Pull, Puller, Settings};
//! use hotcell::image::store::{Store, StoreOptions};
//!
//! # async fn pull() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open("/var/lib/hotcell/images", StoreOptions::default())?;
//! let puller = Puller::new(store, Client::new(Settings::default())?);
//!
//! let mut pull = Pull::new("registry.example/team/app:v2".parse()?);
//! // May ask a program for it: on the runtime's thread that would be waiting.
//! let reference = pull.reference.clone();
//! let found = move || Keyring::from_environment()?.for_image(&reference);
//! pull.credentials = tokio::task::spawn_blocking(found).await??;
//! let image = puller.pull(pull).await?;
//! println!("{}", image.id());
//! # Ok(())
//! # }
//! ```

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
