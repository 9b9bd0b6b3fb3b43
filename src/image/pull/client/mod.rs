//! Asking registries: manifests and blobs, from mirrors first, with as much proof of identity as is due.

mod address;
mod blob;
mod connect;
mod repository;
pub(in crate::image::pull) mod url;
mod wire;

use std::fmt;
use std::sync::Arc;

pub use blob::Blob;
pub use repository::{Found, Repository, Which};

use super::{Asked, Credentials, Error, Failure, Settings};
use crate::image::Reference;
use address::Reach;
use url::{Origin, Url, UrlError};
use wire::Wire;

/// Where Docker Hub's registry answers, and what references call it.
const HUB: &str = "docker.io";
const HUB_HOST: &str = "registry-1.docker.io";

/// Asks registries. A clone is the same client: connections and tokens are shared.
///
/// It works on the tokio runtime of whoever calls it, and blocks it never.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    wire: Arc<Wire>,
}

impl Client {
    /// A client for these settings. Nothing is read or asked yet.
    ///
    /// # Errors
    /// Settings that make no sense.
    pub fn new(settings: Settings) -> Result<Client, Error> {
        let wire = Wire::new(settings.timeouts);
        Ok(Client { inner: Arc::new(Inner { settings, wire }) })
    }

    /// The repository of an image, for whoever has these credentials at its registry.
    #[must_use]
    pub fn repository(&self, reference: &Reference, credentials: &Credentials) -> Repository {
        Repository::new(self.clone(), reference, credentials)
    }

    /// Sees whether a registry (`host` or `host:port`, as in references) takes the credentials.
    ///
    /// # Errors
    /// It does not, or it can't be asked.
    pub async fn check(&self, registry: &str, credentials: &Credentials) -> Result<(), Error> {
        let _ = credentials;
        let told = |failure| {
            let what = "access".to_owned();
            let asked = Asked { registry: registry.to_owned(), repository: None, what };
            Error::Registry { asked: Box::new(asked), failure: Box::new(failure) }
        };
        let origin = self.origin(registry).map_err(told)?;
        let ask = wire::Ask::get(http::HeaderMap::new());
        let url = Url::new(origin, "/v2/");
        let answer = self.inner.wire.send(&ask, &url, Reach::Anywhere).await.map_err(told)?;
        repository::good(answer).await.map_err(told)?;
        Ok(())
    }

    fn origin(&self, registry: &str) -> Result<Origin, Failure> {
        let host = if registry == HUB { HUB_HOST } else { registry };
        let no_host =
            |UrlError(why)| Failure::Answer { host: registry.to_owned(), what: why.to_owned() };
        Origin::parse(false, host).map_err(no_host)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}
