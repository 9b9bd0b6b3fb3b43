//! Whom to believe: TLS, plain HTTP, certificates, mirrors.

use std::fs;
use std::path::PathBuf;

use crate::pull::case::{
    Case, Form, PASSWORD, Scene, USER, answered, case, late, pulled, refused, url,
};
use crate::pull::image::Image;
use crate::pull::place::Place;
use crate::registry::{Answer, Authority, Content, Door, On, Registry, Rule, Setting};

pub fn cases() -> Vec<Case> {
    vec![
        case("plain HTTP", "only loopback and named registries", plain()),
        case("certificates", "TLS", certificates()),
        case("certificates of clients", "certs.d", clients()),
        case("mirrors", "registry mirrors", mirrors()),
    ]
}

fn content() -> (Content, Image) {
    let (mut content, image) = (Content::default(), Image::usual());
    image.put(&mut content);
    (content, image)
}

/// The same scene at a server of another kind.
fn instead(place: &Place, scene: &mut Scene, host: &str, tls: Option<(&Authority, &[&str])>) {
    let (content, image) = content();
    let tls = tls.map(|(authority, names)| authority.serves(names));
    let at = (Place::address(host), 0);
    let registry = Registry::start(at, Setting { content, tls, ..Setting::default() });
    *scene = Scene::with(place, host, registry, image);
}

fn plain() -> Vec<Form> {
    vec![
        pulled("at the loopback", |place, scene| instead(place, scene, "localhost", None)),
        refused("in public", &["no TLS with"], |place, scene| {
            instead(place, scene, "registry.example", None);
            scene.as_user().at_most(On::Any, 0);
        }),
        refused("inside", &["no TLS with"], |place, scene| {
            instead(place, scene, "inside.example", None);
            scene.as_user().at_most(On::Any, 0);
        }),
        pulled("in public, at a registry that is named", |place, scene| {
            instead(place, scene, "registry.example", None);
            let host = scene.host();
            scene.order.registries.entry(host).or_default().plain_http = true;
        }),
        refused("at the loopback, and an authority is named", &["TLS"], |place, scene| {
            instead(place, scene, "localhost", None);
            let (host, ca) = (scene.host(), place.authority.certificate());
            scene.order.registries.entry(host).or_default().ca = vec![ca];
            scene.as_user().at_most(On::Any, 0);
        }),
        pulled("at the loopback, with TLS", |place, scene| {
            instead(place, scene, "localhost", Some((&place.authority, &["DNS:localhost"])));
            certs_dir(place, scene);
        }),
    ]
}

/// An authority that nobody trusts yet.
fn unknown(place: &Place, scene: &Scene) -> Authority {
    let port = scene.registry.address().port();
    Authority::new(&place.dir.path().join(format!("unknown-{port}")))
}

fn certificates() -> Vec<Form> {
    let named = |names: &'static [&'static str]| {
        move |place: &Place, scene: &mut Scene| {
            instead(place, scene, "registry.example", Some((&place.authority, names)));
            scene.as_user().at_most(On::Any, 0);
        }
    };
    vec![
        refused("of nobody known", &["TLS"], |place, scene| {
            let unknown = unknown(place, scene);
            instead(place, scene, "registry.example", Some((&unknown, &["DNS:registry.example"])));
            scene.as_user().at_most(On::Any, 0);
        }),
        refused("for another name", &["TLS"], named(&["DNS:evil.example"])),
        refused("for what lies below", &["TLS"], named(&["DNS:*.registry.example"])),
        refused("for its address", &["TLS"], named(&["IP:203.0.113.1"])),
        refused("its client's", &["TLS"], |place, scene| {
            let unknown = unknown(place, scene);
            instead(place, scene, "registry.example", Some((&unknown, &["DNS:registry.example"])));
            // Known for another registry alone.
            let other = "blobs.example:5000".to_owned();
            scene.order.registries.entry(other).or_default().ca = vec![unknown.certificate()];
            scene.as_user().at_most(On::Any, 0);
        }),
        pulled("of somebody that the settings name", |place, scene| {
            let unknown = unknown(place, scene);
            instead(place, scene, "registry.example", Some((&unknown, &["DNS:registry.example"])));
            let host = scene.host();
            scene.order.registries.entry(host).or_default().ca = vec![unknown.certificate()];
        }),
        pulled("of somebody in the directory of certificates", |place, scene| {
            let unknown = unknown(place, scene);
            instead(place, scene, "registry.example", Some((&unknown, &["DNS:registry.example"])));
            let dir = certs_dir(place, scene);
            fs::copy(unknown.certificate(), dir.join("ca.crt")).unwrap();
        }),
        refused("no file where the settings say", &["none.crt"], |_, scene| {
            let host = scene.host();
            let none = PathBuf::from("/nowhere/none.crt");
            scene.order.registries.entry(host).or_default().ca = vec![none];
        }),
        refused("nonsense in the directory of certificates", &["ca.crt"], |place, scene| {
            let dir = certs_dir(place, scene);
            fs::write(dir.join("ca.crt"), "nonsense").unwrap();
        }),
    ]
}

/// A directory for certificates of the scene's registry.
fn certs_dir(place: &Place, scene: &mut Scene) -> PathBuf {
    let all = place.dir.path().join(format!("certs-{}", scene.registry.address().port()));
    let dir = all.join(scene.host());
    fs::create_dir_all(&dir).unwrap();
    scene.order.certs_dirs = vec![all];
    dir
}

fn clients() -> Vec<Form> {
    let wanted = |place: &Place, scene: &mut Scene| {
        let (content, image) = content();
        let tls = Some(place.authority.serves_clients(&["DNS:registry.example"]));
        let at = (Place::address("registry.example"), 0);
        let registry = Registry::start(at, Setting { content, tls, ..Setting::default() });
        *scene = Scene::with(place, "registry.example", registry, image);
    };
    vec![
        pulled("shown", move |place, scene| {
            wanted(place, scene);
            let dir = certs_dir(place, scene);
            let name = format!("client-{}", scene.registry.address().port());
            let client = place.authority.client(&name);
            fs::copy(client.certificate, dir.join("client.cert")).unwrap();
            fs::copy(client.key, dir.join("client.key")).unwrap();
        }),
        refused("not shown", &["CertificateRequired"], move |place, scene| {
            wanted(place, scene);
            scene.at_most(On::Any, 0);
        }),
        refused("without its key", &["client"], move |place, scene| {
            wanted(place, scene);
            let dir = certs_dir(place, scene);
            fs::copy(place.authority.certificate(), dir.join("client.cert")).unwrap();
            scene.at_most(On::Any, 0);
        }),
    ]
}

/// A mirror with the same image that is asked first.
fn mirrored(place: &Place, scene: &mut Scene) -> Registry {
    let (content, _) = content();
    let mirror = place.server("mirror.example", content);
    let (host, at) = (scene.host(), url("https", "mirror.example", &mirror, ""));
    scene.order.registries.entry(host).or_default().mirrors.push(at);
    scene
        .as_user()
        .registry
        .guard(Door::Basic { user: USER.to_owned(), password: PASSWORD.to_owned() });
    mirror
}

fn mirrors() -> Vec<Form> {
    let rule = |on: fn(&Scene) -> On, twist: fn(Answer) -> Answer| {
        move |place: &Place, scene: &mut Scene| {
            let mirror = mirrored(place, scene);
            mirror.when(Rule::new(on(scene), move |_, right| twist(right)));
            scene.strangers.push(mirror);
        }
    };
    let any = |_: &Scene| On::Any;
    let long = |scene: &Scene| On::BlobOf(scene.image.long());
    vec![
        pulled("that has all of it", |place, scene| {
            let mirror = mirrored(place, scene);
            scene.strangers.push(mirror);
            scene.at_most(On::Any, 0);
        }),
        pulled("that is gone", |place, scene| {
            drop(mirrored(place, scene));
        }),
        pulled("that has nothing", rule(any, |_| Answer::error(404, "X", "nothing here"))),
        pulled("that is broken", rule(any, |_| Answer::new(500))),
        pulled(
            "that wants to know who asks",
            rule(any, |_| Answer::new(401).with("WWW-Authenticate", "Basic realm=\"tell me\"")),
        ),
        pulled("that sends to a place for tokens", |place, scene| {
            let mirror = mirrored(place, scene);
            let evil = place.server("evil.example", Content::default());
            let realm = url("https", "evil.example", &evil, "/token");
            mirror.when(Rule::new(On::Any, move |_, _| {
                let challenge = format!("Bearer realm=\"{realm}\",service=\"x\"");
                Answer::new(401).with("WWW-Authenticate", challenge)
            }));
            scene.strangers.extend([mirror, evil]);
        }),
        pulled("that has no blobs", rule(|_| On::Blob, |_| Answer::error(404, "X", "none"))),
        pulled("that says nothing", move |place, scene| {
            rule(any, Answer::silence)(place, scene);
            scene.in_a_hurry();
        }),
        refused("whose bytes are others", &["layer"], rule(long, |right| right.flip(7))),
        late("that stops in the middle of each blob", move |place, scene| {
            rule(|_| On::Blob, |right| right.stall(0))(place, scene);
            scene.when(Rule::new(On::Blob, |_, right| right.stall(0)));
        }),
        answered("and the registry says no", 404, &["manifest unknown"], move |place, scene| {
            rule(any, |_| Answer::new(503))(place, scene);
            scene.when(Rule::new(On::Manifest, |request, right| {
                match request.header("authorization") {
                    Some(_) => Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
                    None => right,
                }
            }));
        }),
    ]
}
