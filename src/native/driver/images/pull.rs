//! Pulling what a container lacks: who asks, what is tried again, and what fn calls the failures.

use std::sync::Mutex;
use std::time::Duration;

use crate::contract::{
    AuthConfiguration, BackOffConfig, ContainerTask, Context, Error, ErrorKind, Result,
    RetryErrorChecker, with_retries,
};
use crate::image::pull::{Client, Credentials, Keyring, Pull, Puller, Secret, Settings};
use crate::image::store::{Image, Store};
use crate::image::{Reference, pull};
use crate::unpoisoned::lock;

/// What a driver pulls with, made when it first does.
pub(super) struct Pulls {
    settings: Settings,
    puller: Mutex<Option<Puller>>,
}

impl Pulls {
    pub(super) fn new(settings: Settings) -> Pulls {
        Pulls { settings, puller: Mutex::new(None) }
    }

    /// Pulls the image for a task, as often as the policy says. The deadline of whoever asks is his own:
    /// the transfer goes on for others.
    pub(super) async fn pull(
        &self,
        store: Store,
        task: &dyn ContainerTask,
        name: &str,
        retry: &(BackOffConfig, RetryErrorChecker),
        context: &Context,
    ) -> Result<Image> {
        let reference: Reference = name
            .parse()
            .map_err(|error| Error::caused(ErrorKind::InvalidTask, "pull_image", error))?;
        let credentials = context.run(credentials(task, context, &reference)).await??;
        let puller = self.puller(store)?;
        let attempt = || {
            let mut wanted = Pull::new(reference.clone());
            wanted.credentials = credentials.clone();
            let pulled = puller.pull(wanted);
            async { pulled.await.map_err(|error| failed(name, error)) }
        };
        with_retries(retry, context, by_chance, attempt).await
    }

    fn puller(&self, store: Store) -> Result<Puller> {
        let mut puller = lock(&self.puller);
        if let Some(puller) = &*puller {
            return Ok(puller.clone());
        }
        let client = Client::new(self.settings.clone()).map_err(|error| {
            Error::caused(ErrorKind::InvalidConfig, "how registries are reached", error)
        })?;
        Ok(puller.insert(Puller::new(store, client)).clone())
    }
}

/// The task's own word comes first, then what this host has for the registry: read each time, because
/// what logs in there writes it anew.
async fn credentials(
    task: &dyn ContainerTask,
    context: &Context,
    image: &Reference,
) -> Result<Credentials> {
    if let Some(auther) = task.auther()
        && let Some(own) = auther.docker_auth(context, &image.familiar()).await?
    {
        return Ok(own.into());
    }
    let image = image.clone();
    let find = move || Keyring::from_environment()?.with_parents().for_image(&image);
    let found = tokio::task::spawn_blocking(find).await;
    let found = found.map_err(|error| Error::caused(ErrorKind::Host, "pull_image", error))?;
    found.map_err(|error| {
        Error::caused(ErrorKind::InvalidConfig, "the credentials of registries", error)
    })
}

impl From<AuthConfiguration> for Credentials {
    fn from(own: AuthConfiguration) -> Credentials {
        match own {
            AuthConfiguration { registry_token, .. } if !registry_token.is_empty() => {
                Credentials::RegistryToken(Secret::new(registry_token))
            }
            AuthConfiguration { username, password, .. } if !username.is_empty() => {
                Credentials::Basic { username, password: Secret::new(password) }
            }
            _ => Credentials::Anonymous,
        }
    }
}

/// fn answers with what the registry said was wrong with the request, and with 502 for all else.
fn failed(name: &str, error: pull::Error) -> Error {
    let status = error.status();
    Error::pull_failed(format!("Failed to pull image '{name}'"), status, error)
}

/// Anything up to a time.
fn by_chance(most: Duration) -> Duration {
    let mut random = [0; 8];
    // Without chance many may come at once, and no harm is done.
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::NONBLOCK);
    let part = u64::from_le_bytes(random) as f64 / u64::MAX as f64;
    most.mul_f64(part.min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_before_a_password_and_nothing_is_nobody() {
        let own = |user: &str, password: &str, token: &str| {
            Credentials::from(AuthConfiguration {
                username: user.to_owned(),
                password: password.to_owned(),
                registry_token: token.to_owned(),
                server_address: String::new(),
            })
        };
        assert_eq!(own("", "", ""), Credentials::Anonymous);
        assert_eq!(own("u", "p", "t"), Credentials::RegistryToken(Secret::new("t")));
        let password = Secret::new("p");
        assert_eq!(own("u", "p", ""), Credentials::Basic { username: "u".to_owned(), password });
    }

    #[test]
    fn chance_stays_below_its_ceiling() {
        let most = Duration::from_millis(100);
        let waits: Vec<_> = (0..1000).map(|_| by_chance(most)).collect();
        assert!(waits.iter().all(|wait| *wait <= most));
        assert!(waits.iter().any(|wait| *wait > most / 2) && waits.iter().any(|it| *it < most / 2));
        assert_eq!(by_chance(Duration::ZERO), Duration::ZERO);
    }
}
