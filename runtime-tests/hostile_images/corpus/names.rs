//! Names of entries: out of the root, too long, too deep, of no bytes or of odd ones.

use super::super::case::{Case, Is, case, contained, refused};
use super::super::tar::{device, dir, entry, far, file, gnu_long, hard_link, symlink, tar};

pub fn cases() -> Vec<Case> {
    vec![upwards(), absolute(), odd(), without_a_name(), too_long(), too_deep(), root_itself()]
}

fn upwards() -> Case {
    let names = [
        "../pwn",
        "a/../../pwn",
        "..",
        "../",
        "./../pwn",
        "a/..",
        "a/../pwn",
        "/../pwn",
        "/..",
        "a/b/../../../pwn",
        "..//pwn",
        "../../../../../../../../../../tmp/pwn",
    ];
    let mut forms: Vec<_> = names
        .iter()
        .map(|name| refused(&format!("a file {name}"), [tar([file(name, "out")])], &[name]))
        .collect();
    forms.push(refused("a directory ../pwn", [tar([dir("../pwn")])], &["../pwn"]));
    forms.push(refused("a link ../pwn", [tar([symlink("../pwn", "/")])], &["../pwn"]));
    forms.push(refused("../pwn in PAX", [tar([far(b'0', "../pwn").holds("out")])], &["../pwn"]));
    let long = tar([file("elsewhere", "out").after(gnu_long(b'L', "../pwn"))]);
    forms.push(refused("../pwn in GNU's long name", [long], &["../pwn"]));
    let split = file("pwn", "out").field(super::super::tar::field::PREFIX, "..");
    forms.push(refused("../pwn by its prefix", [tar([split])], &["../pwn"]));
    let screen = "../\x1b[2Jpwn\n";
    forms.push(refused("that writes to a terminal", [tar([file(screen, "out")])], &["pwn"]));
    case("names that lead upwards", "CVE-2026-20613, tar path classics", forms)
}

fn absolute() -> Case {
    let is = |path| [(path, Is::File("in"))];
    let one = |name: &str, path| contained(name, [tar([file(name, "in")])], &is(path));
    let forms = vec![
        one("/pwn", "pwn"),
        one("//etc//pwn", "etc/pwn"),
        one("/./pwn", "pwn"),
        contained(
            "a directory /etc",
            [tar([dir("/etc").mode(0o711)])],
            &[("etc", Is::Mode(0o711))],
        ),
    ];
    case("absolute names", "tar path classics", forms)
}

fn odd() -> Case {
    let is = |path| [(path, Is::File("in"))];
    let one = |name: &str, path| contained(name, [tar([file(name, "in")])], &is(path));
    let forms = vec![
        one("./a//b", "a/b"),
        one("a/./b", "a/b"),
        one("...", "..."),
        one("..a", "..a"),
        one("a..", "a.."),
        one("a\\..\\b", "a\\..\\b"),
        one("a b\tc", "a b\tc"),
        one("-rf", "-rf"),
        one("line\nbreak", "line\nbreak"),
        one("\x1b]0;title\x07", "\x1b]0;title\x07"),
        contained(
            "no UTF-8",
            [tar([dir("d"), file(b"d/\xff\xfe", "in")])],
            &[("d", Is::Directory)],
        ),
        refused("a file with a slash behind it", [tar([file("a/", "in")])], &["a/"]),
        refused("NUL in PAX", [tar([far(b'0', b"a\0b").holds("in")])], &["a"]),
        contained(
            "NUL in GNU's long name, which ends it",
            [tar([file("e", "in").after(gnu_long(b'L', b"a\0../b"))])],
            &[("a", Is::File("in")), ("e", Is::Missing)],
        ),
    ];
    case("odd names", "names as nobody types them", forms)
}

fn without_a_name() -> Case {
    let forms = vec![
        refused("in the header", [tar([file("", "in")])], &["name"]),
        refused("in PAX", [tar([far(b'0', "").holds("in")])], &[]),
        refused("in GNU's long name", [tar([file("e", "in").after(gnu_long(b'L', ""))])], &[]),
        refused("a link's target", [tar([symlink("s", "")])], &["s"]),
        refused("a hard link's target", [tar([hard_link("h", "")])], &["h"]),
    ];
    case("no name", "apple GHSA-697p", forms)
}

fn too_long() -> Case {
    let name = |length| "n".repeat(length);
    let path = |length: usize| vec!["dddddddddddddddd"; length / 17].join("/");
    let forms = vec![
        contained(
            "255 bytes",
            [tar([dir("d"), far(b'0', format!("d/{}", name(255))).holds("in")])],
            &[("d", Is::Directory)],
        ),
        refused("256 bytes", [tar([far(b'0', name(256)).holds("in")])], &["nnn"]),
        refused(
            "256 bytes by GNU",
            [tar([file("e", "in").after(gnu_long(b'L', name(256)))])],
            &["nnn"],
        ),
        refused("a directory of 256 bytes", [tar([far(b'5', name(256))])], &["nnn"]),
        refused("5000 bytes", [tar([far(b'0', path(5000)).holds("in")])], &["dddd"]),
        refused(
            "5000 bytes by GNU",
            [tar([file("e", "in").after(gnu_long(b'L', path(5000)))])],
            &["LongLink"],
        ),
        refused("1 MiB", [tar([far(b'0', path(1 << 20)).holds("in")])], &[]),
        refused("1 MiB by GNU", [tar([file("e", "in").after(gnu_long(b'L', path(1 << 20)))])], &[]),
        refused(
            "a link of 5000 bytes",
            [tar([symlink("s", "x").pax("linkpath", path(5000))])],
            &["s"],
        ),
    ];
    case("names that are too long", "apple GHSA-697p, NAME_MAX, PATH_MAX", forms)
}

fn too_deep() -> Case {
    let path = |depth: usize| vec!["d"; depth].join("/");
    let step_by_step = (1..2000).map(|depth| far(b'5', path(depth)));
    let forms = vec![
        refused(
            "2000 directories in a name",
            [tar([far(b'0', path(2000)).holds("in")])],
            &["d/d/d"],
        ),
        refused("2000 directories one by one", [tar(step_by_step)], &["d/d/d"]),
        refused("as a directory", [tar([far(b'5', path(2040))])], &["d/d/d"]),
    ];
    case("names that are too deep", "depth", forms)
}

fn root_itself() -> Case {
    let names = [".", "./", "/", "./."];
    let mut forms = Vec::new();
    for name in names {
        let what = |kind: &str| format!("{kind} {name}");
        forms.push(refused(
            &what("a link"),
            [tar([symlink(name, "/tmp")]), tar([file("evil", "out")])],
            &[name],
        ));
        forms.push(refused(&what("a file"), [tar([file(name, "in")])], &[name]));
    }
    forms.push(refused("a hard link .", [tar([file("a", "in"), hard_link(".", "a")])], &["."]));
    forms.push(refused("a device .", [tar([device(b'3', ".", 1, 3)])], &["."]));
    forms.push(refused("a FIFO .", [tar([entry(b'6', ".")])], &["."]));
    forms.push(contained(
        "a directory .",
        [tar([dir("./").mode(0o711), file("a", "in")])],
        &[("a", Is::File("in")), (".", Is::Mode(0o711))],
    ));
    case("the root as an entry", "umoci GHSA-9m95-8hx6-7p9v", forms)
}
