//! Where a mirror is, and who asks it.

use std::fmt;
use std::str::FromStr;

use crate::image::excerpt;
use crate::image::pull::Credentials;
use crate::image::pull::client::url::{Url, UrlError};

/// A mirror: `https://HOST[:PORT][/PREFIX]`, or with `http://`. The prefix stands before the repository's
/// name there.
///
/// ```
/// use hotcell::image::pull::Endpoint;
///
/// let mirror: Endpoint = "https://mirror.example:5000/hub".parse()?;
/// assert_eq!(mirror.to_string(), "https://mirror.example:5000/hub");
/// assert!("https://user:word@mirror.example".parse::<Endpoint>().is_err());
/// # Ok::<(), hotcell::image::pull::EndpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    pub(in crate::image::pull) url: Url,
    pub(in crate::image::pull) credentials: Credentials,
}

/// Why a text is no mirror.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the mirror {given:?} {why}")]
pub struct EndpointError {
    /// The text, without what may be secret.
    given: String,
    /// What is wrong with it.
    why: &'static str,
}

impl Endpoint {
    /// The mirror wants to see these credentials. Those of the registry that it mirrors it never sees.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials) -> Endpoint {
        Endpoint { credentials, ..self }
    }

    /// The host, with its port if one was given that its scheme does not imply.
    #[must_use]
    pub fn host(&self) -> String {
        self.url.origin.authority()
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let secret = text.contains('@');
        let given = if secret { "…".to_owned() } else { excerpt(text) };
        let url: Url =
            text.parse().map_err(|UrlError(why)| EndpointError { given: given.clone(), why })?;
        if url.target.contains('?') {
            return Err(EndpointError { given, why: "must not have a query" });
        }
        Ok(Endpoint { url, credentials: Credentials::Anonymous })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.to_string().trim_end_matches('/'))
    }
}
