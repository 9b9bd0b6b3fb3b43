//! What a registry wants to see before it gives an image.

mod docker_file;
mod error;
mod file;
mod helper;
mod keyring;
mod matching;
mod secret;

pub use docker_file::DockerFile;
pub use error::KeyringError;
pub use keyring::Keyring;
pub use secret::Secret;

/// Who asks a registry. Two that are equal may share a pull.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user, at the registry or at the place that it sends to for tokens.
    Basic {
        /// The user's name.
        username: String,
        /// The user's password.
        password: Secret,
    },
    /// A refresh token of OAuth 2, with which tokens are asked for.
    IdentityToken(Secret),
    /// A token that is shown to the registry as it is.
    RegistryToken(Secret),
}
