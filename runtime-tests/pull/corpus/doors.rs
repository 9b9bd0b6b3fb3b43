//! Who asks: passwords, tokens, and what registries say to them.

use std::sync::Arc;

use crate::pull::case::{
    Case, Form, IDENTITY, PASSWORD, Scene, TOKEN, USER, answered, case, late, pulled, refused, url,
};
use crate::pull::order::Who;
use crate::pull::place::Place;
use crate::registry::{Answer, Content, Door, On, Rule, Tokens};

pub fn cases() -> Vec<Case> {
    vec![
        case("users and tokens as they should be", "Basic, Bearer, OAuth 2", right()),
        case("users and tokens that are not taken", "401 loops", not_taken()),
        case("tokens that end", "one renewal", ends()),
        case("challenges that are none", "WWW-Authenticate", challenges()),
        case("answers without a token", "token servers", tokens()),
    ]
}

/// Tokens come from another server, which the registry may send to.
fn sending_to(place: &Place, scene: &mut Scene, tokens: Tokens) {
    let server = place.server("token.example", Content::default());
    let realm = url("https", "token.example", &server, "/token");
    let door = Door::Bearer { realm, tokens };
    server.guard(door.clone());
    scene.registry.guard(door);
    scene.friends.push(server);
}

fn by_tokens(
    tokens: fn() -> Tokens,
    who: fn() -> Who,
) -> impl Fn(&Place, &mut Scene) + Send + Sync {
    move |place, scene| {
        sending_to(place, scene, tokens());
        scene.order.who = who();
    }
}

fn user() -> Who {
    Who::Basic(USER.to_owned(), PASSWORD.to_owned())
}

fn known() -> Tokens {
    Tokens::for_user(USER, PASSWORD)
}

fn basic() -> Door {
    Door::Basic { user: USER.to_owned(), password: PASSWORD.to_owned() }
}

fn right() -> Vec<Form> {
    vec![
        pulled("a password", |_, scene| {
            scene.as_user().registry.guard(basic());
        }),
        pulled("a password that nobody wants", |_, scene| {
            scene.as_user();
        }),
        pulled("a token for everybody", by_tokens(Tokens::for_everybody, || Who::Nobody)),
        pulled("a token for a password", by_tokens(known, user)),
        pulled(
            "a token for a refresh token",
            by_tokens(|| Tokens::for_identity(IDENTITY), || Who::Identity(IDENTITY.to_owned())),
        ),
        pulled("a token that somebody has", |_, scene| {
            scene.order.who = Who::Token(TOKEN.to_owned());
            scene.when(Rule::new(On::Registry, |request, right| match request.shown("bearer") {
                Some(TOKEN) => right,
                _ => Answer::new(401)
                    .with("WWW-Authenticate", "Bearer realm=\"https://registry.example/x\""),
            }));
        }),
        pulled("a token from the registry itself", |_, scene| {
            let realm = url("https", "registry.example", &scene.registry, "/token");
            scene.as_user().registry.guard(Door::Bearer { realm, tokens: known() });
        }),
        pulled("a choice of ways", |_, scene| {
            scene.as_user().when(Rule::new(On::Registry, |request, right| {
                match request.shown("basic") {
                    Some(_) => right,
                    None => Answer::new(401)
                        .and("WWW-Authenticate", "Negotiate")
                        .and("WWW-Authenticate", "Basic realm=\"a, b\", Digest realm=\"c\""),
                }
            }));
        }),
        pulled("one token for all that is pulled", |place, scene| {
            sending_to(place, scene, known());
            scene.as_user().at_most(On::Registry, 6);
        }),
    ]
}

fn not_taken() -> Vec<Form> {
    vec![
        answered("no password", 401, &[], |_, scene| {
            scene.registry.guard(basic());
            scene.at_most(On::Any, 2);
        }),
        answered("a wrong password", 401, &[], |_, scene| {
            scene
                .as_user()
                .registry
                .guard(Door::Basic { user: USER.to_owned(), password: "another".to_owned() });
            scene.at_most(On::Any, 3);
        }),
        answered(
            "a wrong password for a token",
            401,
            &["incorrect username or password"],
            by_tokens(|| Tokens::for_user(USER, "another"), user),
        ),
        answered("whatever is shown", 401, &[], |place, scene| {
            sending_to(place, scene, known());
            let realm = url("https", "token.example", &scene.friends[0], "/token");
            scene.as_user().when(Rule::new(On::Registry, move |_, _| {
                Answer::error(401, "UNAUTHORIZED", "authentication required")
                    .with("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
            }));
            scene.at_most(On::Any, 3);
        }),
        answered("whatever is shown, each time in another scope", 401, &[], |place, scene| {
            sending_to(place, scene, known());
            let realm = url("https", "token.example", &scene.friends[0], "/token");
            let count = std::sync::atomic::AtomicUsize::new(0);
            scene.as_user().when(Rule::new(On::Registry, move |_, _| {
                let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let challenge = format!(
                    "Bearer realm=\"{realm}\",scope=\"repository:some/image{number}:pull\""
                );
                Answer::new(401).with("WWW-Authenticate", challenge)
            }));
            scene.at_most(On::Any, 3);
        }),
        answered("forbidden", 403, &["denied"], |_, scene| {
            scene.when(Rule::new(On::Registry, |_, _| {
                Answer::error(403, "DENIED", "requested access to the resource is denied")
            }));
        }),
        answered("the manifest is given, and the blobs are not", 401, &[], |_, scene| {
            scene.when(Rule::new(On::Blob, |_, _| {
                Answer::error(401, "UNAUTHORIZED", "not for you")
                    .with("WWW-Authenticate", "Basic realm=\"x\"")
            }));
            scene.as_user();
        }),
    ]
}

fn ends() -> Vec<Form> {
    vec![
        pulled("between two blobs", |place, scene| {
            let tokens = known();
            sending_to(place, scene, tokens.clone());
            let rule = Rule::new(On::BlobOf(scene.image.blob(0)), move |_, right| {
                tokens.forget();
                right
            });
            scene.as_user().when(rule.once());
        }),
        pulled("while a blob is resumed", |place, scene| {
            let tokens = known();
            sending_to(place, scene, tokens.clone());
            let rule = Rule::new(On::BlobOf(scene.image.long()), move |_, right| {
                tokens.forget();
                right.cut(500_000)
            });
            scene.as_user().when(rule.once());
        }),
        pulled("as soon as it is given", |place, scene| {
            sending_to(place, scene, known());
            scene.as_user();
            scene.friends[0].when(Rule::new(On::Token, |_, right| {
                right.rewrite(|text| text.replace("300", "0"))
            }));
        }),
    ]
}

fn challenged(value: impl Into<String>) -> impl Fn(&Place, &mut Scene) + Send + Sync {
    let value: Arc<str> = value.into().into();
    move |_, scene| {
        let value = Arc::clone(&value);
        scene.as_user().when(Rule::new(On::Registry, move |_, _| {
            Answer::new(401).with("WWW-Authenticate", &*value)
        }));
        scene.at_most(On::Any, 3);
    }
}

fn challenges() -> Vec<Form> {
    vec![
        refused("none", &["answered 401"], |_, scene| {
            scene.as_user().when(Rule::new(On::Registry, |_, _| Answer::new(401)));
        }),
        refused("an unknown one", &["neither Bearer nor Basic"], challenged("Negotiate")),
        refused(
            "a token without a place to get it",
            &["at a realm that"],
            challenged("Bearer service=\"x\""),
        ),
        refused(
            "a quote without end",
            &["with a quote that"],
            challenged("Bearer realm=\"https://token.example"),
        ),
        refused(
            "two realms",
            &["with a parameter that"],
            challenged("Bearer realm=\"https://a.example/\",realm=\"https://b.example/\""),
        ),
        refused("nonsense", &["don't start with a scheme"], challenged("=====,,,,\"\"\"")),
        refused("a thousand", &["more than 8 KiB"], challenged("Basic realm=\"x\", ".repeat(1000))),
        refused(
            "of 64 KiB",
            &["message head is too large"],
            challenged(format!("Bearer realm=\"{}\"", "x".repeat(64 << 10))),
        ),
        refused("no ASCII", &["not ASCII"], challenged("Bearer realm=\"https://tök.example/\"")),
    ]
}

/// The token server says something else.
fn instead(
    twist: impl Fn(Answer) -> Answer + Clone + Send + Sync + 'static,
) -> impl Fn(&Place, &mut Scene) + Send + Sync {
    move |place, scene| {
        sending_to(place, scene, known());
        let twist = twist.clone();
        scene.as_user().friends[0].when(Rule::new(On::Token, move |_, right| twist(right)));
    }
}

fn tokens() -> Vec<Form> {
    let says = |text: &'static str| instead(move |right| right.saying(text));
    vec![
        answered("an error", 500, &[], instead(|right| right.status(500))),
        answered("unknown", 404, &[], instead(|_| Answer::error(404, "X", "no such place"))),
        answered(
            "denied",
            403,
            &["not for you"],
            instead(|_| Answer::error(403, "DENIED", "not for you")),
        ),
        refused("a page", &["no JSON with a token"], says("<html></html>")),
        refused("an empty object", &["answered with no token"], says("{}")),
        refused("nothing", &["no JSON with a token"], says("")),
        refused("an empty token", &["answered with no token"], says(r#"{"token":""}"#)),
        refused("a number", &["no JSON with a token"], says(r#"{"token":5}"#)),
        refused(
            "a line break in it",
            &["a token that is none"],
            says(r#"{"token":"a\r\nX-Evil: b"}"#),
        ),
        refused(
            "a letter that no header takes",
            &["a token that is none"],
            says(r#"{"token":"tök\u0000en"}"#),
        ),
        refused(
            "a token of 2 MiB",
            &["more than 1048576 bytes"],
            instead(|right| right.saying(format!("{{\"token\":\"{}\"}}", "a".repeat(2 << 20)))),
        ),
        refused(
            "without end",
            &["more than 1048576 bytes"],
            instead(|_| Answer::raw("HTTP/1.1 200 OK\r\n\r\n", vec![b' '; 0x4000])),
        ),
        late("silence", instead(Answer::silence)),
        late("half of it", instead(|right| right.stall(5))),
        pulled("under its other name", says_access_token),
    ]
}

fn says_access_token(place: &Place, scene: &mut Scene) {
    sending_to(place, scene, known());
    scene.as_user().friends[0].when(Rule::new(On::Token, |_, right| {
        right.rewrite(|text| text.replace("\"token\"", "\"access_token\""))
    }));
}
