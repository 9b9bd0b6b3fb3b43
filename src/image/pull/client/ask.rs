//! One question and its answer: proofs of identity, redirections, a registry that asks for patience.

use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::address::{Reach, Zone};
use super::answer::{Shown, refused};
use super::challenge::challenges;
use super::patience::Patience;
use super::token::{Proofs, Purpose};
use super::url::{Origin, Url};
use super::wire::{Answer, Ask, Wire};
use crate::image::pull::{Credentials, Failure};

/// How often one question is sent elsewhere.
const REDIRECTIONS: usize = 5;

/// A registry or a mirror, for somebody with certain credentials there.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) origin: Origin,
    /// What stands before repositories' names: nothing, or a path that starts with a slash.
    pub(super) prefix: String,
    pub(super) credentials: Credentials,
    /// Where the source itself may be.
    pub(super) reach: Reach,
}

/// How questions are asked: shared by all of a client.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) wire: Arc<Wire>,
    pub(super) proofs: Proofs,
}

impl Asker {
    /// Gets what stands at `path` of a repository, or of the source itself. The answer is a success.
    pub(super) async fn get(
        &self,
        source: &Source,
        repository: Option<&str>,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Answer, Failure> {
        let Source { origin, prefix, credentials, .. } = source;
        let full = |name| format!("{prefix}/{name}").trim_start_matches('/').to_owned();
        let name = repository.map(full);
        let under = name.as_ref().map_or(String::new(), |name| format!("{name}/"));
        let url = Url::new(origin.clone(), format!("/v2/{under}{path}"));
        let (repository, credentials) = (name, credentials.clone());
        let purpose = Purpose { origin: origin.clone(), repository, credentials };
        let mut proof = self.proofs.known(&purpose).await;
        let mut renewed = false;
        let mut patience = Patience::new();
        loop {
            let Followed { answer, zone, at_home } =
                self.follow(url.clone(), source.reach, headers, proof.as_ref()).await?;
            if let Some(wait) = patience.wait(answer.head.status, &answer.head.headers) {
                answer.body.pass_over().await;
                tokio::time::sleep(wait).await;
                continue;
            }
            // Whoever we were sent to has no right to ask who we are.
            if answer.head.status == StatusCode::UNAUTHORIZED && at_home && !renewed {
                renewed = true;
                let nonsense =
                    |what: &str| Failure::Challenge { host: answer.host(), why: what.to_owned() };
                let wanted = challenges(&answer.head.headers).map_err(nonsense)?;
                let (wire, refused) = (&self.wire, proof.as_ref());
                if !wanted.is_empty()
                    && let Some(new) =
                        self.proofs.renew(wire, &purpose, refused, &wanted, zone).await?
                {
                    answer.body.pass_over().await;
                    proof = Some(new);
                    continue;
                }
            }
            return match answer.head.status {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
                _ => Err(refused(answer, &Shown::new(&purpose.credentials, proof.as_ref())).await),
            };
        }
    }

    /// Goes where the source sends us. The proof is for the source alone, and nobody may send us to a
    /// place that only those inside should reach.
    async fn follow(
        &self,
        mut url: Url,
        mut reach: Reach,
        headers: &HeaderMap,
        proof: Option<&HeaderValue>,
    ) -> Result<Followed, Failure> {
        let mut ask = Ask::get(headers.clone());
        ask.headers.extend(proof.map(|proof| (AUTHORIZATION, proof.clone())));
        let (host, mut home) = (url.origin.host.clone(), None::<Zone>);
        let mut hops = 0;
        loop {
            let answer = self.wire.send(&ask, &url, reach).await?;
            let zone = *home.get_or_insert(answer.zone);
            if !matches!(answer.head.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(Followed { answer, zone, at_home: hops == 0 });
            }
            let refuse = |to: String, why| Failure::Redirect { host: answer.host(), to, why };
            let Some(to) = answer.location(&url) else {
                return Err(refuse("nowhere".to_owned(), "that is no address"));
            };
            if url.origin.tls && !to.origin.tls {
                return Err(refuse(to.origin.to_string(), "that would go without TLS"));
            }
            if hops == REDIRECTIONS {
                return Err(refuse(to.origin.to_string(), "that would be the sixth time"));
            }
            if to.origin != url.origin {
                ask.headers.remove(AUTHORIZATION);
            }
            ask.identified = to.origin.host == host;
            answer.body.pass_over().await;
            (url, reach) = (to, Reach::From(zone));
            hops += 1;
        }
    }
}

/// The answer at the end of the redirections.
struct Followed {
    answer: Answer,
    /// Where the source itself is.
    zone: Zone,
    /// Whether the source itself answered.
    at_home: bool,
}
