//! Blobs and manifests that are elsewhere.

use crate::pull::case::{Case, Form, SIGNATURE, Scene, answered, case, pulled, refused, url};
use crate::pull::place::Place;
use crate::registry::{Answer, Content, Door, On, Registry, Rule, Tokens};

pub fn cases() -> Vec<Case> {
    vec![
        case("blobs at another host", "Authorization across hosts", elsewhere()),
        case("redirects that are not followed", "https to http, SSRF, loops", not_followed()),
        case("redirects that are none", "Location", none()),
        case("a signed address", "query in errors", signed()),
    ]
}

/// A server that has the same blobs, and sees no secret.
fn other(place: &Place, scene: &mut Scene, scheme: &str, name: &str) -> Registry {
    let mut content = Content::default();
    scene.image.put(&mut content);
    match scheme {
        "http" => place.plain(name, content),
        _ => place.server(name, content),
    }
}

/// The registry sends there for what is asked for, and wants a token for itself.
fn sends(scene: &mut Scene, on: On, status: u16, to: String) {
    let realm = url("https", "registry.example", &scene.registry, "/token");
    let tokens = Tokens::for_user(crate::pull::case::USER, crate::pull::case::PASSWORD);
    scene.as_user().registry.guard(Door::Bearer { realm, tokens });
    scene.when(Rule::new(on, move |request, right| match right.is(200) || right.is(206) {
        true => Answer::redirect(&format!("{to}{}", request.path)).status(status),
        false => right,
    }));
}

fn elsewhere() -> Vec<Form> {
    let to = |on: On, status: u16| {
        move |place: &Place, scene: &mut Scene| {
            let there = other(place, scene, "https", "blobs.example");
            let at = url("https", "blobs.example", &there, "");
            sends(scene, on.clone(), status, at);
            scene.strangers.push(there);
        }
    };
    vec![
        pulled("301", to(On::Blob, 301)),
        pulled("302", to(On::Blob, 302)),
        pulled("303", to(On::Blob, 303)),
        pulled("307", to(On::Blob, 307)),
        pulled("308", to(On::Blob, 308)),
        pulled("the manifest, too", to(On::Registry, 307)),
        pulled("at another port", |place, scene| {
            let there = other(place, scene, "https", "registry.example");
            let at = url("https", "registry.example", &there, "");
            sends(scene, On::Blob, 307, at);
            scene.strangers.push(there);
        }),
        pulled("cut there", move |place, scene| {
            to(On::Blob, 307)(place, scene);
            let on = On::BlobOf(scene.image.long());
            scene.strangers[0].when(Rule::new(on, |_, right| right.cut(300_000)).times(2));
        }),
        pulled("by a path", |_, scene| {
            let from = On::BlobOf(scene.image.long());
            let to = format!("/v2/some/image/blobs/{}", scene.image.long());
            scene.when(Rule::new(from, move |_, _| Answer::redirect(&to)).once());
        }),
        pulled("five times on", |_, scene| circle(scene, 5)),
        answered("which wants to know who asks", 401, &[], move |place, scene| {
            to(On::Blob, 307)(place, scene);
            scene.strangers[0].when(Rule::new(On::Any, |_, _| {
                Answer::new(401).with("WWW-Authenticate", "Basic realm=\"tell me\"")
            }));
        }),
        refused("with other bytes", &["layer"], move |place, scene| {
            to(On::Blob, 307)(place, scene);
            let on = On::BlobOf(scene.image.long());
            scene.strangers[0].when(Rule::new(on, |_, right| right.flip(9)));
        }),
    ]
}

/// The registry sends to itself, so often.
fn circle(scene: &mut Scene, times: usize) {
    let on = On::BlobOf(scene.image.long());
    let to = url("https", "registry.example", &scene.registry, "");
    let rule =
        Rule::new(on.clone(), move |request, _| Answer::redirect(&format!("{to}{}", request.path)));
    scene.when(rule.times(times));
    scene.at_most(on, 6);
}

fn not_followed() -> Vec<Form> {
    let to = |on: On, scheme: &'static str, name: &'static str, host: &'static str| {
        move |place: &Place, scene: &mut Scene| {
            let there = other(place, scene, scheme, name);
            let at = url(scheme, host, &there, "");
            sends(scene, on.clone(), 307, at);
            scene.forbidden.push(there);
        }
    };
    let blob = |scheme, name| to(On::Blob, scheme, name, name);
    vec![
        refused("without TLS", &["that would go without TLS"], blob("http", "evil.example")),
        refused(
            "without TLS, the manifest",
            &["that would go without TLS"],
            to(On::Registry, "http", "evil.example", "evil.example"),
        ),
        refused("to the loopback", &["loopback"], blob("https", "localhost")),
        refused(
            "to the loopback without TLS",
            &["that would go without TLS"],
            blob("http", "localhost"),
        ),
        refused(
            "to the loopback in IPv6's clothes",
            &["loopback"],
            to(On::Blob, "https", "localhost", "[::ffff:127.0.0.1]"),
        ),
        refused("to a private address", &["private"], blob("https", "inside.example")),
        refused("to a cloud's own", &["link-local"], blob("https", "metadata.example")),
        refused(
            "to a cloud's own, the manifest",
            &["link-local"],
            to(On::Registry, "https", "metadata.example", "169.254.169.254"),
        ),
        refused("six times on", &["sixth time"], |_, scene| circle(scene, 6)),
        refused("in a circle", &["sixth time"], |_, scene| circle(scene, usize::MAX)),
    ]
}

fn none() -> Vec<Form> {
    let located = |value: &'static str| {
        move |_: &Place, scene: &mut Scene| {
            scene.when(Rule::new(On::Blob, move |_, _| Answer::redirect(value)));
        }
    };
    vec![
        refused("without a place", &["that is no address"], |_, scene| {
            scene.when(Rule::new(On::Blob, |_, _| Answer::new(307)));
        }),
        refused("to a file", &["that is no address"], located("file:///etc/passwd")),
        refused("to nowhere", &["was not found"], located("https://nowhere.example/x")),
        refused("to nonsense", &["that is no address"], located("https://[::1")),
        refused(
            "to a port that is none",
            &["that is no address"],
            located("https://blobs.example:0/"),
        ),
        refused("not modified", &["answered 304"], |_, scene| {
            scene.when(Rule::new(On::Blob, |_, _| Answer::new(304)));
        }),
        refused("a choice", &["answered 300"], |_, scene| {
            scene.when(Rule::new(On::Blob, |_, _| Answer::new(300)));
        }),
    ]
}

fn signed() -> Vec<Form> {
    let to = |twist: fn(Answer) -> Answer| {
        move |place: &Place, scene: &mut Scene| {
            let there = other(place, scene, "https", "blobs.example");
            there.when(Rule::new(On::Any, move |_, right| twist(right)));
            let at = url("https", "blobs.example", &there, "");
            scene.when(Rule::new(On::Blob, move |request, _| {
                Answer::redirect(&format!("{at}{}?sig={SIGNATURE}", request.path))
            }));
            // It is theirs: they are to see it.
            scene.friends.push(there);
        }
    };
    vec![
        pulled("that is taken", to(|right| right)),
        answered(
            "that is not",
            403,
            &[],
            to(|_| Answer::error(403, "X", "the signature is wrong")),
        ),
        refused(
            "whose bytes are others",
            &["has the digest"],
            to(|right| match right.is(200) {
                true => right.flip(3),
                false => right,
            }),
        ),
        refused("with a user before it", &["that is no address"], |place, scene| {
            let there = other(place, scene, "https", "blobs.example");
            let port = there.address().port();
            scene.when(Rule::new(On::Blob, move |request, _| {
                Answer::redirect(&format!(
                    "https://me:{SIGNATURE}@blobs.example:{port}{}",
                    request.path
                ))
            }));
            scene.strangers.push(there);
        }),
    ]
}
