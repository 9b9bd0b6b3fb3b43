//! Lists of images for many platforms.

use serde_json::{Value, json};

use crate::hostile_images::archive::{INDEX, MANIFEST, architecture};
use crate::pull::case::{Case, Form, Scene, answered, case, pulled, refused};
use crate::pull::image::{REPOSITORY, TAG, descriptor, index, on};
use crate::pull::place::Place;
use crate::registry::{Content, On, Rule};

pub fn cases() -> Vec<Case> {
    vec![
        case("a choice of platforms", "index selection", choices()),
        case("an index that leads nowhere", "wrong platforms, loops", nowhere()),
        case("an index without end", "index bombs", bombs()),
    ]
}

/// The tag is an index that is made of the manifest's descriptor.
fn below(
    make: impl Fn(Value) -> Value + Send + Sync + 'static,
) -> impl Fn(&Place, &mut Scene) + Send + Sync {
    move |_, scene| {
        let image = scene.image.clone();
        scene.registry.stock(|content| {
            *content = Content::default();
            image.put_below(content, &make);
        });
    }
}

fn ours(described: Value) -> Value {
    on(described, "linux", architecture())
}

fn others() -> [Value; 3] {
    [("windows", "amd64"), ("linux", "s390x"), ("linux", "z80")]
        .map(|(os, machine)| on(descriptor(MANIFEST, machine.as_bytes()), os, machine))
}

fn choices() -> Vec<Form> {
    vec![
        pulled("one of one", below(|it| index([ours(it)]))),
        pulled("among others", below(|it| index(others().into_iter().chain([ours(it)])))),
        pulled(
            "among what is no image",
            below(|it| {
                let mut noted = on(descriptor(MANIFEST, b"note"), "unknown", "unknown");
                noted["annotations"] =
                    json!({ "vnd.docker.reference.type": "attestation-manifest" });
                index([noted, ours(it)])
            }),
        ),
        pulled("without asking for the others", |place, scene| {
            below(|it| index(others().into_iter().chain([ours(it)])))(place, scene);
            scene.at_most(On::Manifest, 2);
        }),
    ]
}

fn nowhere() -> Vec<Form> {
    vec![
        refused("other platforms alone", &["not for linux"], below(|_| index(others()))),
        refused("nothing in it", &["is for no platform"], below(|_| index([]))),
        answered(
            "to what is not there",
            404,
            &["manifest unknown"],
            below(|_| index([ours(descriptor(MANIFEST, b"nothing"))])),
        ),
        refused(
            "to a manifest of another size",
            &["bytes, not 7"],
            below(|mut it| {
                it["size"] = 7.into();
                index([ours(it)])
            }),
        ),
        refused(
            "to a path",
            &["behind the colon"],
            below(|mut it| {
                it["digest"] = "sha256:../../x".into();
                index([ours(it)])
            }),
        ),
        refused(
            "to a manifest that it calls a layer",
            &["not for linux"],
            below(|mut it| {
                it["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
                index([ours(it)])
            }),
        ),
        refused("to itself, by its tag", &["sent bytes with the digest"], to_itself),
        refused("to another index, a hundred deep", &["indexes lead to one another"], deep),
        refused(
            "and to layers as well",
            &["can't have"],
            below(|it| {
                let mut both = index([ours(it)]);
                both["layers"] = json!([]);
                both
            }),
        ),
    ]
}

/// No document has its own digest in it, but a registry may say so.
fn to_itself(_: &Place, scene: &mut Scene) {
    let text = index([ours(descriptor(INDEX, b"itself"))]).to_string();
    scene.when(Rule::new(On::Manifest, move |_, right| {
        right.status(200).saying(text.clone()).with("Content-Type", INDEX)
    }));
    scene.at_most(On::Manifest, 2);
}

fn deep(_: &Place, scene: &mut Scene) {
    let image = scene.image.clone();
    scene.registry.stock(|content| {
        image.put(content);
        let mut it = descriptor(MANIFEST, image.manifest.to_string().as_bytes());
        for _ in 0..100 {
            let text = index([ours(it)]).to_string();
            content.document(REPOSITORY, Some(TAG), INDEX, text.clone());
            it = descriptor(INDEX, text.as_bytes());
        }
    });
    scene.at_most(On::Manifest, 10);
}

fn bombs() -> Vec<Form> {
    let many = |count: usize| {
        below(move |it| {
            let mut all = vec![others()[1].clone(); count];
            all.push(ours(it));
            index(all)
        })
    };
    vec![
        pulled("the hundredth of a hundred", many(99)),
        refused("100,000 others", &["more than 4194304 bytes"], many(100_000)),
        refused(
            "100,000 of ours",
            &["more than 4194304 bytes"],
            below(|it| index(vec![ours(it); 100_000])),
        ),
    ]
}
