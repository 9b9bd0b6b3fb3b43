//! Proofs of identity: what a registry is shown, where tokens come from, and how long they are kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::address::{Reach, Zone};
use super::answer::{Shown, refused};
use super::challenge::Challenge;
use super::patience::Patience;
use super::url::{Origin, Url};
use super::wire::{Answer, Ask, Wire};
use crate::image::pull::{Credentials, Failure, Secret};
use crate::unpoisoned::lock;

/// How we call ourselves to those who give tokens.
const CLIENT: &str = "hotcell";
/// How long an answer with a token may be.
const ANSWER: usize = 1 << 20;
/// How long a token is good for if nobody says so, and at most.
const LIFE: Duration = Duration::from_secs(60);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// A token is not used any more this long before its end: it still has to travel.
const MARGIN: Duration = Duration::from_secs(5);
/// How many are kept.
const KEPT: usize = 1024;

/// What a proof is good for: nothing but this.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Purpose {
    pub(super) origin: Origin,
    pub(super) repository: Option<String>,
    pub(super) credentials: Credentials,
}

/// What goes into `Authorization`.
#[derive(Clone)]
struct Proof {
    header: HeaderValue,
    until: Option<Instant>,
}

/// The proofs that were good last. Whoever needs the same one waits for the first to get it.
#[derive(Default)]
pub(super) struct Proofs {
    all: Mutex<HashMap<Purpose, Arc<tokio::sync::Mutex<Option<Proof>>>>>,
}

/// A way to get a token.
struct Bearer {
    realm: Url,
    service: Option<String>,
    scope: String,
}

impl Proofs {
    /// What the registry can be shown at once.
    pub(super) async fn known(&self, purpose: &Purpose) -> Option<HeaderValue> {
        if let Credentials::RegistryToken(token) = &purpose.credentials {
            return header("Bearer", token.reveal()).ok();
        }
        let slot = lock(&self.all).get(purpose).cloned()?;
        let proof = slot.lock().await;
        proof.as_ref().filter(|proof| proof.is_good()).map(|proof| proof.header.clone())
    }

    /// What the registry wants to see, now that it refused what it saw; `None` if there is no such thing.
    pub(super) async fn renew(
        &self,
        wire: &Arc<Wire>,
        purpose: &Purpose,
        refused: Option<&HeaderValue>,
        challenges: &[Challenge],
        zone: Zone,
    ) -> Result<Option<HeaderValue>, Failure> {
        if let Credentials::RegistryToken(_) = purpose.credentials {
            return Ok(None);
        }
        let slot = self.slot(purpose);
        let mut proof = slot.lock().await;
        if let Some(proof) = proof.as_ref().filter(|proof| proof.is_good())
            && Some(&proof.header) != refused
        {
            return Ok(Some(proof.header.clone()));
        }
        *proof = prove(wire, purpose, challenges, zone).await?;
        Ok(proof.as_ref().map(|proof| proof.header.clone()))
    }

    fn slot(&self, purpose: &Purpose) -> Arc<tokio::sync::Mutex<Option<Proof>>> {
        let mut all = lock(&self.all);
        if all.len() >= KEPT && !all.contains_key(purpose) {
            // Those in use go on; they are just not found again.
            all.clear();
        }
        Arc::clone(all.entry(purpose.clone()).or_default())
    }
}

impl Proof {
    fn is_good(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

/// Answers one of the challenges: a bearer token if it is known how to get one, else a password.
async fn prove(
    wire: &Arc<Wire>,
    purpose: &Purpose,
    challenges: &[Challenge],
    zone: Zone,
) -> Result<Option<Proof>, Failure> {
    let refuse = |why: &str| {
        Err(Failure::Challenge { host: purpose.origin.authority(), why: why.to_owned() })
    };
    let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
    if let Some(challenge) = of("bearer") {
        let bearer = Bearer::of(challenge, purpose)?;
        return bearer.token(wire, purpose, zone).await.map(Some);
    }
    match (of("basic"), &purpose.credentials) {
        (None, _) => refuse("of a kind that is not known here: neither Bearer nor Basic"),
        (Some(_), Credentials::Basic { username, password }) => {
            Ok(Some(Proof { header: basic(purpose, username, password)?, until: None }))
        }
        (Some(_), Credentials::IdentityToken(_)) => {
            refuse("of the kind Basic, and there is only an identity token")
        }
        (Some(_), _) => Ok(None),
    }
}

impl Bearer {
    /// Credentials and requests go only where the registry's own word may send them.
    fn of(challenge: &Challenge, purpose: &Purpose) -> Result<Bearer, Failure> {
        let registry = &purpose.origin;
        let refuse = |why: String| Failure::Challenge { host: registry.authority(), why };
        let realm = challenge.parameter("realm").unwrap_or_default();
        let realm: Url = realm.parse().map_err(|wrong: super::url::UrlError| {
            refuse(format!("at a realm that {}", wrong.0))
        })?;
        let at_home = !registry.tls && realm.origin.host == registry.host;
        if !(realm.origin.tls || at_home) {
            return Err(refuse(format!("at {}, which does not speak TLS", realm.origin)));
        }
        let service = challenge.parameter("service").map(str::to_owned);
        let scope = match (challenge.parameter("scope"), &purpose.repository) {
            (Some(scope), _) => scope.to_owned(),
            (None, Some(repository)) => format!("repository:{repository}:pull"),
            (None, None) => String::new(),
        };
        Ok(Bearer { realm, service, scope })
    }

    async fn token(
        &self,
        wire: &Arc<Wire>,
        purpose: &Purpose,
        zone: Zone,
    ) -> Result<Proof, Failure> {
        let failed = |source| Failure::Token {
            realm: self.realm.origin.to_string(),
            source: Box::new(source),
        };
        let begin = Instant::now();
        let (mut ask, to) = match &purpose.credentials {
            Credentials::IdentityToken(token) => self.by_refreshing(token),
            Credentials::Basic { username, password } => {
                let proof = basic(purpose, username, password)?;
                self.by_asking(Some((username, proof)))
            }
            _ => self.by_asking(None),
        };
        ask.identified = self.realm.origin.host == purpose.origin.host;
        let shown = Shown::new(&purpose.credentials, ask.headers.get(AUTHORIZATION));
        let answer = self.answer(wire, &ask, &to, zone, &shown).await.map_err(failed)?;
        let host = answer.host();
        let nonsense =
            |what: &str| failed(Failure::Answer { host: host.clone(), what: what.to_owned() });
        let bytes = answer.body.whole("a token", ANSWER).await.map_err(failed)?;
        // The reader's own words could have a piece of the token.
        let given: Given =
            serde_json::from_slice(&bytes).map_err(|_| nonsense("no JSON with a token"))?;
        let token = given.token.filter(|token| !token.is_empty()).or(given.access_token);
        let token = token.filter(|token| !token.is_empty()).ok_or_else(|| nonsense("no token"))?;
        let header = header("Bearer", &token).map_err(|()| nonsense("a token that is none"))?;
        let life = given.expires_in.map_or(LIFE, Duration::from_secs).min(LONGEST_LIFE);
        Ok(Proof { header, until: Some(begin + life.saturating_sub(MARGIN)) })
    }

    /// Asks, and follows nobody elsewhere.
    async fn answer(
        &self,
        wire: &Arc<Wire>,
        ask: &Ask,
        to: &Url,
        zone: Zone,
        shown: &Shown,
    ) -> Result<Answer, Failure> {
        let mut patience = Patience::new();
        loop {
            let answer = wire.send(ask, to, Reach::From(zone)).await?;
            if let Some(wait) = patience.wait(answer.head.status, &answer.head.headers) {
                answer.body.pass_over().await;
                tokio::time::sleep(wait).await;
                continue;
            }
            if answer.head.status.is_redirection() {
                let why = "who gives tokens must do so itself";
                let to =
                    answer.location(to).map_or("nowhere".to_owned(), |to| to.origin.to_string());
                return Err(Failure::Redirect { host: answer.host(), to, why });
            }
            return match answer.head.status {
                StatusCode::OK => Ok(answer),
                _ => Err(refused(answer, shown).await),
            };
        }
    }

    /// The token protocol of Docker's registry.
    fn by_asking(&self, who: Option<(&str, HeaderValue)>) -> (Ask, Url) {
        let mut query = Form::default();
        query.add("client_id", CLIENT);
        if let Some((name, _)) = &who {
            query.add("account", name);
        }
        self.add_scope(&mut query, self.scope.split(' '));
        let separator = if self.realm.target.contains('?') { '&' } else { '?' };
        let target = format!("{}{separator}{}", self.realm.target, query.0);
        let mut headers = HeaderMap::new();
        headers.extend(who.map(|(_, proof)| (AUTHORIZATION, proof)));
        (Ask::get(headers), Url::new(self.realm.origin.clone(), target))
    }

    /// OAuth 2, with a refresh token.
    fn by_refreshing(&self, token: &Secret) -> (Ask, Url) {
        let mut form = Form::default();
        form.add("grant_type", "refresh_token");
        form.add("client_id", CLIENT);
        form.add("refresh_token", token.reveal());
        self.add_scope(&mut form, std::iter::once(&*self.scope));
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, kind);
        let ask = Ask { method: Method::POST, body: Bytes::from(form.0), ..Ask::get(headers) };
        (ask, self.realm.clone())
    }

    fn add_scope<'a>(&self, form: &mut Form, scopes: impl Iterator<Item = &'a str>) {
        if let Some(service) = &self.service {
            form.add("service", service);
        }
        for scope in scopes.filter(|scope| !scope.is_empty()) {
            form.add("scope", scope);
        }
    }
}

/// What a place that gives tokens answers.
#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// Pairs as a browser sends those of a form.
#[derive(Default)]
struct Form(String);

impl Form {
    fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            match byte {
                byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                    self.0.push(char::from(byte));
                }
                byte => self.0.push_str(&format!("%{byte:02X}")),
            }
        }
    }
}

fn basic(purpose: &Purpose, username: &str, password: &Secret) -> Result<HeaderValue, Failure> {
    let host = || purpose.origin.authority();
    if username.contains(':') {
        let why = "and the user's name has a colon, which can't be sent".to_owned();
        return Err(Failure::Challenge { host: host(), why });
    }
    let pair = STANDARD.encode(format!("{username}:{}", password.reveal()));
    let unfit = |()| Failure::Challenge { host: host(), why: "that can't be sent".to_owned() };
    header("Basic", &pair).map_err(unfit)
}

fn header(scheme: &str, secret: &str) -> Result<HeaderValue, ()> {
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(());
    }
    let mut value = HeaderValue::try_from(format!("{scheme} {secret}")).map_err(drop)?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proofs({})", lock(&self.all).len())
    }
}
