//! Failures of a driver, with a kind that a program can act on and a line that a person can read.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The driver could not do what it was asked, or why a task is not a success. `Display` tells this
/// level; the source, why. Cheap to clone: the clones share one source.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    /// What a registry answered.
    status: Option<u16>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of a driver's operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it is. The number behind each is the HTTP status that fn's agent answers
/// with; [`Error::http_status`] gives it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The task asks for something that makes no sense (400).
    InvalidTask,
    /// The driver's configuration makes no sense (500).
    InvalidConfig,
    /// The task or the configuration asks for something this driver does not do (501).
    Unsupported,
    /// No driver was registered under this name (500).
    UnknownDriver,
    /// The operation was called out of order (500).
    WrongStage,
    /// The cookie or the driver has been closed (503).
    Closed,
    /// Another container has this id (409).
    Conflict,
    /// The process lacks a privilege (500).
    Denied,
    /// The image declares volumes and the configuration does not allow it: fn's
    /// `ErrImageWithVolume` (400).
    ImageWithVolume,
    /// Fetching the image failed: fn's `Failed to pull image` (502, or the registry's own status if it
    /// is one of the 400s).
    PullFailed,
    /// Fetching the image took too long: fn's `ErrDockerPullTimeout` (504).
    PullTimeout,
    /// No capacity, or the image vanished after it was validated: fn's `ErrCallTimeoutServerBusy`
    /// (503).
    ServerBusy,
    /// The log sink can't be reached: fn's `ErrSyslogUnavailable` (500).
    SyslogUnavailable,
    /// The task ended with a code other than 0 (502).
    ContainerExit,
    /// The task was killed (502).
    ContainerKilled,
    /// A reader or writer that the task brought along failed (500).
    Stream,
    /// The context's deadline passed (504).
    DeadlineExceeded,
    /// The context was cancelled (499).
    Cancelled,
    /// The container could not be started (500).
    Launch,
    /// The container is gone, but something it used could not be removed (500).
    Leftovers,
    /// The host did not do what it was asked (500).
    Host,
}

impl Error {
    /// An error without a source.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error {
            inner: Arc::new(Inner { kind, message: message.into(), status: None, source: None }),
        }
    }

    /// An error that another one caused.
    #[must_use]
    pub fn caused(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Error {
        let source = Some(source.into());
        Error { inner: Arc::new(Inner { kind, message: message.into(), status: None, source }) }
    }

    /// [`ErrorKind::PullFailed`], with the status that the registry answered with.
    #[cfg(feature = "pull")]
    pub(crate) fn pull_failed(
        message: String,
        status: Option<u16>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Error {
        let (kind, source) = (ErrorKind::PullFailed, Some(source.into()));
        Error { inner: Arc::new(Inner { kind, message, status, source }) }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The HTTP status that fn's agent answers with.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        match self.inner.kind {
            ErrorKind::InvalidTask | ErrorKind::ImageWithVolume => 400,
            ErrorKind::Conflict => 409,
            ErrorKind::Cancelled => 499,
            ErrorKind::Unsupported => 501,
            ErrorKind::PullFailed => {
                self.inner.status.filter(|it| (400..500).contains(it)).unwrap_or(502)
            }
            ErrorKind::ContainerExit | ErrorKind::ContainerKilled => 502,
            ErrorKind::ServerBusy | ErrorKind::Closed => 503,
            ErrorKind::PullTimeout | ErrorKind::DeadlineExceeded => 504,
            ErrorKind::InvalidConfig
            | ErrorKind::UnknownDriver
            | ErrorKind::WrongStage
            | ErrorKind::Denied
            | ErrorKind::SyslogUnavailable
            | ErrorKind::Stream
            | ErrorKind::Launch
            | ErrorKind::Leftovers
            | ErrorKind::Host => 500,
        }
    }

    /// Whether the function or its image is to blame rather than the node: what fn calls a
    /// function error.
    #[must_use]
    pub fn is_function_error(&self) -> bool {
        matches!(
            self.inner.kind,
            ErrorKind::PullFailed
                | ErrorKind::PullTimeout
                | ErrorKind::SyslogUnavailable
                | ErrorKind::ContainerExit
                | ErrorKind::ContainerKilled
        )
    }

    /// Whether the same call may succeed later or on another node.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::ServerBusy | ErrorKind::PullTimeout)
    }

    /// This error and its causes in one line, the outermost first.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.inner.message)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_has_the_very_same_source() {
        let error = Error::caused(ErrorKind::Stream, "write", std::io::Error::other("full"));
        let address = |error: &Error| {
            error
                .source()
                .and_then(|source| source.downcast_ref::<std::io::Error>())
                .map(|io| io as *const _)
        };
        assert!(address(&error).is_some());
        assert_eq!(address(&error), address(&error.clone()));
        assert_eq!(error.chain(), "write: full");
    }
}
