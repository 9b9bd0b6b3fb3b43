//! Manifests and configurations that lie, confuse or exhaust.

use serde_json::{Value, json};

use crate::hostile_images::archive::{CONFIG, MANIFEST};
use crate::pull::case::{Case, Form, Scene, answered, case, pulled, refused};
use crate::pull::image::{Image, LAYER, REPOSITORY, TAG, layer};
use crate::pull::place::Place;
use crate::registry::{Answer, Content, On, Rule, digest};

pub fn cases() -> Vec<Case> {
    vec![
        case("a manifest by its digest", "digest mismatch", by_digest()),
        case("types that disagree", "GO-2024-2914", types()),
        case("a manifest that is none", "HTML, truncation", none()),
        case("a manifest without end", "10 GiB manifests", huge()),
        case("Docker's schema 1", "no digests, no sizes", schema_1()),
        case("digests that are none", "CVE-2024-3727, apple GHSA-f689, CVE-2026-95839", digests()),
        case("sizes that are none", "budgets", sizes()),
        case("a configuration that lies", "diff ids", configurations()),
        case("layers that are elsewhere", "CVE-2020-15157", elsewhere()),
    ]
}

/// The registry has this manifest under the tag, and everything that the right one needs.
fn manifest(scene: &mut Scene, text: impl Into<Vec<u8>>) {
    let image = scene.image.clone();
    scene.registry.stock(|content| {
        *content = Content::default();
        image.put_blobs(content);
        content.document(REPOSITORY, Some(TAG), MANIFEST, text);
    });
}

/// The right manifest with a change.
fn changed(
    change: impl Fn(&mut Value) + Send + Sync + 'static,
) -> impl Fn(&Place, &mut Scene) + Send + Sync {
    move |_, scene| {
        let mut value = scene.image.manifest.clone();
        change(&mut value);
        manifest(scene, value.to_string());
    }
}

/// The image is asked for by its manifest's digest.
fn digested(scene: &mut Scene) {
    let name = scene.order.image.rsplit_once(':').unwrap().0;
    scene.order.image = format!("{name}@{}", scene.image.digest());
}

fn by_digest() -> Vec<Form> {
    vec![
        pulled("the right one", |_, scene| digested(scene)),
        pulled("by its tag, and the header names another", |_, scene| {
            let other = digest(b"other");
            scene.when(Rule::new(On::Manifest, move |_, right| {
                right.with("Docker-Content-Digest", &other)
            }));
        }),
        pulled("and the header names another", |_, scene| {
            digested(scene);
            let other = digest(b"other");
            scene.when(Rule::new(On::Manifest, move |_, right| {
                right.with("Docker-Content-Digest", &other)
            }));
        }),
        refused("one bit is another", &["digest"], |_, scene| {
            digested(scene);
            scene.when(Rule::new(On::Manifest, |_, right| right.flip(100)));
        }),
        refused("another image's", &["digest"], |_, scene| {
            digested(scene);
            let other = Image::of(vec![layer("other", 10)]).manifest.to_string();
            let mine = scene.image.digest();
            scene.when(Rule::new(On::Manifest, move |_, right| {
                right.saying(other.clone()).with("Docker-Content-Digest", &mine)
            }));
        }),
        refused("a space more", &["digest"], |_, scene| {
            digested(scene);
            let text = format!("{} ", scene.image.manifest);
            scene.when(Rule::new(On::Manifest, move |_, right| right.saying(text.clone())));
        }),
        answered("is unknown", 404, &["manifest unknown"], |_, scene| {
            let name = scene.order.image.rsplit_once(':').unwrap().0;
            scene.order.image = format!("{name}@{}", digest(b"nothing"));
        }),
    ]
}

fn types() -> Vec<Form> {
    let typed = |value: &'static str| {
        move |_: &Place, scene: &mut Scene| {
            scene.when(Rule::new(On::Manifest, move |_, right| right.with("Content-Type", value)));
        }
    };
    vec![
        refused("none in the header", &["does not say what its manifest is"], |_, scene| {
            scene.when(Rule::new(On::Manifest, |_, right| right.without("Content-Type")));
        }),
        pulled(
            "none in the document",
            changed(|it| {
                it.as_object_mut().unwrap().remove("mediaType");
            }),
        ),
        pulled(
            "a parameter in the header",
            typed("application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
        ),
        refused(
            "an index in the header",
            &["can't have"],
            typed("application/vnd.oci.image.index.v1+json"),
        ),
        refused(
            "a layer in the header",
            &["is said to be"],
            typed("application/vnd.oci.image.layer.v1.tar"),
        ),
        refused(
            "an index in the document",
            &["document is another"],
            changed(|it| {
                it["mediaType"] = "application/vnd.oci.image.index.v1+json".into();
            }),
        ),
        refused("both shapes", &["can't have"], changed(|it| it["manifests"] = json!([]))),
        refused(
            "a manifest for a configuration",
            &["is no image's configuration"],
            changed(|it| {
                it["config"]["mediaType"] = MANIFEST.into();
            }),
        ),
        refused(
            "an unknown kind of layer",
            &["is no layer"],
            changed(|it| {
                it["layers"][0]["mediaType"] = "application/vnd.example.layer".into();
            }),
        ),
        refused(
            "encrypted layers",
            &["is no layer"],
            changed(|it| {
                it["layers"][0]["mediaType"] = format!("{LAYER}+encrypted").into();
            }),
        ),
    ]
}

fn none() -> Vec<Form> {
    let says = |text: &'static str, of: &'static str| {
        move |_: &Place, scene: &mut Scene| {
            scene.when(Rule::new(On::Manifest, move |_, right| {
                right.saying(text).with("Content-Type", of)
            }));
        }
    };
    vec![
        refused(
            "a page",
            &["is said to be"],
            says("<html>Sign in to the hotel's network</html>", "text/html"),
        ),
        refused("a page that says it is one", &["expected value"], says("<html></html>", MANIFEST)),
        refused("nothing", &["EOF while parsing"], says("", MANIFEST)),
        refused("null", &["must be an object"], says("null", MANIFEST)),
        refused("a list", &["must be an object"], says("[]", MANIFEST)),
        refused(
            "an error with the status of success",
            &["schemaVersion"],
            says(r#"{"errors":[{"code":"DENIED"}]}"#, MANIFEST),
        ),
        refused(
            "another version",
            &["schemaVersion"],
            changed(|it| it["schemaVersion"] = 3.into()),
        ),
        refused("half of it", &["EOF while parsing"], |_, scene| {
            let text = scene.image.manifest.to_string();
            manifest(scene, &text[..text.len() / 2]);
        }),
        refused("no UTF-8", &["expected value"], says_bytes),
        refused("two values of one name", &["stands there twice"], |_, scene| {
            let text = scene.image.manifest.to_string();
            manifest(scene, text.replacen('{', r#"{"layers":[],"#, 1));
        }),
        refused("no content", &["answered 204"], |_, scene| {
            scene.when(Rule::new(On::Manifest, |_, _| Answer::new(204)));
        }),
        refused("a part of it", &["a part of a manifest"], |_, scene| {
            scene.when(Rule::new(On::Manifest, |_, right| right.status(206)));
        }),
    ]
}

fn says_bytes(_: &Place, scene: &mut Scene) {
    scene.when(Rule::new(On::Manifest, |_, right| right.saying(vec![0xff; 100])));
}

fn huge() -> Vec<Form> {
    let deep = |open: &'static str, close: &'static str| {
        move |_: &Place, scene: &mut Scene| {
            let text = format!("{{\"x\":{}{}}}", open.repeat(100_000), close.repeat(100_000));
            manifest(scene, text);
        }
    };
    vec![
        refused("10 GiB by its length", &["more than 4194304 bytes"], |_, scene| {
            scene.when(Rule::new(On::Manifest, |_, right| {
                right.with("Content-Length", "10737418240")
            }));
        }),
        refused("without end, in chunks", &["more than 4194304 bytes"], |_, scene| {
            scene.when(Rule::new(On::Manifest, |_, _| {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                let chunk = [b"4000\r\n".to_vec(), vec![b' '; 0x4000], b"\r\n".to_vec()].concat();
                Answer::raw(head, chunk)
            }));
        }),
        refused("without end", &["more than 4194304 bytes"], |_, scene| {
            scene.when(Rule::new(On::Manifest, |_, _| {
                Answer::raw("HTTP/1.1 200 OK\r\n\r\n", vec![b' '; 0x4000])
            }));
        }),
        refused("lists in lists", &["recursion limit"], deep("[", "]")),
        refused("objects in objects", &["recursion limit"], |_, scene| {
            let text = format!("{}1{}", r#"{"x":"#.repeat(100_000), "}".repeat(100_000));
            manifest(scene, text);
        }),
        refused(
            "a million layers",
            &["more than 4194304 bytes"],
            changed(|it| {
                let one = it["layers"][0].clone();
                it["layers"] = vec![one; 1_000_000].into();
            }),
        ),
        refused(
            "ten thousand layers",
            &["more than 1000"],
            changed(|it| {
                let one = it["layers"][0].clone();
                it["layers"] = vec![one; 10_000].into();
            }),
        ),
    ]
}

fn schema_1() -> Vec<Form> {
    let typed = |of: &'static str| {
        move |_: &Place, scene: &mut Scene| {
            let text = r#"{"schemaVersion":1,"name":"some/image","tag":"latest","architecture":"amd64","fsLayers":[],"history":[]}"#;
            scene.when(Rule::new(On::Manifest, move |_, right| {
                right.saying(text).with("Content-Type", of)
            }));
        }
    };
    vec![
        refused(
            "signed",
            &["schema 1"],
            typed("application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ),
        refused(
            "unsigned",
            &["schema 1"],
            typed("application/vnd.docker.distribution.manifest.v1+json"),
        ),
        refused("as plain JSON", &["application/json"], typed("application/json")),
    ]
}

fn digests() -> Vec<Form> {
    let of_layer = |text: &'static str| changed(move |it| it["layers"][1]["digest"] = text.into());
    let of_config = |text: &'static str| changed(move |it| it["config"]["digest"] = text.into());
    vec![
        refused("a path", &["behind the colon"], of_layer("sha256:../../../etc/passwd")),
        refused(
            "a path for a configuration",
            &["behind the colon"],
            of_config("sha256:../../../etc/passwd"),
        ),
        refused("nothing behind the colon", &["behind the colon"], of_layer("sha256:")),
        refused(
            "an old hash",
            &["unknown algorithm"],
            of_layer("md5:d41d8cd98f00b204e9800998ecf8427e"),
        ),
        refused(
            "a digit less",
            &["behind the colon"],
            of_layer("sha256:3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ),
        refused(
            "in capitals",
            &["lower-case hexadecimal"],
            of_layer("sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"),
        ),
        refused(
            "a number",
            &["must be a text"],
            changed(|it| it["layers"][1]["digest"] = 5.into()),
        ),
        answered(
            "a blob that is not there",
            404,
            &["blob unknown"],
            changed(|it| {
                it["layers"][1]["digest"] = digest(b"nothing").into();
            }),
        ),
    ]
}

fn sizes() -> Vec<Form> {
    let of_layer = |value: Value| changed(move |it| it["layers"][1]["size"] = value.clone());
    vec![
        refused("less", &["were promised"], of_layer(1000.into())),
        refused("more", &["were promised"], of_layer(100_000_000.into())),
        refused("none", &["were promised"], of_layer(0.into())),
        refused("below none", &["must be a whole number"], of_layer((-1).into())),
        refused("the largest", &["must be a whole number"], of_layer(u64::MAX.into())),
        refused("beyond the largest", &["layers[1].size"], |_, scene| {
            let mut value = scene.image.manifest.clone();
            value["layers"][1]["size"] = 77_777.into();
            let text = value.to_string().replace("77777", "99999999999999999999999");
            manifest(scene, text);
        }),
        refused("a fraction", &["must be a whole number"], of_layer(json!(1.5))),
        refused("a text", &["must be a whole number"], of_layer("1000".into())),
        refused(
            "of the configuration",
            &["were promised"],
            changed(|it| it["config"]["size"] = 3.into()),
        ),
        refused(
            "a configuration of 1 GiB",
            &["more than 4194304"],
            changed(|it| {
                it["config"]["size"] = (1_u64 << 30).into();
            }),
        ),
    ]
}

fn configurations() -> Vec<Form> {
    let config = |change: fn(&mut Value)| {
        move |_: &Place, scene: &mut Scene| {
            let mut image = scene.image.clone();
            change(&mut image.config);
            image.describe();
            scene.having(image);
        }
    };
    let text = |text: &'static str| {
        move |_: &Place, scene: &mut Scene| {
            let mut value = scene.image.manifest.clone();
            value["config"] = crate::pull::image::descriptor(CONFIG, text.as_bytes());
            manifest(scene, value.to_string());
            scene.registry.stock(|content| content.blob(REPOSITORY, text));
        }
    };
    vec![
        refused(
            "another layer's hash",
            &["as promised"],
            config(|it| {
                it["rootfs"]["diff_ids"][1] = digest(b"other").into();
            }),
        ),
        refused(
            "a hash less",
            &["its configuration tells of"],
            config(|it| {
                it["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
            }),
        ),
        refused(
            "a hash more",
            &["its configuration tells of"],
            config(|it| {
                it["rootfs"]["diff_ids"].as_array_mut().unwrap().push(digest(b"other").into());
            }),
        ),
        refused(
            "a path for a hash",
            &["behind the colon"],
            config(|it| {
                it["rootfs"]["diff_ids"][1] = "sha256:../../x".into();
            }),
        ),
        refused(
            "another processor",
            &["not for linux"],
            config(|it| it["architecture"] = "z80".into()),
        ),
        refused("another system", &["not for linux"], config(|it| it["os"] = "windows".into())),
        refused("nothing in it", &["rootfs: is missing"], text("{}")),
        refused("a list", &["must be an object"], text("[]")),
        refused("a picture", &["expected value"], text("\u{89}PNG")),
        answered(
            "it is not there",
            404,
            &["blob unknown"],
            changed(|it| {
                it["config"]["digest"] = digest(b"nothing").into();
            }),
        ),
    ]
}

fn elsewhere() -> Vec<Form> {
    let urls = |of: &'static str, scheme: &'static str| {
        move |place: &Place, scene: &mut Scene| {
            let evil = match scheme {
                "http" => place.plain("evil.example", Content::default()),
                _ => place.server("evil.example", Content::default()),
            };
            let mut value = scene.image.manifest.clone();
            let at = crate::pull::case::url(scheme, "evil.example", &evil, "/layer");
            value["layers"][1]["urls"] = json!([at]);
            value["layers"][1]["mediaType"] = of.into();
            manifest(scene, value.to_string());
            scene.as_user().forbidden.push(evil);
        }
    };
    const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    vec![
        pulled("a layer that is here, too", urls(LAYER, "https")),
        pulled("a foreign one that is here, too", urls(FOREIGN, "https")),
        answered("a foreign one that is not here", 404, &["blob unknown"], move |place, scene| {
            urls(FOREIGN, "https")(place, scene);
            let on = On::BlobOf(scene.image.long());
            scene.when(Rule::new(on, |_, _| Answer::error(404, "BLOB_UNKNOWN", "blob unknown")));
        }),
        answered("and without TLS", 404, &["blob unknown"], move |place, scene| {
            urls(FOREIGN, "http")(place, scene);
            let on = On::BlobOf(scene.image.long());
            scene.when(Rule::new(on, |_, _| Answer::error(404, "BLOB_UNKNOWN", "blob unknown")));
        }),
    ]
}
