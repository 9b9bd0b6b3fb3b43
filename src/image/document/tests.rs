//! Documents as tools write them, and as an attacker would.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn digest(of: &str) -> String {
    Digest::sha256(of.as_bytes()).to_string()
}

fn descriptor(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": digest("x"), "size": 7})
}

fn manifest() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI,
        "config": descriptor(CONFIG),
        "layers": [descriptor(LAYER)],
    })
}

fn index() -> Value {
    json!({"schemaVersion": 2, "manifests": [descriptor(OCI)]})
}

fn config() -> Value {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest("y")]},
    })
}

fn read<T: Content>(value: &Value) -> Result<Document<T>, DocumentError> {
    Document::read(value.to_string().as_bytes())
}

/// The value with a change at a JSON pointer; `null` takes the field away.
fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match value.pointer_mut(parent).unwrap() {
        Value::Object(fields) if new.is_null() => drop(fields.remove(key)),
        Value::Object(fields) => drop(fields.insert(key.to_owned(), new)),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = new,
        other => panic!("{other}"),
    }
    value
}

fn refused<T: Content + std::fmt::Debug>(value: &Value, at: &str, part: &str) {
    let told = read::<T>(value).expect_err(&value.to_string()).to_string();
    let place = format!(": {at}: ");
    assert!(told.contains(&place) && told.contains(part), "{value}: {told}");
    assert!(!told.contains('\n') && told.len() < 700, "{told}");
}

#[test]
fn a_manifest_of_either_family_is_read() {
    let oci = read::<Manifest>(&manifest()).unwrap();
    assert_eq!(oci.media_type, MediaType::Manifest(Family::Oci));
    assert_eq!(oci.layers[0].media_type, MediaType::Layer(Family::Oci, Compression::Gzip));
    assert_eq!((oci.layers[0].size, oci.layers[0].digest), (7, digest("x").parse().unwrap()));
    let bare = read::<Manifest>(&with(manifest(), "/mediaType", Value::Null)).unwrap();
    assert_eq!(bare.media_type, MediaType::Manifest(Family::Oci));
    let docker = json!({
        "schemaVersion": 2,
        "mediaType": DOCKER,
        "config": descriptor("application/vnd.docker.container.image.v1+json"),
        "layers": [
            descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip"),
            descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        ],
    });
    let docker = read::<Manifest>(&docker).unwrap();
    assert_eq!(docker.media_type, MediaType::Manifest(Family::Docker));
    assert_eq!(
        docker.layers[1].media_type,
        MediaType::ForeignLayer(Family::Docker, Compression::Gzip)
    );
}

#[test]
fn what_is_unknown_passes_and_urls_are_not_even_read() {
    let mut more = with(manifest(), "/artifactType", json!("x/y"));
    more = with(more, "/annotations", json!({"a": "b"}));
    more = with(more, "/layers/0/urls", json!(["http://169.254.169.254/"]));
    more = with(more, "/layers/0/data", json!("e30="));
    more = with(more, "/subject", json!({"any": [1, 2]}));
    let read = read::<Manifest>(&more).unwrap();
    assert_eq!(read.annotations["a"], "b");
    assert!(!format!("{read:?}").replace(&format!("{:?}", read.bytes()), "").contains("169.254"));
}

#[test]
fn a_document_that_two_readers_could_take_for_two_is_refused() {
    let both = with(manifest(), "/manifests", json!([descriptor(OCI)]));
    refused::<Manifest>(&both, ".", "a manifest with layers can't have manifests too");
    refused::<Manifest>(&with(manifest(), "/fsLayers", json!([])), ".", "fsLayers");
    for key in ["config", "layers"] {
        let both = with(index(), &format!("/{key}"), json!([]));
        refused::<Index>(&both, ".", &format!("an index with manifests can't have {key} too"));
    }
    refused::<Manifest>(&index(), ".", "can't have manifests");
    refused::<Index>(&manifest(), ".", "can't have config");
    for (media_type, part) in [
        (INDEX, "the document is another"),
        (CONFIG, "the document is another"),
        ("application/json", "the document is another"),
        ("application/vnd.docker.distribution.manifest.v1+json", "the document is another"),
        ("", "the document is another"),
    ] {
        refused::<Manifest>(&with(manifest(), "/mediaType", json!(media_type)), "mediaType", part);
    }
    refused::<Index>(&with(index(), "/mediaType", json!(OCI)), "mediaType", "is another");
    for key in ["Layers", "LAYERS", "MediaType", "Config", "layer\u{17f}"] {
        let other = with(manifest(), &format!("/{key}"), json!([]));
        let at = key.escape_default().to_string();
        refused::<Manifest>(&other, &at, "is another spelling of");
    }
    let deep = with(manifest(), "/layers/0/Digest", json!(digest("z")));
    refused::<Manifest>(&deep, "layers[0].Digest", "another spelling of digest");
    let twice = manifest().to_string().replacen('{', "{\"layers\":[],", 1);
    let told = Document::<Manifest>::read(twice.as_bytes()).unwrap_err().to_string();
    assert!(told.contains("the key \"layers\" stands there twice"), "{told}");
    for key in ["layers", "manifests", "fsLayers"] {
        let both = with(config(), &format!("/{key}"), json!([]));
        refused::<ImageConfig>(&both, ".", "a configuration can't have");
    }
}

#[test]
fn a_manifest_that_is_wrong_somewhere_is_refused_with_the_place() {
    for (pointer, new, at, part) in [
        ("/schemaVersion", json!(1), "schemaVersion", "must be 2, not 1"),
        ("/schemaVersion", json!("2"), "schemaVersion", "not a text"),
        ("/schemaVersion", Value::Null, "schemaVersion", "is missing"),
        ("/mediaType", json!(2), "mediaType", "must be a text"),
        ("/config", Value::Null, "config", "is missing"),
        ("/config", json!([]), "config", "must be an object, not a list"),
        (
            "/config/mediaType",
            json!("application/vnd.oci.empty.v1+json"),
            "config.mediaType",
            "no image",
        ),
        ("/config/mediaType", Value::Null, "config.mediaType", "is missing"),
        ("/config/digest", json!("sha256:../../x"), "config.digest", "characters behind the colon"),
        ("/config/digest", json!("md5:00"), "config.digest", "unknown algorithm"),
        ("/config/digest", json!("sha256:"), "config.digest", "0 characters"),
        ("/config/size", json!(-1), "config.size", "whole number"),
        ("/config/size", json!(1.5), "config.size", "whole number"),
        ("/config/size", json!(u64::MAX), "config.size", "whole number"),
        ("/config/size", json!("7"), "config.size", "not a text"),
        ("/layers", Value::Null, "layers", "is missing"),
        ("/layers", json!({}), "layers", "must be a list, not an object"),
        ("/layers/0", json!("x"), "layers[0]", "must be an object, not a text"),
        ("/layers/0", json!(null), "layers[0]", "not null"),
        ("/layers/0/digest", json!(digest("x").to_uppercase()), "layers[0].digest", "algorithm"),
        ("/layers/0/digest", Value::Null, "layers[0].digest", "is missing"),
        ("/layers/0/mediaType", json!(CONFIG), "layers[0].mediaType", "is no layer"),
        ("/layers/0/annotations", json!({"a": 1}), "layers[0].annotations.a", "must be a text"),
        ("/layers/0/annotations", json!({"a\u{0}": "x"}), "layers[0].annotations.a\\u{0}", "NUL"),
        ("/layers/0/platform", json!("linux"), "layers[0].platform", "must be an object"),
    ] {
        refused::<Manifest>(&with(manifest(), pointer, new), at, part);
    }
    refused::<Manifest>(&json!([]), ".", "must be an object, not a list");
    refused::<Index>(&json!(null), ".", "must be an object, not null");
}

#[test]
fn a_document_must_be_what_was_promised() {
    let text = manifest().to_string();
    let bytes = text.as_bytes();
    let right = Descriptor::new(OCI.into(), Digest::sha256(bytes), bytes.len() as u64);
    let read = Document::<Manifest>::described(bytes, &right).unwrap();
    assert_eq!((read.bytes(), read.digest()), (bytes, &right.digest));
    assert!(right.describes(bytes) && !right.describes(&bytes[1..]));
    let long = Digest::of(super::super::Algorithm::Sha512, bytes);
    assert_eq!(*Document::<Manifest>::with_digest(bytes, &long).unwrap().digest(), long);

    let other = |change: fn(&mut Descriptor)| {
        let mut wrong = right.clone();
        change(&mut wrong);
        Document::<Manifest>::described(bytes, &wrong).unwrap_err().to_string()
    };
    assert!(other(|it| it.size += 1).contains(&format!(
        "has {0} bytes, not {1}",
        bytes.len(),
        bytes.len() + 1
    )));
    assert!(other(|it| it.digest = Digest::sha256(b"")).contains("has the digest"));
    assert!(other(|it| it.media_type = INDEX.into()).contains("is said to be"));
    assert!(other(|it| it.media_type = DOCKER.into()).contains("was promised"));
    let mut flipped = bytes.to_vec();
    for at in 0..flipped.len() {
        flipped[at] ^= 1;
        assert!(Document::<Manifest>::described(&flipped, &right).is_err());
        flipped[at] ^= 1;
    }
    let huge = vec![b' '; DOCUMENT_LIMIT + 1];
    let told = Document::<Manifest>::read(&huge).unwrap_err().to_string();
    assert_eq!(told, "the manifest has 4194305 bytes, more than 4194304");
}

#[test]
fn a_configuration_as_docker_writes_it_is_read() {
    let config = json!({
        "architecture": "arm64", "variant": "v8", "os": "linux", "os.version": "", "docker_version": "28.0",
        "created": "2024-01-02T03:04:05.000000006Z", "author": "a", "container": "c",
        "config": {
            "Hostname": "", "AttachStdin": false, "ExposedPorts": {"80/tcp": {}},
            "Env": ["PATH=/bin", "EMPTY="], "Entrypoint": null, "Cmd": ["sh", "-c", "x"],
            "Volumes": {"/data": {}, "/a": null}, "WorkingDir": "/srv", "User": "1000:1000",
            "OnBuild": null, "Labels": {"b": "2", "B": "3"}, "StopSignal": "SIGINT",
            "Healthcheck": {"Test": ["NONE"]}, "Shell": ["/bin/sh"],
        },
        "container_config": {"Cmd": ["y"]},
        "rootfs": {"type": "layers", "diff_ids": [digest("1"), digest("2")]},
        "history": [
            {"created": "2024-01-01T00:00:00Z", "created_by": "ADD x", "comment": "c"},
            {"created_by": "CMD", "empty_layer": true},
        ],
    });
    let read = read::<ImageConfig>(&config).unwrap();
    assert_eq!(read.platform.to_string(), "linux/arm64/v8");
    assert_eq!(
        (&*read.env, &*read.cmd),
        (&["PATH=/bin", "EMPTY="].map(String::from)[..], &["sh", "-c", "x"].map(String::from)[..])
    );
    assert!(read.entrypoint.is_empty());
    assert_eq!(
        (&*read.user, &*read.working_dir, &*read.stop_signal),
        ("1000:1000", "/srv", "SIGINT")
    );
    assert_eq!(read.volumes.iter().collect::<Vec<_>>(), ["/a", "/data"]);
    assert_eq!(read.exposed_ports.iter().collect::<Vec<_>>(), ["80/tcp"]);
    assert_eq!((&*read.labels["b"], &*read.labels["B"]), ("2", "3"));
    assert_eq!(read.diff_ids, [digest("1"), digest("2")].map(|id| id.parse().unwrap()));
    assert_eq!((&*read.created, read.history.len()), ("2024-01-02T03:04:05.000000006Z", 2));
    assert!(read.history[1].empty_layer && read.history[0].created_by == "ADD x");
}

#[test]
fn a_configuration_that_says_nothing_is_one_and_labels_stay_data() {
    let read = |config: &Value| super::tests::read::<ImageConfig>(config);
    assert_eq!(read(&with(config(), "/rootfs/diff_ids", json!([]))).unwrap().diff_ids, []);
    let nulls =
        json!({"rootfs": {"type": "layers", "diff_ids": null}, "config": null, "history": null});
    assert_eq!(**read(&nulls).unwrap().content(), ImageConfig::default());
    let labels = json!({"io.containerd.runc": "binary:///bin/sh", "cdi.k8s.io/x": "a=b"});
    let labelled = read(&with(config(), "/config", json!({"Labels": labels}))).unwrap();
    assert_eq!(labelled.labels["io.containerd.runc"], "binary:///bin/sh");
}

#[test]
fn a_configuration_that_is_wrong_somewhere_is_refused_with_the_place() {
    let base = with(config(), "/config", json!({}));
    for (pointer, new, at, part) in [
        ("/rootfs", Value::Null, "rootfs", "is missing"),
        ("/rootfs/type", json!("windows"), "rootfs.type", "must be \"layers\""),
        ("/rootfs/diff_ids", json!(["sha256:x"]), "rootfs.diff_ids[0]", "1 characters"),
        ("/rootfs/Diff_IDs", json!([]), "rootfs.Diff_IDs", "another spelling"),
        ("/config/Env", json!("A=b"), "config.Env", "must be a list"),
        ("/config/Env", json!(["A=b", 1]), "config.Env[1]", "must be a text"),
        ("/config/Env", json!(["A=b\u{0}c"]), "config.Env[0]", "the text has a NUL"),
        ("/config/Cmd", json!("sh"), "config.Cmd", "must be a list, not a text"),
        ("/config/Entrypoint", json!([null]), "config.Entrypoint[0]", "not null"),
        ("/config/User", json!(0), "config.User", "not a number"),
        ("/config/user", json!("root"), "config.user", "another spelling of User"),
        ("/config/Volumes", json!(["/data"]), "config.Volumes", "must be an object"),
        ("/config/Labels", json!({"a": {}}), "config.Labels.a", "must be a text"),
        ("/config", json!([]), "config", "must be an object"),
        ("/history", json!({}), "history", "must be a list"),
        ("/history", json!([{"empty_layer": "yes"}]), "history[0].empty_layer", "true or false"),
        ("/os", json!(["linux"]), "os", "must be a text"),
    ] {
        refused::<ImageConfig>(&with(base.clone(), pointer, new), at, part);
    }
}

#[test]
fn a_platform_takes_what_runs_on_it() {
    let platform = |os: &str, architecture: &str, variant: &str| Platform {
        variant: variant.to_owned(),
        ..Platform::new(os, architecture)
    };
    let amd = platform("linux", "amd64", "");
    let arm = platform("linux", "arm64", "v8");
    assert!(amd.takes(&amd) && amd.takes(&platform("linux", "amd64", "v2")));
    assert!(
        arm.takes(&platform("linux", "arm64", "")) && platform("linux", "arm64", "").takes(&arm)
    );
    assert!(!platform("linux", "arm", "v7").takes(&platform("linux", "arm", "v6")));
    for other in [arm, platform("windows", "amd64", ""), platform("unknown", "unknown", "")] {
        assert!(!amd.takes(&other), "{other}");
    }
    assert_eq!(Platform::host().os, "linux");
}

#[test]
fn what_is_written_reads_back() {
    let layer = Descriptor::new(LAYER.into(), Digest::sha256(b"l"), 9);
    let made = Manifest::new(Descriptor::new(CONFIG.into(), Digest::sha256(b"c"), 3), vec![layer]);
    let read = Document::<Manifest>::read(&made.to_json()).unwrap();
    assert_eq!(**read.content(), made);
    let mut entry = Descriptor::new(OCI.into(), *read.digest(), read.bytes().len() as u64);
    entry.platform = Some(Platform::host());
    entry.annotations.insert("a".into(), "b".into());
    let index = Index::new(vec![entry]);
    assert_eq!(**Document::<Index>::read(&index.to_json()).unwrap().content(), index);
}

/// Documents with parts replaced, dropped and doubled, and plain bytes.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let seeds = [manifest(), index(), config()].map(|value| value.to_string().into_bytes());
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        (
            0..3_usize,
            proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6)
        )
            .prop_map(move |(seed, changes)| {
                let mut bytes = seeds[seed].clone();
                for (at, byte) in changes {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes
            }),
    ]
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_is_read_is_written_as_the_same(bytes in any_bytes()) {
        if let Ok(read) = Document::<Manifest>::read(&bytes) {
            let again = Document::<Manifest>::read(&read.to_json()).unwrap();
            prop_assert_eq!(again.content(), read.content());
        }
        if let Ok(read) = Document::<Index>::read(&bytes) {
            let again = Document::<Index>::read(&read.to_json()).unwrap();
            prop_assert_eq!(again.content(), read.content());
        }
        let _ = Document::<ImageConfig>::read(&bytes).is_ok();
    }
}
