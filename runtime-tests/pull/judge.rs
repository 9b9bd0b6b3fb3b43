//! What is wrong about what came of a form, if anything is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::case::{Expect, GIVEN, IDENTITY, PASSWORD, SIGNATURE, Scene, TOKEN, USER};
use super::order::Played;
use super::play::Said;
use crate::hostile_images::memory::{MOST_KIB, Peak};
use crate::registry::Registry;

/// Everything that is nobody's business, as it may be written.
fn secrets() -> [String; 6] {
    let pair = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    [PASSWORD, IDENTITY, TOKEN, SIGNATURE, GIVEN]
        .map(str::to_owned)
        .into_iter()
        .chain([pair])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

pub fn judge(scene: &Scene, said: &Said, expect: &Expect, least: Peak) -> Option<String> {
    outcome(scene, &said.played, expect)
        .or_else(|| memory(&said.played, least))
        .or_else(|| secrets_in(&said.all).map(|what| format!("{what} was written: {}", said.all)))
        .or_else(|| strangers(scene))
        .or_else(|| requests(scene))
}

fn outcome(scene: &Scene, played: &Played, expect: &Expect) -> Option<String> {
    let Some(error) = &played.error else {
        let id = played.id.as_deref().unwrap_or_default();
        return match expect {
            Expect::Pulled if id == scene.image.id() => None,
            Expect::Pulled => Some(format!("{id} was pulled and not {}", scene.image.id())),
            _ => Some("was pulled".to_owned()),
        };
    };
    if !played.left.is_empty() {
        return Some(format!("left {:?}", played.left));
    }
    let text = &error.text;
    if text.contains(char::is_control) || text.is_empty() || text.len() > 2000 {
        return Some(format!("the error has {} bytes: {text:?}", text.len()));
    }
    let says = |says: &[String]| {
        let missing: Vec<_> = says.iter().filter(|say| !text.contains(say.as_str())).collect();
        (!missing.is_empty()).then(|| format!("the error does not say {missing:?}: {text}"))
    };
    match expect {
        Expect::Pulled => Some(format!("was refused: {text}")),
        Expect::Late if !error.timeout => Some(format!("is no time-out: {text}")),
        Expect::Late => None,
        Expect::Refused(_) if error.timeout => Some(format!("is a time-out: {text}")),
        Expect::Refused(texts) => says(texts),
        Expect::Answered(status, _) if error.status != Some(*status) => {
            Some(format!("has the status {:?}: {text}", error.status))
        }
        Expect::Answered(_, texts) => says(texts),
    }
}

fn memory(played: &Played, least: Peak) -> Option<String> {
    let beyond = played.peak.beyond(least);
    (beyond > MOST_KIB).then(|| format!("took {beyond} KiB more than the least: {:?}", played.peak))
}

/// The first secret that a text has.
pub fn secrets_in(text: &str) -> Option<String> {
    secrets().into_iter().find(|secret| text.contains(secret.as_str()))
}

fn strangers(scene: &Scene) -> Option<String> {
    let with_secrets = |server: &Registry| {
        let found = server.seen().into_iter().find_map(|request| {
            let named = request.header("authorization").is_some();
            (named || secrets_in(&request.text()).is_some()).then(|| request.text())
        });
        found.map(|text| format!("a stranger was told a secret: {text}"))
    };
    let met = scene.forbidden.iter().find(|server| server.met() > 0);
    let met =
        met.map(|server| format!("somebody came to {}: {:?}", server.address(), server.seen()));
    met.or_else(|| scene.strangers.iter().find_map(with_secrets))
}

fn requests(scene: &Scene) -> Option<String> {
    scene.most.iter().find_map(|(on, most)| {
        let count = scene.registry.count(on);
        (count > *most).then(|| format!("{count} requests on {on:?}, more than {most}"))
    })
}
