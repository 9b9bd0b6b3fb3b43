//! Archives and directories that hold an image: members that lead elsewhere, are there twice, are missing.

use super::super::archive::{Archive, Saved, config, digest, small};
use super::super::case::{Case, Form, Is, Made, case, right, wrong};
use super::super::layout::{Layout, Spoil};
use super::super::tar::{device, dir, entry, field, file, hard_link, open_ended, symlink, tar};
use super::streams::{gzip, zeros};

pub fn cases() -> Vec<Case> {
    vec![members(), saved(), saved_links(), directories(), documents_elsewhere(), streams()]
}

fn bad(name: &str, make: impl Fn() -> Vec<u8> + Sync + 'static, says: &[&str]) -> Form {
    wrong(name, move || Made::Archive(make()), says)
}

fn good(name: &str, make: impl Fn() -> Vec<u8> + Sync + 'static) -> Form {
    right(name, move || Made::Archive(make()), &[("hello", Is::File("in"))])
}

fn members() -> Case {
    let blob = || Archive::path(&Archive::small().blobs[0].0);
    let without_layer = || {
        let mut archive = Archive::small();
        archive.blobs.remove(0);
        archive
    };
    let forms = vec![
        bad(
            "a blob twice",
            move || Archive::small().and(file(blob(), "other")).bytes(),
            &["sha256"],
        ),
        bad(
            "a blob twice, the same",
            move || Archive::small().and(file(blob(), small().blob)).bytes(),
            &["sha256"],
        ),
        bad(
            "the index twice",
            || Archive::small().and(file("index.json", "{}")).bytes(),
            &["index.json"],
        ),
        bad(
            "the index twice under another form of its name",
            || Archive::small().and(file("./index.json", "{}")).bytes(),
            &["index.json"],
        ),
        bad(
            "a blob that is a link to the host",
            move || without_layer().and(symlink(blob(), "/etc/passwd")).bytes(),
            &["sha256"],
        ),
        bad(
            "a blob that is a hard link to the host",
            move || without_layer().and(hard_link(blob(), "/etc/passwd")).bytes(),
            &["sha256"],
        ),
        bad(
            "a blob that is a link upwards",
            move || without_layer().and(symlink(blob(), "../../../../etc/passwd")).bytes(),
            &["sha256"],
        ),
        bad(
            "a blob that is a device",
            move || without_layer().and(device(b'3', &blob(), 1, 5)).bytes(),
            &["sha256"],
        ),
        bad(
            "a blob that is a FIFO",
            move || without_layer().and(entry(b'6', blob())).bytes(),
            &["sha256"],
        ),
        bad(
            "a blob that is a directory",
            move || without_layer().and(dir(blob())).bytes(),
            &["sha256"],
        ),
        bad(
            "the index is a link",
            || {
                let entries = Archive::small()
                    .entries()
                    .into_iter()
                    .filter(|entry| !entry.clone().bytes().starts_with(b"index.json"));
                tar(entries.chain([symlink("index.json", "/etc/passwd")]))
            },
            &["index.json"],
        ),
        bad(
            "a member that leads upwards",
            || Archive::small().and(file("../pwn", "out")).bytes(),
            &["../pwn"],
        ),
        good("members that nobody asked for", || {
            Archive::small().and(symlink("s", "/")).and(file("s/pwn", "out")).bytes()
        }),
        good("devices that nobody asked for", || {
            Archive::small().and(device(b'4', "sda", 8, 0)).bytes()
        }),
        bad(
            "a million members",
            || {
                let one = file("besides", "").bytes();
                [open_ended(Archive::small().entries()), one.repeat(200_000), vec![0; 1024]]
                    .concat()
            },
            &[],
        ),
        bad(
            "a member whose size is a lie",
            || {
                [open_ended(Archive::small().entries()), file("f", "").says(1 << 40 >> 8).bytes()]
                    .concat()
            },
            &["f"],
        ),
        bad(
            "a member without a sum",
            || Archive::small().and(file("f", "in").field(field::SUM, [0; 8]).unsummed()).bytes(),
            &[],
        ),
    ];
    case("members of an archive", "duplicate names, GHSA-r3h2", forms)
}

fn saved() -> Case {
    let layers = |to: &'static str| move || Saved::small().replacing("one/layer.tar", to).bytes();
    let whole = |text: &'static str| {
        move || {
            let mut saved = Saved::small();
            saved.manifest = text.to_owned();
            saved.bytes()
        }
    };
    let forms = vec![
        good("as it should be", || Saved::small().bytes()),
        bad("a layer ../layer.tar", layers("../layer.tar"), &["../layer.tar"]),
        bad("a layer /etc/passwd", layers("/etc/passwd"), &["/etc/passwd"]),
        bad(
            "a layer one/../../etc/passwd",
            layers("one/../../etc/passwd"),
            &["one/../../etc/passwd"],
        ),
        bad("a layer that is not there", layers("two/layer.tar"), &["two/layer.tar"]),
        bad("a layer that is a directory", layers("one"), &["one"]),
        bad("a layer without a name", layers(""), &[]),
        bad("a layer that is the document itself", layers("manifest.json"), &[]),
        bad(
            "a configuration ../../etc/passwd",
            || {
                let name = Saved::small().manifest.split('"').nth(3).unwrap().to_owned();
                Saved::small().replacing(&name, "../../etc/passwd").bytes()
            },
            &["../../etc/passwd"],
        ),
        bad(
            "a configuration of another hash",
            || {
                let text = config(&[small().diff_id], r#""Cmd":["evil"]"#);
                let saved = Saved::small();
                let name = saved.manifest.split('"').nth(3).unwrap().to_owned();
                let mut saved = saved;
                saved.entries[0] = file(name, text);
                saved.bytes()
            },
            &["sha256"],
        ),
        bad(
            "a layer of other contents",
            || {
                Saved::small()
                    .without_layer()
                    .and(file("one/layer.tar", tar([file("other", "out")])))
                    .bytes()
            },
            &["layer 1"],
        ),
        bad(
            "a layer twice",
            || Saved::small().and(file("one/layer.tar", "other")).bytes(),
            &["one/layer.tar"],
        ),
        bad("no document", whole("rubbish"), &["manifest.json"]),
        bad("an empty list", whole("[]"), &[]),
        bad("an object", whole("{}"), &["manifest.json"]),
        bad("no configuration", whole(r#"[{"RepoTags":["a:b"],"Layers":[]}]"#), &["manifest.json"]),
        bad(
            "a name that is none",
            || Saved::small().replacing("hostile:latest", "../../x:y").bytes(),
            &["../../x:y"],
        ),
        bad(
            "the document twice",
            || Saved::small().and(file("manifest.json", "[]")).bytes(),
            &["manifest.json"],
        ),
        good("images by names of old, which lie", || {
            Saved::small().and(file("repositories", r#"{"other":{"latest":"../../etc"}}"#)).bytes()
        }),
    ];
    case("archives of docker save", "manifest.json: Layers path ../, duplicate names", forms)
}

fn saved_links() -> Case {
    let linked = |to: &'static str| {
        move || Saved::small().without_layer().and(symlink("one/layer.tar", to)).bytes()
    };
    let forms = vec![
        bad("to /etc/passwd", linked("/etc/passwd"), &["one/layer.tar"]),
        bad("to ../../etc/passwd", linked("../../etc/passwd"), &["one/layer.tar"]),
        bad("to itself", linked("layer.tar"), &["one/layer.tar"]),
        bad("to what is not there", linked("../two/layer.tar"), &["layer.tar"]),
        bad("to a directory", linked("../one"), &["one"]),
        bad(
            "two in a circle",
            || {
                let saved = Saved::small()
                    .without_layer()
                    .and(symlink("one/layer.tar", "../two/layer.tar"));
                saved.and(symlink("two/layer.tar", "../one/layer.tar")).bytes()
            },
            &["layer.tar"],
        ),
        bad(
            "a hard link to /etc/passwd",
            || {
                Saved::small()
                    .without_layer()
                    .and(hard_link("one/layer.tar", "/etc/passwd"))
                    .bytes()
            },
            &["one/layer.tar"],
        ),
        good("to another layer of the archive, as of old", || {
            let saved = Saved::small().without_layer().and(file("two/layer.tar", small().blob));
            saved.and(symlink("one/layer.tar", "../two/layer.tar")).bytes()
        }),
    ];
    case("layers that are links, as docker save has them", "symlink member layers", forms)
}

fn directories() -> Case {
    let spoiled = |name: &str, spoil: fn() -> Vec<Spoil>, says: &[&str]| {
        wrong(name, move || Made::Directory(Layout::of(Archive::small(), spoil())), says)
    };
    fn blob() -> String {
        Archive::path(&Archive::small().blobs[0].0)
    }
    let forms = vec![
        right(
            "as it should be",
            || Made::Directory(Layout::of(Archive::small(), [])),
            &[("hello", Is::File("in"))],
        ),
        spoiled(
            "the index is a link to the host",
            || vec![Spoil::Link("index.json".into(), "{canary}/index".into())],
            &["index.json"],
        ),
        spoiled(
            "the index is a link inside",
            || {
                vec![
                    Spoil::Write("other.json".into(), Archive::small().index.into()),
                    Spoil::Link("index.json".into(), "other.json".into()),
                ]
            },
            &["index.json"],
        ),
        spoiled(
            "a blob is a link to the host",
            || vec![Spoil::Link(blob(), "{canary}/secret".into())],
            &["sha256"],
        ),
        spoiled(
            "a blob is a link to /dev/zero",
            || vec![Spoil::Link(blob(), "/dev/zero".into())],
            &["sha256"],
        ),
        spoiled("a blob is a FIFO", || vec![Spoil::Fifo(blob())], &["sha256"]),
        spoiled("a blob is a directory", || vec![Spoil::Directory(blob())], &["sha256"]),
        spoiled("a blob of 1 TiB", || vec![Spoil::Sparse(blob(), 1 << 40)], &["sha256"]),
        spoiled(
            "the directory of blobs is a link",
            || vec![Spoil::Link("blobs".into(), "{canary}".into())],
            &["blobs"],
        ),
        spoiled(
            "the directory of sha256 is a link",
            || vec![Spoil::Link("blobs/sha256".into(), "{canary}".into())],
            &["blobs"],
        ),
        spoiled("the index is a FIFO", || vec![Spoil::Fifo("index.json".into())], &["index.json"]),
        spoiled(
            "the index is a directory",
            || vec![Spoil::Directory("index.json".into())],
            &["index.json"],
        ),
        spoiled(
            "the index is 1 TiB",
            || vec![Spoil::Sparse("index.json".into(), 1 << 40)],
            &["index.json"],
        ),
        spoiled("no index", || vec![Spoil::Remove("index.json".into())], &["index.json"]),
        spoiled(
            "the mark is a link",
            || vec![Spoil::Link("oci-layout".into(), "{canary}/mark".into())],
            &["oci-layout"],
        ),
        spoiled(
            "no mark and no index",
            || vec![Spoil::Remove("oci-layout".into()), Spoil::Remove("index.json".into())],
            &[],
        ),
        wrong(
            "a configuration that is a link to one of the host",
            || {
                let archive = Archive::small();
                let (name, _) = archive.blobs[archive.config].clone();
                Made::Directory(Layout::of(
                    archive,
                    [Spoil::Link(Archive::path(&name), "{canary}/config".into())],
                ))
            },
            &["sha256"],
        ),
    ];
    case("directories", "apple GHSA-r3h2, layout symlinks", forms)
}

/// A digest that is right, of a file of the host's.
fn documents_elsewhere() -> Case {
    let passwd = || std::fs::read("/etc/passwd").unwrap();
    let forms = vec![wrong(
        "a layer that is /etc/passwd, and its true digest",
        move || {
            let layer = super::super::case::Layer::plain(passwd());
            let archive = Archive::of_layers(std::slice::from_ref(&layer));
            let at = Archive::path(&digest(&layer.blob));
            Made::Directory(Layout::of(archive, [Spoil::Link(at, "/etc/passwd".into())]))
        },
        &["sha256"],
    )];
    case("a host's file by its true digest", "GHSA-r3h2", forms)
}

fn streams() -> Case {
    let whole = || Archive::small().bytes();
    let forms = vec![
        good("gzip", move || gzip(&whole())),
        bad("no bytes", Vec::new, &[]),
        bad("rubbish", || b"rubbish ".repeat(500), &[]),
        bad("nothing but zeros", || vec![0; 10_240], &[]),
        bad("cut", move || whole()[..3000].to_vec(), &[]),
        bad(
            "gzip, cut",
            move || {
                let all = gzip(&whole());
                all[..all.len() / 2].to_vec()
            },
            &[],
        ),
        bad("gzip twice", move || gzip(&gzip(&whole())), &[]),
        bad("an archive without an image", || tar([file("hello", "in")]), &[]),
        bad("10 GiB of zeros", || zeros().repeat(640), &["200 bytes for each"]),
        bad(
            "10 GiB of zeros behind the image",
            move || {
                let head = file("zeros", "")
                    .field(field::SIZE, super::super::tar::base256(12, 10 << 30))
                    .bytes();
                let image = gzip(&open_ended(Archive::small().entries()));
                [image, gzip(&head), zeros().repeat(640)].concat()
            },
            &["200 bytes for each"],
        ),
    ];
    case("archives as streams", "bombs around an image", forms)
}
