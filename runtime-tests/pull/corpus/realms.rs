//! Where a registry sends for tokens: each place that it must not send a password to.

use crate::pull::case::{Case, Form, SIGNATURE, Scene, answered, case, pulled, refused, url};
use crate::pull::place::Place;
use crate::registry::{Answer, Content, Door, On, Rule, Tokens};

pub fn cases() -> Vec<Case> {
    vec![
        case("a realm without TLS", "CVE-2026-65388, CVE-2026-48978", without_tls()),
        case("a realm further inside", "SSRF to 169.254.169.254", inside()),
        case("a realm that is no place", "realm followed blindly", no_place()),
        case("a realm that sends on", "token redirects", sends_on()),
        case("a realm with secrets in it", "URLs in errors", secrets()),
    ]
}

fn challenge(scene: &mut Scene, realm: impl Into<String>) {
    let challenge = format!("Bearer realm=\"{}\",service=\"x\"", realm.into());
    scene.as_user().when(Rule::new(On::Registry, move |_, _| {
        Answer::error(401, "UNAUTHORIZED", "authentication required")
            .with("WWW-Authenticate", &challenge)
    }));
}

/// Tokens shall come from a server at one of the names, asked for at `host`; nobody may come there.
fn forbidden(
    scheme: &'static str,
    name: &'static str,
    host: &'static str,
) -> impl Fn(&Place, &mut Scene) + Send + Sync {
    move |place, scene| {
        let evil = match scheme {
            "http" => place.plain(name, Content::default()),
            _ => place.server(name, Content::default()),
        };
        challenge(scene, url(scheme, host, &evil, "/token"));
        scene.forbidden.push(evil);
    }
}

fn without_tls() -> Vec<Form> {
    vec![
        refused(
            "at another host",
            &["does not speak TLS"],
            forbidden("http", "evil.example", "evil.example"),
        ),
        refused(
            "at the same host",
            &["does not speak TLS"],
            forbidden("http", "registry.example", "registry.example"),
        ),
        refused(
            "at the loopback",
            &["does not speak TLS"],
            forbidden("http", "localhost", "127.0.0.1"),
        ),
        pulled("at a registry without TLS itself", |place, scene| {
            *scene = plain(place);
            let realm = url("http", "registry.example", &scene.registry, "/token");
            let tokens = Tokens::for_everybody();
            scene.registry.guard(Door::Bearer { realm, tokens });
        }),
        refused("at another host than such a registry", &["wants credentials"], |place, scene| {
            *scene = plain(place);
            forbidden("http", "evil.example", "evil.example")(place, scene);
        }),
    ]
}

/// A registry that is named as one without TLS.
fn plain(place: &Place) -> Scene {
    let image = crate::pull::image::Image::usual();
    let mut content = Content::default();
    image.put(&mut content);
    let registry = place.plain("registry.example", content);
    let mut scene = Scene::with(place, "registry.example", registry, image);
    let host = scene.host();
    scene.order.registries.entry(host).or_default().plain_http = true;
    scene
}

fn inside() -> Vec<Form> {
    let to = |name, host| forbidden("https", name, host);
    vec![
        refused("the loopback", &["loopback"], to("localhost", "127.0.0.1")),
        refused("the loopback by a name", &["loopback"], to("localhost", "localhost")),
        refused(
            "the loopback in IPv6's clothes",
            &["loopback"],
            to("localhost", "[::ffff:127.0.0.1]"),
        ),
        refused(
            "the loopback as one number",
            &["registry may not send there"],
            to("localhost", "2130706433"),
        ),
        refused(
            "the loopback in hexadecimal digits",
            &["registry may not send there"],
            to("localhost", "0x7f.1"),
        ),
        refused("nobody's address", &["registry may not send there"], to("localhost", "0.0.0.0")),
        refused("a private address", &["private"], to("inside.example", "10.1.2.3")),
        refused(
            "a private address by a name",
            &["private"],
            to("inside.example", "inside.example"),
        ),
        refused("a cloud's own", &["link-local"], to("metadata.example", "169.254.169.254")),
        refused(
            "a cloud's own by a name",
            &["link-local"],
            to("metadata.example", "metadata.example"),
        ),
        pulled("of a registry that is inside, too", |place, scene| {
            *scene = Scene::at(place, "inside.example");
            let realm = url("https", "inside.example", &scene.registry, "/token");
            scene.registry.guard(Door::Bearer { realm, tokens: Tokens::for_everybody() });
        }),
    ]
}

fn no_place() -> Vec<Form> {
    let to = |realm: &'static str| {
        move |_: &Place, scene: &mut Scene| {
            challenge(scene, realm);
            scene.at_most(On::Any, 2);
        }
    };
    vec![
        refused("a path", &["at a realm that"], to("/token")),
        refused("a file", &["at a realm that"], to("file:///etc/passwd")),
        refused("another scheme", &["at a realm that"], to("ftp://token.example/token")),
        refused(
            "a host without an address",
            &["was not found"],
            to("https://nowhere.example/token"),
        ),
        refused("no host", &["at a realm that"], to("https:///token")),
        refused(
            "a port that is none",
            &["at a realm that"],
            to("https://token.example:99999/token"),
        ),
        refused("blanks in it", &["at a realm that"], to("https://token.example/a b")),
        refused("nothing", &["at a realm that"], to("")),
    ]
}

fn sends_on() -> Vec<Form> {
    let sends = |scheme: &'static str, name: &'static str, allowed: bool| {
        move |place: &Place, scene: &mut Scene| {
            let other = match scheme {
                "http" => place.plain(name, Content::default()),
                _ => place.server(name, Content::default()),
            };
            let first = place.server("token.example", Content::default());
            let to = url(scheme, name, &other, "/token");
            first.when(Rule::new(On::Any, move |_, _| Answer::redirect(&to)));
            challenge(scene, url("https", "token.example", &first, "/token"));
            scene.friends.push(first);
            if allowed { &mut scene.strangers } else { &mut scene.forbidden }.push(other);
        }
    };
    vec![
        refused(
            "to another host",
            &["who gives tokens must do so itself"],
            sends("https", "evil.example", true),
        ),
        refused(
            "to one without TLS",
            &["who gives tokens must do so itself"],
            sends("http", "evil.example", false),
        ),
        refused(
            "to the loopback",
            &["who gives tokens must do so itself"],
            sends("https", "localhost", false),
        ),
        refused(
            "to a cloud's own",
            &["who gives tokens must do so itself"],
            sends("https", "metadata.example", false),
        ),
        refused("in a circle", &["who gives tokens must do so itself"], |place, scene| {
            let first = place.server("token.example", Content::default());
            let realm = url("https", "token.example", &first, "/token");
            let to = realm.clone();
            first.when(Rule::new(On::Any, move |_, _| Answer::redirect(&to)));
            challenge(scene, realm);
            scene.friends.push(first);
        }),
    ]
}

fn secrets() -> Vec<Form> {
    vec![
        answered("in the query", 500, &[], |place, scene| {
            let server = place.server("token.example", Content::default());
            server.when(Rule::new(On::Any, |_, _| Answer::new(500)));
            let realm = url("https", "token.example", &server, "/token");
            challenge(scene, format!("{realm}?sig={SIGNATURE}"));
            scene.friends.push(server);
        }),
        refused("before the host", &["at a realm that"], |place, scene| {
            let server = place.server("token.example", Content::default());
            let port = server.address().port();
            challenge(scene, format!("https://me:{SIGNATURE}@token.example:{port}/token"));
            scene.strangers.push(server);
        }),
    ]
}
