//! Answers that are not what was asked for: what the registry says of it, without anybody's secrets.

use std::time::Duration;

use http::header::{HeaderValue, LOCATION};
use serde::Deserialize;
use tokio::time::timeout;

use super::url::Url;
use super::wire::{Answer, Body};
use crate::image::excerpt;
use crate::image::pull::{Credentials, Failure};

/// How much of such an answer is read, and how many of its errors are told.
const LIMIT: usize = 64 << 10;
const TOLD: usize = 3;
/// How long is waited for the rest of an answer that nobody needs.
const SLOW: Duration = Duration::from_secs(1);

/// What was shown to a registry, and what nobody else may see.
pub(super) struct Shown(Vec<String>);

impl Shown {
    pub(super) fn new(credentials: &Credentials, proof: Option<&HeaderValue>) -> Shown {
        let secret = match credentials {
            Credentials::Anonymous => None,
            Credentials::Basic { password, .. } => Some(password.reveal()),
            Credentials::IdentityToken(token) | Credentials::RegistryToken(token) => {
                Some(token.reveal())
            }
        };
        let proof = proof.and_then(|proof| proof.to_str().ok()?.split(' ').next_back());
        let all = secret.into_iter().chain(proof).filter(|secret| !secret.is_empty());
        Shown(all.map(str::to_owned).collect())
    }

    fn stands_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret))
    }
}

/// What the registry says of an answer that is not what was hoped for.
pub(super) async fn refused(answer: Answer, shown: &Shown) -> Failure {
    let (host, status) = (answer.host(), answer.head.status.as_u16());
    let message = match answer.body.whole("an error", LIMIT).await {
        Ok(bytes) => message(&bytes, shown),
        // The status stands whatever becomes of the text.
        Err(_) => None,
    };
    Failure::Status { host, status, message }
}

/// Registries' form, and that of OAuth 2.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    errors: Vec<One>,
    error: Option<String>,
    error_description: Option<String>,
    details: Option<String>,
}

#[derive(Deserialize)]
struct One {
    code: Option<String>,
    message: Option<String>,
}

/// The registry's words, unless it says aloud what it was shown.
fn message(bytes: &[u8], shown: &Shown) -> Option<String> {
    let said: Said = serde_json::from_slice(bytes).ok()?;
    let one = |one: One| one.message.filter(|message| !message.is_empty()).or(one.code);
    let mut all: Vec<String> = said.errors.into_iter().filter_map(one).take(TOLD).collect();
    if all.is_empty() {
        all.extend(said.error_description.or(said.details).or(said.error));
    }
    let text = all.join("; ");
    (!text.is_empty() && !shown.stands_in(&text)).then(|| excerpt(&text))
}

impl Answer {
    /// Where it sends us, who asked at `from`.
    pub(super) fn location(&self, from: &Url) -> Option<Url> {
        from.join(self.head.headers.get(LOCATION)?.to_str().ok()?).ok()
    }
}

impl Body {
    /// Reads what is left, so that the connection can be used again, unless that is much or slow.
    pub(super) async fn pass_over(self) {
        // What is in it does not matter, nor whether it comes.
        drop(timeout(SLOW, self.whole("an answer", LIMIT)).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_registries_say_of_errors_is_told_in_short() {
        for (text, wanted) in [
            (r#"{"errors":[{"code":"DENIED","message":"no access"}]}"#, Some("no access")),
            (r#"{"errors":[{"code":"DENIED","detail":{"a":[1]}}]}"#, Some("DENIED")),
            (r#"{"errors":[{"message":"a"},{"message":"b"},{},{"message":"c"}]}"#, Some("a; b; c")),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#, Some("expired")),
            (
                r#"{"details":"incorrect username or password"}"#,
                Some("incorrect username or password"),
            ),
            (r#"{"errors":[]}"#, None),
            (r#"{"errors":"none"}"#, None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(message(text.as_bytes(), &Shown(Vec::new())).as_deref(), wanted, "{text}");
        }
        let long = format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "a".repeat(60_000));
        assert!(message(long.as_bytes(), &Shown(Vec::new())).unwrap().len() < 200);
    }

    #[test]
    fn a_registry_that_says_a_secret_aloud_is_not_quoted() {
        let password = crate::image::pull::Secret::new("sesame".repeat(40));
        let credentials = Credentials::Basic { username: "ali".to_owned(), password };
        let proof = HeaderValue::from_static("Basic YWxp");
        let shown = Shown::new(&credentials, Some(&proof));
        let told = |text: &str| {
            message(format!(r#"{{"errors":[{{"message":"{text}"}}]}}"#).as_bytes(), &shown)
        };
        assert_eq!(told(&format!("{} is wrong", "sesame".repeat(40))), None);
        assert_eq!(told("YWxp is wrong"), None);
        assert_eq!(told("that is wrong").as_deref(), Some("that is wrong"));
    }
}
