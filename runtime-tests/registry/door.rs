//! Who may come in, and the tokens that are given to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::answer::Answer;
use super::http::{Asked, Request};

/// What a registry wants to see first.
#[derive(Clone, Default)]
pub enum Door {
    #[default]
    Open,
    /// A user and their password with every request.
    Basic { user: String, password: String },
    /// A token, from the place that is named.
    Bearer { realm: String, tokens: Tokens },
}

/// A place that gives tokens, and what it gave. Clones are the same place: a registry and the server
/// that it sends to share one.
#[derive(Clone, Default)]
pub struct Tokens {
    /// Whom it knows; without one it gives tokens to everybody.
    user: Option<(String, String)>,
    /// The refresh token that it takes.
    identity: Option<String>,
    /// Scopes by token.
    given: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Tokens {
    pub fn for_everybody() -> Tokens {
        Tokens::default()
    }

    pub fn for_user(user: &str, password: &str) -> Tokens {
        Tokens { user: Some((user.to_owned(), password.to_owned())), ..Tokens::default() }
    }

    pub fn for_identity(token: &str) -> Tokens {
        Tokens { identity: Some(token.to_owned()), ..Tokens::default() }
    }

    /// A token that this place counts as given.
    pub fn give(&self, scope: &str) -> String {
        let mut given = self.given.lock().unwrap();
        let token = format!("token-{}-for-{}", given.len(), scope.replace([':', '/', ' '], "-"));
        given.insert(token.clone(), scope.to_owned());
        token
    }

    /// Nothing that was given so far is taken any longer.
    pub fn forget(&self) {
        self.given.lock().unwrap().clear();
    }

    fn takes(&self, token: &str, scope: &str) -> bool {
        self.given.lock().unwrap().get(token).is_some_and(|given| given == scope)
    }

    /// The answer to a request for a token, by GET with a user's name or by POST with a refresh token.
    fn answer(&self, request: &Request) -> Answer {
        let post = request.method == "POST";
        let said = fields(if post { &request.body } else { &request.query });
        let field = |name: &str| said.get(name).map(String::as_str);
        let known = match (&self.user, &self.identity) {
            (None, None) => true,
            (Some((user, password)), _) if post => {
                field("username") == Some(user) && field("password") == Some(password)
            }
            (Some((user, password)), _) => is_shown(request, user, password),
            (None, Some(token)) => post && field("refresh_token") == Some(token),
        };
        if !known {
            return Answer::error(401, "UNAUTHORIZED", "incorrect username or password");
        }
        let token = self.give(field("scope").unwrap_or_default());
        let name = if post { "access_token" } else { "token" };
        let text = serde_json::json!({ name: token, "expires_in": 300 }).to_string();
        Answer::new(200).with("Content-Type", "application/json").saying(text)
    }
}

impl Door {
    /// What is said at the door; nothing to who may come in.
    pub(super) fn answer(&self, request: &Request) -> Option<Answer> {
        match (self, request.asked()) {
            (Door::Bearer { tokens, .. }, Asked::Token) => Some(tokens.answer(request)),
            (Door::Open, _) | (_, Asked::Other) => None,
            (Door::Basic { user, password }, _) if is_shown(request, user, password) => None,
            (Door::Basic { .. }, _) => Some(closed(r#"Basic realm="the registry""#)),
            (Door::Bearer { realm, tokens }, asked) => {
                let scope = match asked {
                    Asked::Manifest { repository, .. } | Asked::Blob { repository, .. } => {
                        format!("repository:{repository}:pull")
                    }
                    _ => String::new(),
                };
                let shown = request.shown("bearer");
                let challenge = challenge(realm, &scope);
                (!shown.is_some_and(|token| tokens.takes(token, &scope)))
                    .then(|| closed(&challenge))
            }
        }
    }
}

fn challenge(realm: &str, scope: &str) -> String {
    let scope = if scope.is_empty() { String::new() } else { format!(",scope=\"{scope}\"") };
    format!("Bearer realm=\"{realm}\",service=\"the registry\"{scope}")
}

fn closed(challenge: &str) -> Answer {
    Answer::error(401, "UNAUTHORIZED", "authentication required")
        .with("WWW-Authenticate", challenge)
}

fn is_shown(request: &Request, user: &str, password: &str) -> bool {
    request.shown("basic") == Some(&STANDARD.encode(format!("{user}:{password}")))
}

/// The fields of a form or a query.
fn fields(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (plain(name), plain(value))).collect()
}

fn plain(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte.unwrap_or(b'0')).to_digit(16).unwrap_or(0);
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => (digit(rest.next()) * 16 + digit(rest.next())) as u8,
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
