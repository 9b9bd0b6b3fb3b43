//! Which blobs are on their way already: no blob of a registry is fetched twice at once for the same
//! credentials.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::Credentials;
use crate::image::Digest;
use crate::unpoisoned::lock;

/// Blobs on their way, by registry and by who asks: a registry that dawdles can't hold up what another
/// has, too, nor a stranger's image what others want of the same registry. A clone is the same.
#[derive(Clone, Default, Debug)]
pub(super) struct Claims {
    claimed: Arc<Mutex<HashMap<Key, watch::Receiver<()>>>>,
}

/// A registry, somebody there, and a blob that he wants.
type Key = (String, Credentials, Digest);

/// Somebody fetches these; until this goes.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Claims,
    keys: Vec<Key>,
    _until: watch::Sender<()>,
}

/// Somebody else fetches one of them.
#[derive(Debug)]
pub(super) struct Taken(watch::Receiver<()>);

impl Claims {
    /// All of them, or none: so nobody waits for somebody who waits for him.
    pub(super) fn take(
        &self,
        registry: &str,
        credentials: &Credentials,
        blobs: impl IntoIterator<Item = Digest>,
    ) -> Result<Claim, Taken> {
        let key = |blob| (registry.to_owned(), credentials.clone(), blob);
        let keys: Vec<_> = blobs.into_iter().map(key).collect();
        let mut claimed = lock(&self.claimed);
        if let Some(other) = keys.iter().find_map(|key| claimed.get(key)) {
            return Err(Taken(other.clone()));
        }
        let (until, gone) = watch::channel(());
        claimed.extend(keys.iter().map(|key| (key.clone(), gone.clone())));
        drop(claimed);
        Ok(Claim { claims: self.clone(), keys, _until: until })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = lock(&self.claims.claimed);
        self.keys.iter().for_each(|key| drop(claimed.remove(key)));
    }
}

impl Taken {
    /// Waits until whoever has it is done, one way or the other.
    pub(super) async fn gone(mut self) {
        // Nothing is ever sent: it ends with the sender.
        while self.0.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::pull::Secret;

    #[tokio::test]
    async fn all_are_had_or_none_and_whoever_waits_has_his_turn() {
        let claims = Claims::default();
        let [one, two, three] = [b"1", b"2", b"3"].map(|bytes| Digest::sha256(bytes));
        let nobody = &Credentials::Anonymous;
        let claim = claims.take("here", nobody, [one, two]).unwrap();
        let Err(taken) = claims.take("here", nobody, [two, three]) else { panic!("it is taken") };
        let third = claims.take("here", nobody, [three]).unwrap();
        claims.take("there", nobody, [one, two]).unwrap();
        let somebody = Credentials::RegistryToken(Secret::new("t"));
        claims.take("here", &somebody, [one, two]).unwrap();
        let waiting = tokio::spawn(taken.gone());
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(claim);
        waiting.await.unwrap();
        drop(third);
        claims.take("here", nobody, [one, two, three]).unwrap();
    }
}
