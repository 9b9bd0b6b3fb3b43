//! Links: entries below them, through them, onto them; hard links to what is not there.

use super::super::canary::canary;
use super::super::case::{Case, Is, case, contained, refused};
use super::super::tar::{dir, far, file, hard_link, symlink, tar};

pub fn cases() -> Vec<Case> {
    vec![
        parents(),
        across_layers(),
        loops(),
        onto_links(),
        attributes(),
        hard_links(),
        hard_links_to_lower(),
        parents_that_are_none(),
        kinds_that_change(),
    ]
}

fn parents() -> Case {
    let up = "../../../../../../../../../../../..";
    let is_file = |path| [(path, Is::File("in"))];
    let forms = vec![
        contained("a -> /", [tar([symlink("a", "/"), file("a/pwn", "in")])], &is_file("pwn")),
        contained(
            "a -> ../..",
            [tar([symlink("a", "../.."), file("a/pwn", "in")])],
            &is_file("pwn"),
        ),
        contained(
            "two that lead upwards together",
            [tar([dir("d"), symlink("d/a", "b"), symlink("d/b", "../.."), file("d/a/pwn", "in")])],
            &is_file("pwn"),
        ),
        contained(
            "a -> the host's /tmp by ..",
            [tar([dir("tmp"), symlink("a", format!("{up}/tmp")), file("a/pwn", "in")])],
            &is_file("tmp/pwn"),
        ),
        contained(
            "directories below s -> ..",
            [tar([symlink("s", ".."), dir("s/e"), dir("s/e/f"), file("s/e/f/g", "in")])],
            &is_file("e/f/g"),
        ),
        contained(
            "parents that nobody named, below s -> ..",
            [tar([symlink("s", ".."), file("s/e/f/g", "in")])],
            &is_file("e/f/g"),
        ),
        contained(
            "a link that is replaced between two entries",
            [tar([
                dir("d"),
                symlink("a", "d"),
                file("a/one", "in"),
                symlink("a", "/"),
                file("a/two", "in"),
            ])],
            &[("d/one", Is::File("in")), ("two", Is::File("in")), ("a", Is::Link("/"))],
        ),
        contained(
            "a directory that becomes a link",
            [tar([dir("d"), file("d/one", "in"), symlink("d", "/"), file("d/two", "in")])],
            &[("two", Is::File("in")), ("d", Is::Link("/"))],
        ),
        // What is not there is made, in the root.
        contained(
            "a -> /proc/self/root",
            [tar([symlink("a", "/proc/self/root"), file("a/pwn", "in")])],
            &is_file("proc/self/root/pwn"),
        ),
        contained(
            "a -> the canary",
            [tar([symlink("a", canary("")), file("a/pwn", "in")])],
            &[(inside(canary("/pwn")), Is::File("in")), (inside(canary("/secret")), Is::Missing)],
        ),
        contained(
            "a -> the canary by ..",
            [tar([symlink("a", format!("{up}{}", canary(""))), dir("a/pwn")])],
            &[(inside(canary("/pwn")), Is::Directory)],
        ),
        contained(
            "a -> the canary by two links",
            [tar([
                dir("d"),
                symlink("d/b", up),
                symlink("a", format!("d/b{}", canary("/dir"))),
                file("a/pwn", "in"),
            ])],
            &[
                (inside(canary("/dir/pwn")), Is::File("in")),
                (inside(canary("/dir/file")), Is::Missing),
            ],
        ),
    ];
    case("entries below links", "RUSTSEC-2021-0080, astral GHSA-3wgq", forms)
}

fn across_layers() -> Case {
    let is_file = |path| [(path, Is::File("in"))];
    let forms = vec![
        contained(
            "below /",
            [tar([symlink("a", "/")]), tar([file("a/pwn", "in")])],
            &is_file("pwn"),
        ),
        contained(
            "below ../..",
            [tar([dir("d"), symlink("d/a", "../..")]), tar([file("d/a/pwn", "in")])],
            &is_file("pwn"),
        ),
        contained(
            "two links in two layers",
            [tar([symlink("a", "b")]), tar([symlink("b", "../..")]), tar([file("a/pwn", "in")])],
            &is_file("pwn"),
        ),
        contained(
            "a link of a lower layer that is whited out",
            [
                tar([symlink("a", "/")]),
                tar([file(".wh.a", "")]),
                tar([dir("a"), file("a/x", "in")]),
            ],
            &[("a/x", Is::File("in")), ("x", Is::Missing), ("a", Is::Directory)],
        ),
        contained(
            "a whiteout through a link of a lower layer",
            [tar([dir("d"), file("d/x", "gone"), symlink("a", "/d")]), tar([file("a/.wh.x", "")])],
            &[("d/x", Is::Missing), ("d", Is::Directory)],
        ),
        contained(
            "below /proc/self/cwd",
            [tar([symlink("a", "/proc/self/cwd")]), tar([file("a/pwn", "in")])],
            &is_file("proc/self/cwd/pwn"),
        ),
    ];
    case("links of lower layers", "CVE-2025-47290, containerd ba50a5645", forms)
}

fn loops() -> Case {
    let chain = (0..60).map(|n| symlink(format!("l{n}"), format!("l{}", n + 1)));
    let forms = vec![
        refused("a -> a", [tar([symlink("a", "a"), file("a/pwn", "in")])], &["a/pwn"]),
        refused(
            "a -> b -> a",
            [tar([symlink("a", "b"), symlink("b", "a"), file("a/pwn", "in")])],
            &["a/pwn"],
        ),
        refused("60 in a row", [tar(chain.chain([dir("l60"), file("l0/pwn", "in")]))], &["l0/pwn"]),
        refused("a -> a/a/a", [tar([symlink("a", "a/a/a"), file("a/pwn", "in")])], &["a/pwn"]),
    ];
    case("links in circles", "ELOOP", forms)
}

fn onto_links() -> Case {
    let forms = vec![
        contained(
            "a file onto a link",
            [tar([symlink("a", "/etc/passwd"), file("a", "in")])],
            &[("a", Is::File("in")), ("etc/passwd", Is::Missing)],
        ),
        contained(
            "a file onto a link to the canary",
            [tar([
                symlink("a", canary("/secret")),
                file("a", "in").mode(0o777).xattr("user.evil", "1"),
            ])],
            &[("a", Is::File("in"))],
        ),
        contained(
            "a directory onto a link to the canary",
            [tar([symlink("a", canary("/dir")), dir("a").mode(0o777).owner(7, 7).time(7)])],
            &[("a", Is::Directory), ("a", Is::Mode(0o777))],
        ),
        contained(
            "a directory onto a lower layer's link to the canary",
            [
                tar([symlink("a", canary("/dir"))]),
                tar([dir("a").mode(0o777).owner(7, 7), file("a/x", "in")]),
            ],
            &[("a", Is::Directory), ("a/x", Is::File("in"))],
        ),
        contained(
            "a directory onto a link",
            [tar([dir("d").mode(0o700), symlink("a", "d"), dir("a").mode(0o777)])],
            &[("a", Is::Directory), ("a", Is::Mode(0o777)), ("d", Is::Mode(0o700))],
        ),
        contained(
            "a file onto a lower layer's link",
            [tar([dir("d"), file("d/x", "kept"), symlink("a", "d/x")]), tar([file("a", "in")])],
            &[("a", Is::File("in")), ("d/x", Is::File("kept"))],
        ),
        contained(
            "a directory onto a lower layer's link",
            [
                tar([dir("d").mode(0o700), symlink("a", "d")]),
                tar([dir("a").mode(0o777), file("a/x", "in")]),
            ],
            &[
                ("a", Is::Directory),
                ("d", Is::Mode(0o700)),
                ("d/x", Is::Missing),
                ("a/x", Is::File("in")),
            ],
        ),
        contained(
            "a link onto a link",
            [tar([symlink("a", "/one"), symlink("a", "/two")])],
            &[("a", Is::Link("/two")), ("one", Is::Missing)],
        ),
        contained(
            "a hard link onto a link",
            [tar([file("x", "in"), symlink("a", "/etc/passwd"), hard_link("a", "x")])],
            &[("a", Is::SameAs("x")), ("etc/passwd", Is::Missing)],
        ),
    ];
    case("entries onto links", "CVE-2021-32760, CVE-2026-33056", forms)
}

fn attributes() -> Case {
    let forms = vec![
        contained(
            "mode, owner and time of a link",
            [tar([
                file("x", "kept").mode(0o600),
                symlink("a", "x").mode(0o777).owner(7, 8).time(99),
            ])],
            &[
                ("x", Is::Mode(0o600)),
                ("x", Is::Owner(0, 0)),
                ("x", Is::Time(1_000_000_000)),
                ("a", Is::Owner(7, 8)),
                ("a", Is::Time(99)),
            ],
        ),
        contained(
            "a link's mode of set-user-ID",
            [tar([file("x", "kept").mode(0o600), symlink("a", "x").mode(0o6777)])],
            &[("x", Is::Mode(0o600)), ("a", Is::Link("x"))],
        ),
        contained(
            "everything of a link to the canary",
            [tar([symlink("a", canary("/secret")).mode(0o6777).owner(7, 8).time(9)])],
            &[("a", Is::Owner(7, 8))],
        ),
        contained(
            "an attribute of a link",
            [tar([file("x", "kept"), symlink("a", "x").xattr("user.evil", "1")])],
            &[("x", Is::NoAttribute("user.evil")), ("a", Is::Link("x"))],
        ),
    ];
    case("attributes through links", "CVE-2021-32760, CVE-2026-33056, RUSTSEC-2026-0113", forms)
}

fn hard_links() -> Case {
    let to = |target: &str| tar([hard_link("h", target)]);
    let mut forms: Vec<_> = ["../../etc/shadow", "..", "a/../../etc/shadow"]
        .iter()
        .map(|target| refused(&format!("to {target}"), [to(target)], &["h"]))
        .collect();
    for target in ["/etc/shadow", "etc/shadow", "nothing", "h"] {
        forms.push(refused(
            &format!("to {target}, which is not there"),
            [to(target)],
            &["h", target],
        ));
    }
    forms.extend([
        refused("to the canary", [tar([hard_link("h", canary("/secret"))])], &["h", "secret"]),
        refused(
            "through a link to the canary",
            [tar([symlink("s", canary("")), hard_link("h", "s/secret")])],
            &["h", "s/secret"],
        ),
        refused("to a directory", [tar([dir("d"), hard_link("h", "d")])], &["h"]),
        refused("to the root", [tar([hard_link("h", "/")])], &["h"]),
        refused(
            "that comes before its target",
            [tar([hard_link("h", "x"), file("x", "in")])],
            &["h"],
        ),
        contained(
            "to a link that leads out",
            [tar([symlink("s", "/etc/shadow"), hard_link("h", "s")])],
            &[("h", Is::Link("/etc/shadow")), ("s", Is::Link("/etc/shadow"))],
        ),
        refused(
            "below a link that leads out",
            [tar([symlink("s", "/etc"), hard_link("h", "s/shadow")])],
            &["h"],
        ),
        contained(
            "below a link that leads upwards",
            [tar([file("x", "in"), symlink("s", "../.."), hard_link("h", "s/x")])],
            &[("h", Is::SameAs("x"))],
        ),
        refused(
            "with contents of its own",
            [tar([file("x", "kept"), hard_link("h", "x").holds("other")])],
            &["h"],
        ),
        contained(
            "by an absolute name",
            [tar([file("x", "in"), hard_link("h", "/x")])],
            &[("h", Is::SameAs("x"))],
        ),
        refused(
            "to ../../etc/shadow in PAX",
            [tar([hard_link("h", "x").pax("linkpath", "../../etc/shadow")])],
            &["h"],
        ),
        refused("onto itself", [tar([file("x", "in"), hard_link("x", "x")])], &["x"]),
    ]);
    case("hard links to outside", "tar path classics", forms)
}

fn hard_links_to_lower() -> Case {
    let forms = vec![
        contained(
            "and another owner",
            [tar([file("x", "in").owner(1, 1)]), tar([hard_link("h", "x").owner(2, 2)])],
            &[("h", Is::File("in")), ("x", Is::File("in"))],
        ),
        contained(
            "that is replaced later",
            [tar([file("x", "lower")]), tar([hard_link("h", "x")]), tar([file("x", "upper")])],
            &[("h", Is::File("lower")), ("x", Is::File("upper"))],
        ),
        refused(
            "that a whiteout took away",
            [tar([file("x", "in")]), tar([file(".wh.x", "")]), tar([hard_link("h", "x")])],
            &["h"],
        ),
        refused(
            "below an opaque directory",
            [
                tar([dir("d"), file("d/x", "in")]),
                tar([dir("d"), file("d/.wh..wh..opq", "")]),
                tar([hard_link("h", "d/x")]),
            ],
            &["h"],
        ),
    ];
    case("hard links to lower layers", "a copy, not the layer's own file", forms)
}

fn parents_that_are_none() -> Case {
    let forms = vec![
        refused("below a file", [tar([file("f", "in"), file("f/x", "in")])], &["f/x"]),
        refused(
            "below a file of a lower layer",
            [tar([file("f", "in")]), tar([file("f/x", "in")])],
            &["f/x"],
        ),
        refused("below a FIFO", [tar([far(b'6', "f"), file("f/x", "in")])], &["f/x"]),
        refused(
            "below a link to a file",
            [tar([file("f", "in"), symlink("s", "f"), file("s/x", "in")])],
            &["s/x"],
        ),
    ];
    case("parents that are no directories", "ENOTDIR", forms)
}

fn kinds_that_change() -> Case {
    let forms = vec![
        contained(
            "a file onto a full directory",
            [tar([dir("d"), file("d/x", "gone"), file("d", "in")])],
            &[("d", Is::File("in"))],
        ),
        contained(
            "a directory onto a file",
            [tar([file("d", "gone"), dir("d"), file("d/x", "in")])],
            &[("d/x", Is::File("in"))],
        ),
        contained(
            "a file onto a lower layer's directory",
            [tar([dir("d"), file("d/x", "gone")]), tar([file("d", "in")])],
            &[("d", Is::File("in"))],
        ),
        contained(
            "a directory onto a lower layer's file",
            [tar([file("d", "gone")]), tar([dir("d"), file("d/x", "in")])],
            &[("d/x", Is::File("in"))],
        ),
        contained(
            "a directory that went and came back",
            [
                tar([dir("d"), file("d/x", "gone")]),
                tar([file(".wh.d", "")]),
                tar([dir("d"), file("d/y", "in")]),
            ],
            &[("d/x", Is::Missing), ("d/y", Is::File("in"))],
        ),
        contained(
            "a link onto a full directory",
            [tar([dir("d"), file("d/x", "gone"), symlink("d", "/etc")])],
            &[("d", Is::Link("/etc")), ("etc", Is::Missing)],
        ),
        contained(
            "the same file a hundred times",
            [tar((0..100).map(|n| file("x", if n == 99 { "last" } else { "gone" })))],
            &[("x", Is::File("last"))],
        ),
    ];
    case("kinds that change", "what is replaced is gone", forms)
}

/// Where a path of the host lies in a root that was led there.
fn inside(path: String) -> &'static str {
    Box::leak(path.into_boxed_str()).trim_start_matches('/')
}
