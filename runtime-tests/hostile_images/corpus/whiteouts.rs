//! Whiteouts: of what must not go, of nothing, in odd kinds, too often; and forged ones.

use super::super::canary::canary;
use super::super::case::{Case, Is, case, contained, refused};
use super::super::tar::{device, dir, entry, far, file, hard_link, symlink, tar};

pub fn cases() -> Vec<Case> {
    vec![names(), places(), same_layer(), kinds(), forged(), many()]
}

fn names() -> Case {
    let lower = || tar([dir("d"), file("d/x", "kept"), file("y", "kept")]);
    let kept = [("d/x", Is::File("kept")), ("y", Is::File("kept"))];
    let mut forms = Vec::new();
    for name in [".wh..", ".wh...", ".wh.", "d/.wh..", "d/.wh...", "d/.wh."] {
        forms.push(refused(name, [lower(), tar([file(name, "")])], &[name]));
    }
    for name in [".wh.nothing", "d/.wh.nothing", ".wh..nothing", ".wh.....", ".wh. "] {
        forms.push(contained(
            &format!("of nothing, {name}"),
            [lower(), tar([file(name, "")])],
            &kept,
        ));
    }
    for name in [".wh..wh.plnk", ".wh..wh.aufs", ".wh..wh.orph"] {
        forms.push(contained(
            name,
            [lower(), tar([dir(name), far(b'0', format!("{name}/77")).holds("")])],
            &kept,
        ));
    }
    forms.push(contained(
        "a whiteout's whiteout",
        [lower(), tar([file(".wh.y", "")]), tar([file(".wh..wh.y", "")])],
        &[("y", Is::Missing), ("d/x", Is::File("kept"))],
    ));
    case("names of whiteouts", "the image specification's .wh.", forms)
}

fn places() -> Case {
    let lower =
        || tar([dir("d"), file("d/x", "kept"), symlink("up", "../.."), symlink("out", canary(""))]);
    let forms = vec![
        refused("../.wh.x", [lower(), tar([file("../.wh.x", "")])], &["../.wh.x"]),
        refused("d/../.wh.d", [lower(), tar([file("d/../.wh.d", "")])], &["d/../.wh.d"]),
        contained(
            "below a link to the canary",
            [lower(), tar([file("out/.wh.secret", "")])],
            &[("d/x", Is::File("kept")), ("out", Is::Link(Box::leak(canary("").into_boxed_str())))],
        ),
        contained(
            "below a link upwards",
            [lower(), tar([file("up/.wh.d", "")])],
            &[("d", Is::Missing), ("up", Is::Link("../.."))],
        ),
        contained(
            "the root is opaque",
            [lower(), tar([file(".wh..wh..opq", ""), file("z", "in")])],
            &[("d", Is::Missing), ("z", Is::File("in"))],
        ),
        contained(
            "a whiteout takes a link, not what it leads to",
            [tar([file("y", "kept"), symlink("s", "y")]), tar([file(".wh.s", "")])],
            &[("s", Is::Missing), ("y", Is::File("kept"))],
        ),
        contained("an absolute one", [lower(), tar([file("/.wh.d", "")])], &[("d", Is::Missing)]),
        refused("in a file", [lower(), tar([file("d/x/.wh.y", "")])], &["d/x/.wh.y"]),
    ];
    case("places of whiteouts", "CVE-2025-47290", forms)
}

fn same_layer() -> Case {
    let lower = || tar([dir("d"), file("d/x", "lower")]);
    let forms = vec![
        contained(
            "of its own entry, before it",
            [lower(), tar([file("d/.wh.x", ""), file("d/x", "upper")])],
            &[("d/x", Is::File("upper"))],
        ),
        contained(
            "of its own entry, after it",
            [lower(), tar([file("d/x", "upper"), file("d/.wh.x", "")])],
            &[("d/x", Is::File("upper"))],
        ),
        contained(
            "of its own directory, after it",
            [lower(), tar([dir("d"), file("d/y", "upper"), file(".wh.d", "")])],
            &[("d/y", Is::File("upper"))],
        ),
        contained(
            "opaque after its own entries",
            [lower(), tar([dir("d"), file("d/y", "upper"), file("d/.wh..wh..opq", "")])],
            &[("d/x", Is::Missing), ("d/y", Is::File("upper"))],
        ),
        contained(
            "opaque before the directory itself",
            [
                lower(),
                tar([file("d/.wh..wh..opq", ""), dir("d").mode(0o700), file("d/y", "upper")]),
            ],
            &[("d/x", Is::Missing), ("d/y", Is::File("upper")), ("d", Is::Mode(0o700))],
        ),
        contained(
            "opaque, and a link to what it hides",
            [lower(), tar([dir("d"), file("d/.wh..wh..opq", ""), symlink("s", "d/x")])],
            &[("d/x", Is::Missing), ("s", Is::Link("d/x"))],
        ),
        refused(
            "a hard link to what its own layer took away",
            [lower(), tar([file("d/.wh.x", ""), hard_link("h", "d/x")])],
            &["h"],
        ),
    ];
    case("whiteouts of the same layer", "lower layers only", forms)
}

fn kinds() -> Case {
    let lower = || tar([dir("d"), file("d/x", "kept")]);
    let forms = vec![
        refused("a directory", [lower(), tar([dir("d/.wh.x")])], &["d/.wh.x"]),
        refused("a link", [lower(), tar([symlink("d/.wh.x", "/etc/shadow")])], &["d/.wh.x"]),
        refused("a device", [lower(), tar([device(b'3', "d/.wh.x", 0, 0)])], &["d/.wh.x"]),
        refused("with contents", [lower(), tar([file("d/.wh.x", "contents")])], &["d/.wh.x"]),
        refused(
            "a directory of that name",
            [tar([dir(".wh.d"), file(".wh.d/x", "in")])],
            &[".wh.d"],
        ),
        refused("in a directory that nobody named", [tar([file(".wh.d/x", "in")])], &[".wh.d/x"]),
        refused(
            "opaque, with contents",
            [lower(), tar([file("d/.wh..wh..opq", "contents")])],
            &["d/.wh..wh..opq"],
        ),
    ];
    case("whiteouts of another kind", "what is no empty file", forms)
}

/// The forms that overlayfs itself has.
fn forged() -> Case {
    let lower = || tar([dir("d"), file("d/x", "kept")]);
    let attributed = |name: &'static str| {
        contained(
            &format!("{name} of a directory"),
            [lower(), tar([dir("d").xattr(name, "y")])],
            &[("d/x", Is::File("kept")), ("d", Is::NoAttribute(name))],
        )
    };
    let forms = vec![
        contained(
            "a device 0:0",
            [lower(), tar([device(b'3', "d/x", 0, 0)])],
            &[("d", Is::Directory), ("d/x", Is::Missing)],
        ),
        contained(
            "a device 0:0 of nothing",
            [tar([device(b'3', "x", 0, 0)])],
            &[("x", Is::Missing)],
        ),
        attributed("trusted.overlay.opaque"),
        attributed("user.overlay.opaque"),
        contained(
            "trusted.overlay.redirect",
            [lower(), tar([dir("r").xattr("trusted.overlay.redirect", "/d")])],
            &[("r/x", Is::Missing), ("r", Is::NoAttribute("trusted.overlay.redirect"))],
        ),
        contained(
            "user.overlay.redirect",
            [lower(), tar([dir("r").xattr("user.overlay.redirect", "/d")])],
            &[("r/x", Is::Missing), ("r", Is::NoAttribute("user.overlay.redirect"))],
        ),
        contained(
            "user.overlay.metacopy",
            [
                lower(),
                tar([file("m", "")
                    .xattr("user.overlay.metacopy", "")
                    .xattr("user.overlay.redirect", "/d/x")]),
            ],
            &[("m", Is::File("")), ("m", Is::NoAttribute("user.overlay.metacopy"))],
        ),
        contained(
            "user.overlay.whiteout",
            [
                lower(),
                tar([
                    dir("d").xattr("user.overlay.opaque", "x"),
                    file("d/x", "").xattr("user.overlay.whiteout", "y"),
                ]),
            ],
            &[("d/x", Is::File(""))],
        ),
        contained(
            "in libarchive's words",
            [lower(), tar([dir("d").pax("LIBARCHIVE.xattr.trusted.overlay.opaque", "eQ==")])],
            &[("d/x", Is::File("kept")), ("d", Is::NoAttribute("trusted.overlay.opaque"))],
        ),
    ];
    case("forged whiteouts", "trusted.overlay.*, char 0:0", forms)
}

fn many() -> Case {
    let opaque = |count: usize| {
        let entries = (0..count).map(|_| file("d/.wh..wh..opq", ""));
        tar(std::iter::once(dir("d")).chain(entries))
    };
    let lower =
        || tar(std::iter::once(dir("d")).chain((0..200).map(|n| file(format!("d/{n}"), "x"))));
    let again = (0..2000).flat_map(|_| [file("d/.wh.0", ""), file("d/0", "in")]);
    let forms = vec![
        contained(
            "opaque 20 000 times",
            [lower(), opaque(20_000)],
            &[("d", Is::Directory), ("d/7", Is::Missing)],
        ),
        contained(
            "a file and its whiteout 2000 times",
            [lower(), tar(again)],
            &[("d/0", Is::File("in")), ("d/7", Is::File("x"))],
        ),
        contained(
            "opaque between 2000 files",
            [
                lower(),
                tar((0..2000)
                    .flat_map(|n| [file(format!("d/n{n}"), ""), entry(b'0', "d/.wh..wh..opq")])),
            ],
            &[("d/n1999", Is::File("")), ("d/7", Is::Missing)],
        ),
    ];
    case("whiteouts without end", "CVE-2026-95838", forms)
}
