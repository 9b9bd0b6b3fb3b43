//! What an image says about itself and where it is from: wishes, names, platforms, layers elsewhere.

use super::super::archive::{
    Archive, INDEX, MANIFEST, NAME, PLAIN, architecture, config, descriptor, digest, index,
    manifest,
};
use super::super::case::{Case, case};
use super::documents::{bad, good};

pub fn cases() -> Vec<Case> {
    vec![foreign(), wishes(), names(), platforms()]
}

fn foreign() -> Case {
    let urls = |layer: &str, kind: &str| {
        layer.replacen(PLAIN, kind, 1).replacen('{', r#"{"urls":["http://127.0.0.1:9/layer"],"#, 1)
    };
    let forms = vec![
        good("urls of a layer that is here", move || {
            Archive::manifested(|config, layer| manifest(config, &[urls(layer, PLAIN)]))
        }),
        bad(
            "urls of a layer that is not",
            move || {
                let mut archive =
                    Archive::manifested(|config, layer| manifest(config, &[urls(layer, PLAIN)]));
                archive.blobs.remove(0);
                archive
            },
            &["sha256"],
        ),
        bad(
            "a foreign layer",
            move || {
                let kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
                let mut archive = Archive::manifested(move |config, layer| {
                    manifest(config, &[urls(layer, kind)])
                });
                archive.blobs.remove(0);
                archive
            },
            &[],
        ),
    ];
    case("layers from elsewhere", "CVE-2020-15157", forms)
}

fn wishes() -> Case {
    let with = |name: &str, wishes: &'static str| {
        good(name, move || Archive::configured(|id| config(&[id.to_owned()], wishes)))
    };
    let not = |name: &str, wishes: &'static str| {
        bad(name, move || Archive::configured(|id| config(&[id.to_owned()], wishes)), &[])
    };
    let forms = vec![
        with("volumes out of the root", r#""Volumes":{"/../../etc":{},"/proc":{},"":{}}"#),
        with(
            "labels with a meaning elsewhere",
            r#""Labels":{"io.containerd.runtime":"binary:///bin/sh","cdi.k8s.io/x":"vendor.com/gpu=0"}"#,
        ),
        with("a working directory of a descriptor", r#""WorkingDir":"/proc/self/fd/7""#),
        with("a user of 2^32", r#""User":"4294967296:0""#),
        with("hooks", r#""Hooks":{"prestart":[{"path":"/bin/sh"}]}"#),
        with("an agent's socket", r#""Env":["LD_PRELOAD=/evil.so","PATH=/evil"]"#),
        with("history without end", r#""Cmd":[]"#),
        not("NUL in the environment", r#""Env":["A=\u0000B"]"#),
        not("NUL in the command", r#""Cmd":["a\u0000b"]"#),
        not("a number as the environment", r#""Env":7"#),
        not("an object as the command", r#""Cmd":{"a":"b"}"#),
    ];
    case("wishes of a configuration", "CVE-2026-53492, CVE-2022-23648", forms)
}

fn names() -> Case {
    let with = |name: &'static str| move || Archive::indexed(|manifest| index(manifest, name));
    let mut forms = Vec::new();
    for name in
        ["../../etc/passwd", "UPPER/case:tag", "a b", "name:tag:tag", "-x", "host:99999999/../x:y"]
    {
        forms.push(bad(&format!("{name:?}"), with(name), &[name]));
    }
    let long: &'static str = Box::leak("n".repeat(5000).into_boxed_str());
    forms.push(bad("5000 letters", with(long), &["nnnn"]));
    forms.push(bad("that writes to a terminal", with("\\u001b[2Jx:y"), &[]));
    case("names of images", "CVE-2026-50195, names as paths", forms)
}

fn platforms() -> Case {
    // A list for several platforms, behind the layout's own.
    let list = |platforms: &'static [&'static str]| {
        move || {
            let mut archive = Archive::small();
            let (name, bytes) = &archive.blobs[archive.manifest];
            let manifest = descriptor(MANIFEST, name, bytes.len());
            let of = |platform: &&str| {
                manifest.replacen('{', &format!(r#"{{"platform":{platform},"#), 1)
            };
            let all: Vec<_> = platforms.iter().map(of).collect();
            let list = format!(
                r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
                all.join(",")
            );
            archive.index = index(&descriptor(INDEX, &digest(list.as_bytes()), list.len()), NAME);
            archive.blobs.push((digest(list.as_bytes()), list.into_bytes()));
            archive
        }
    };
    let with = |from: &'static str, to: &'static str| {
        move || Archive::configured(move |id| config(&[id.to_owned()], "").replacen(from, to, 1))
    };
    let forms = vec![
        good("a list of three, one for this host", list(&[WINDOWS, HERE, MAINFRAME])),
        bad("a list of two, none for this host", list(&[WINDOWS, MAINFRAME]), &["linux"]),
        bad("a list with no words", list(&[r#"{"architecture":7,"os":[]}"#]), &[]),
        bad("a configuration for another system", with("\"linux\"", "\"windows\""), &["windows"]),
        // As Docker does: it is its start that fails, or is emulated.
        good("a configuration for another processor", with(architecture(), "s390x")),
    ];
    case("platforms", "an image for another host", forms)
}

const HERE: &str = match cfg!(target_arch = "aarch64") {
    true => r#"{"architecture":"arm64","os":"linux"}"#,
    false => r#"{"architecture":"amd64","os":"linux"}"#,
};
const WINDOWS: &str = r#"{"architecture":"amd64","os":"windows"}"#;
const MAINFRAME: &str = r#"{"architecture":"s390x","os":"linux"}"#;
