//! Documents of an image: digests that are none, documents with two meanings, lies about blobs.

use super::super::archive::{
    Archive, CONFIG, INDEX, MANIFEST, NAME, PLAIN, config, descriptor, digest, hex, index,
    manifest, small,
};
use super::super::case::{Case, Form, Is, Made, case, right, wrong};

pub fn cases() -> Vec<Case> {
    vec![digests(), lies(), two_meanings(), shapes(), sizes()]
}

pub fn bad(name: &str, archive: impl Fn() -> Archive + Sync + 'static, says: &[&str]) -> Form {
    wrong(name, move || Made::Archive(archive().bytes()), says)
}

pub fn good(name: &str, archive: impl Fn() -> Archive + Sync + 'static) -> Form {
    right(name, move || Made::Archive(archive().bytes()), &[("hello", Is::File("in"))])
}

const DIGESTS: [&str; 16] = [
    "sha256:../../../etc/passwd",
    "sha256:",
    "sha256",
    "",
    ":",
    "md5:d41d8cd98f00b204e9800998ecf8427e",
    "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
    "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
    "SHA256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "sha256:g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85/",
    "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "../sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85\\u0000",
];

fn digests() -> Case {
    let mut forms = Vec::new();
    for text in DIGESTS {
        // What is escaped in the document is not as it was when it is printed.
        let says = if text.len() < 4 || text.contains('\\') { "digest" } else { text };
        forms.push(bad(
            &format!("of a manifest, {text:?}"),
            move || Archive::indexed(|_| index(&descriptor(MANIFEST, text, 7), NAME)),
            &[says],
        ));
        forms.push(bad(
            &format!("of a configuration, {text:?}"),
            move || {
                Archive::manifested(|_, layer| {
                    manifest(&descriptor(CONFIG, text, 7), &[layer.to_owned()])
                })
            },
            &[says],
        ));
        forms.push(bad(
            &format!("of a layer, {text:?}"),
            move || {
                Archive::manifested(|config, _| manifest(config, &[descriptor(PLAIN, text, 7)]))
            },
            &[says],
        ));
        forms.push(bad(
            &format!("of an unpacked layer, {text:?}"),
            move || Archive::configured(|id| config(&[id.to_owned()], "").replace(id, text)),
            &[if says == "digest" { "diff_ids" } else { says }],
        ));
    }
    case("digests that are none", "CVE-2024-3727, CVE-2026-95839, apple GHSA-f689", forms)
}

/// Changes the bytes of one blob under its old name.
fn spoiled(
    which: fn(&Archive) -> usize,
    change: fn(&mut Vec<u8>),
) -> impl Fn() -> Archive + Sync + 'static {
    move || {
        let mut archive = Archive::small();
        let at = which(&archive);
        change(&mut archive.blobs[at].1);
        archive
    }
}

fn lies() -> Case {
    let which: [(&str, fn(&Archive) -> usize); 3] = [
        ("manifest", |archive| archive.manifest),
        ("configuration", |archive| archive.config),
        ("layer", |_| 0),
    ];
    let changes: [(&str, fn(&mut Vec<u8>)); 4] = [
        ("one bit is other", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("cut", |bytes| {
            bytes.pop();
        }),
        ("longer", |bytes| bytes.push(b' ')),
        ("empty", Vec::clear),
    ];
    let mut forms = Vec::new();
    for (name, which) in which {
        for (how, change) in changes {
            forms.push(bad(&format!("a {name}: {how}"), spoiled(which, change), &["sha256"]));
        }
        forms.push(bad(
            &format!("a {name}: not there"),
            move || {
                let mut archive = Archive::small();
                let at = which(&archive);
                archive.blobs.remove(at);
                archive
            },
            &["sha256"],
        ));
    }
    let layer = |size: &'static str| {
        move || {
            Archive::manifested(|config, layer| {
                let at = layer.rfind(':').unwrap();
                manifest(config, &[format!("{}:{size}}}", &layer[..at])])
            })
        }
    };
    for size in ["0", "1", "2047", "2049", "99999999999"] {
        forms.push(bad(&format!("a layer's size is said to be {size}"), layer(size), &["sha256"]));
    }
    for size in ["-1", "2048.5", "1e400", "18446744073709551616", "\"2048\"", "null"] {
        forms.push(bad(&format!("a layer's size is said to be {size}"), layer(size), &[]));
    }
    let other = hex(b"something else");
    forms.push(bad(
        "a layer that unpacks to something else",
        move || Archive::configured(|_| config(&[format!("sha256:{other}")], "")),
        &["sha256"],
    ));
    forms.push(bad(
        "more unpacked layers than layers",
        || Archive::configured(|id| config(&[id.to_owned(), id.to_owned()], "")),
        &["2"],
    ));
    forms.push(bad(
        "fewer unpacked layers than layers",
        || Archive::configured(|_| config(&[], "")),
        &["0"],
    ));
    forms.push(bad(
        "two unpacked layers in the wrong order",
        || {
            let (one, two) =
                (small(), super::super::case::Layer::plain(super::super::tar::tar([])));
            let mut layers = [one, two];
            let ids = [layers[1].diff_id.clone(), layers[0].diff_id.clone()];
            layers[0].diff_id.clone_from(&ids[0]);
            layers[1].diff_id.clone_from(&ids[1]);
            Archive::of_layers(&layers)
        },
        &["sha256"],
    ));
    case("blobs that are not what they are said to be", "digest, size, diffID mismatch", forms)
}

fn two_meanings() -> Case {
    let both = |kind: &'static str| {
        move || {
            Archive::manifested(move |config, layer| {
                format!(
                    r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[{layer}],"manifests":[]}}"#
                )
            })
        }
    };
    let twice = |key: &'static str, value: &'static str| {
        move || {
            Archive::manifested(move |config, layer| {
                let whole = manifest(config, &[layer.to_owned()]);
                format!("{},\"{key}\":{value}}}", whole.strip_suffix('}').unwrap())
            })
        }
    };
    let forms = vec![
        bad("a manifest that is an index too", both(MANIFEST), &["manifests"]),
        bad("an index that is a manifest too", both(INDEX), &[]),
        bad(
            "without a media type",
            || {
                Archive::manifested(|config, layer| {
                    format!(
                        r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}],"manifests":[]}}"#
                    )
                })
            },
            &["manifests"],
        ),
        bad(
            "the index is a manifest too",
            || {
                Archive::indexed(|manifest| {
                    format!(
                        r#"{{"schemaVersion":2,"manifests":[{manifest}],"layers":[],"config":{manifest}}}"#
                    )
                })
            },
            &[],
        ),
        bad(
            "a manifest that says it is an index",
            || {
                Archive::manifested(|config, layer| {
                    manifest(config, &[layer.to_owned()]).replacen(MANIFEST, INDEX, 1)
                })
            },
            &[],
        ),
        bad(
            "a manifest that is named as an index",
            || Archive::indexed(|manifest| index(&manifest.replacen(MANIFEST, INDEX, 1), NAME)),
            &[],
        ),
        bad(
            "a manifest that is named as a layer",
            || Archive::indexed(|manifest| index(&manifest.replacen(MANIFEST, PLAIN, 1), NAME)),
            &[],
        ),
        bad("layers twice", twice("layers", "[]"), &["layers"]),
        bad("the configuration twice", twice("config", "{}"), &["config"]),
        bad("the media type twice", twice("mediaType", "\"application/json\""), &["mediaType"]),
        bad(
            "digests twice in a descriptor",
            || {
                Archive::manifested(|config, layer| {
                    let layer =
                        layer.replacen('{', &format!(r#"{{"digest":"{}","#, digest(b"")), 1);
                    manifest(config, &[layer])
                })
            },
            &["digest"],
        ),
        bad(
            "keys twice in a configuration",
            || {
                Archive::configured(|id| {
                    config(&[id.to_owned()], "").replacen(
                        '{',
                        r#"{"rootfs":{"type":"layers","diff_ids":[]},"#,
                        1,
                    )
                })
            },
            &["rootfs"],
        ),
        bad(
            "keys twice in an index",
            || {
                Archive::indexed(|manifest| {
                    index(manifest, NAME).replacen('{', r#"{"manifests":[],"#, 1)
                })
            },
            &["manifests"],
        ),
    ];
    case("documents with two meanings", "GO-2024-2914", forms)
}

fn shapes() -> Case {
    let document = |text: &'static str| move || Archive::small().with_manifest(text.to_owned());
    let nested = || "[".repeat(100_000);
    let index_of = |text: &'static str| move || Archive::indexed(|_| text.to_owned());
    let forms = vec![
        bad("no document", document("rubbish"), &["sha256"]),
        bad("no bytes", document(""), &["sha256"]),
        bad("a list", document("[]"), &["sha256"]),
        bad("nothing in it", document("{}"), &["sha256"]),
        bad("null", document("null"), &["sha256"]),
        bad(
            "two documents",
            || {
                Archive::manifested(|config, layer| {
                    format!("{}{{}}", manifest(config, &[layer.to_owned()]))
                })
            },
            &["sha256"],
        ),
        bad("100 000 brackets", move || Archive::small().with_manifest(nested()), &["sha256"]),
        bad(
            "brackets in what nobody knows",
            || {
                Archive::manifested(|config, layer| {
                    let whole = manifest(config, &[layer.to_owned()]);
                    format!(
                        "{},\"x\":{}{}}}",
                        whole.strip_suffix('}').unwrap(),
                        "[".repeat(50_000),
                        "]".repeat(50_000)
                    )
                })
            },
            &["sha256"],
        ),
        bad(
            "of version 1",
            || {
                Archive::manifested(|config, layer| {
                    manifest(config, &[layer.to_owned()])
                        .replace("\"schemaVersion\":2", "\"schemaVersion\":1")
                })
            },
            &[],
        ),
        bad(
            "Docker's of old",
            document(
                r#"{"schemaVersion":1,"name":"x","tag":"latest","fsLayers":[{"blobSum":"sha256:x"}],"history":[]}"#,
            ),
            &[],
        ),
        bad(
            "a configuration of something else",
            || {
                Archive::manifested(|config, layer| {
                    manifest(
                        &config.replacen(CONFIG, "application/vnd.cncf.helm.config.v1+json", 1),
                        &[layer.to_owned()],
                    )
                })
            },
            &[],
        ),
        bad(
            "a layer of something else",
            || {
                Archive::manifested(|config, layer| {
                    manifest(config, &[layer.replacen(PLAIN, "application/vnd.example.wasm", 1)])
                })
            },
            &[],
        ),
        bad(
            "layers that are encrypted",
            || {
                Archive::manifested(|config, layer| {
                    manifest(
                        config,
                        &[layer.replacen(
                            PLAIN,
                            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                            1,
                        )],
                    )
                })
            },
            &[],
        ),
        bad("the index is no document", index_of("rubbish"), &["index.json"]),
        bad("the index is empty", index_of(r#"{"schemaVersion":2,"manifests":[]}"#), &[]),
        bad("the index is a list", index_of("[]"), &["index.json"]),
        bad(
            "the mark is of another version",
            || {
                let mut archive = Archive::small();
                archive.marker = r#"{"imageLayoutVersion":"2.0.0"}"#.to_owned();
                archive
            },
            &["2.0.0"],
        ),
        bad(
            "the mark is no document",
            || {
                let mut archive = Archive::small();
                archive.marker = "1.0.0".to_owned();
                archive
            },
            &["oci-layout"],
        ),
        bad("an index in an index in an index", || nested_indexes(40), &[]),
    ];
    case("documents of another shape", "section 5.4", forms)
}

/// Each names the next; the last names the manifest.
fn nested_indexes(depth: usize) -> Archive {
    let mut archive = Archive::small();
    let (name, bytes) = &archive.blobs[archive.manifest];
    let mut inner = descriptor(MANIFEST, name, bytes.len());
    for _ in 0..depth {
        let text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{inner}]}}"#);
        inner = descriptor(INDEX, &digest(text.as_bytes()), text.len());
        archive.blobs.push((digest(text.as_bytes()), text.into_bytes()));
    }
    archive.index = index(&inner, NAME);
    archive
}

fn sizes() -> Case {
    let spaces = |text: String, count: usize| format!("{text}{}", " ".repeat(count));
    let repeated = |count: usize| {
        move || {
            Archive::manifested(move |config, layer| {
                manifest(config, &vec![layer.to_owned(); count])
            })
        }
    };
    let forms = vec![
        bad(
            "a manifest of 10 MiB",
            move || {
                Archive::manifested(|config, layer| {
                    spaces(manifest(config, &[layer.to_owned()]), 10 << 20)
                })
            },
            &["sha256"],
        ),
        bad(
            "a configuration of 10 MiB",
            move || Archive::configured(|id| spaces(config(&[id.to_owned()], ""), 10 << 20)),
            &["sha256"],
        ),
        bad(
            "an index of 100 MiB",
            move || Archive::indexed(|manifest| spaces(index(manifest, NAME), 100 << 20)),
            &["index.json"],
        ),
        bad(
            "a mark of 100 MiB",
            || {
                let mut archive = Archive::small();
                archive.marker = " ".repeat(100 << 20);
                archive
            },
            &["oci-layout"],
        ),
        bad("20 000 layers", repeated(20_000), &[]),
        bad(
            "the same layer 10 000 times",
            || {
                let layer = small();
                Archive::of_layers(&vec![layer; 10_000])
            },
            &[],
        ),
        bad(
            "10 000 manifests",
            || {
                Archive::indexed(|manifest| {
                    let all = vec![manifest.to_owned(); 10_000].join(",");
                    format!(r#"{{"schemaVersion":2,"manifests":[{all}]}}"#)
                })
            },
            &[],
        ),
    ];
    case("documents that are too large", "4.23: 10 GiB manifest, 1 M-layer manifest", forms)
}
