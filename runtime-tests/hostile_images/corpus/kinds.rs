//! Kinds of entries and what they carry: devices, modes, owners, times, attributes.

use super::super::case::{Case, Is, case, contained, refused};
use super::super::tar::{base256, device, dir, entry, field, file, hard_link, tar};

pub fn cases() -> Vec<Case> {
    vec![devices(), kinds(), modes(), owners(), times(), overlay_attributes(), attributes()]
}

fn devices() -> Case {
    let nodes = [
        ("a disk", device(b'4', "dev/sda", 8, 0)),
        ("memory", device(b'3', "dev/mem", 1, 1)),
        ("kvm", device(b'3', "kvm", 10, 232)),
        ("null", device(b'3', "dev/null", 1, 3)),
        ("a number that is too large", device(b'4', "d", 0o7_777_777, 0o7_777_777)),
    ];
    // Wherever it is, no root may have a device.
    let forms = nodes.map(|(name, node)| {
        contained(
            name,
            [tar([dir("dev"), node, file("after", "in")])],
            &[("after", Is::File("in"))],
        )
    });
    let mut forms = Vec::from(forms);
    forms.push(contained(
        "a second name for one",
        [tar([device(b'4', "sda", 8, 0), file("after", "in")]), tar([file("x", "in")])],
        &[("sda", Is::Missing), ("x", Is::File("in"))],
    ));
    forms.push(refused(
        "a hard link to one",
        [tar([device(b'4', "sda", 8, 0), hard_link("h", "sda")])],
        &["h"],
    ));
    case("device nodes", "GO-2022-0396, mknod from an image", forms)
}

fn kinds() -> Case {
    let mut forms = vec![
        contained(
            "a FIFO",
            [tar([entry(b'6', "f").mode(0o622)])],
            &[("f", Is::Fifo), ("f", Is::Mode(0o622))],
        ),
        contained("a file of old", [tar([entry(0, "o").holds("in")])], &[("o", Is::File("in"))]),
    ];
    for kind in [b'7', b'A', b'D', b'I', b'M', b'N', b'V', b'X', b'Z', b'8', b'9', b'\n', 0xff] {
        let name = format!("kind {:?}", char::from(kind));
        forms.push(refused(&name, [tar([entry(kind, "odd").holds("in")])], &["odd"]));
    }
    case("kinds of entries", "what parsers disagree on", forms)
}

fn modes() -> Case {
    let forms = vec![
        contained(
            "set-user-ID, set-group-ID, sticky",
            [tar([
                file("u", "in").mode(0o4755),
                file("g", "in").mode(0o2755).owner(3, 4),
                dir("t").mode(0o1777),
            ])],
            &[
                ("u", Is::Mode(0o4755)),
                ("g", Is::Mode(0o2755)),
                ("g", Is::Owner(3, 4)),
                ("t", Is::Mode(0o1777)),
            ],
        ),
        contained(
            "the kind's bits in the mode",
            [tar([file("f", "in").octal(field::MODE, 0o060_644)])],
            &[("f", Is::File("in")), ("f", Is::Mode(0o644))],
        ),
        contained(
            "nothing allowed",
            [tar([dir("d").mode(0), file("d/x", "in").mode(0)])],
            &[("d/x", Is::File("in")), ("d", Is::Mode(0))],
        ),
        refused("no number", [tar([file("f", "in").field(field::MODE, "rwxr-x")])], &["f"]),
        refused(
            "a negative one",
            [tar([file("f", "in").field(field::MODE, base256(8, -1))])],
            &["f"],
        ),
    ];
    case("modes", "set-user-ID and bits that are none", forms)
}

fn owners() -> Case {
    let with = |at, value: i128| [tar([file("f", "in").field(at, base256(8, value))])];
    let forms = vec![
        contained(
            "65534",
            [tar([file("f", "in").owner(65534, 65534)])],
            &[("f", Is::Owner(65534, 65534))],
        ),
        contained("2147483648", with(field::UID, 1 << 31), &[("f", Is::Owner(1 << 31, 0))]),
        refused("4294967295, which is nobody", with(field::UID, (1 << 32) - 1), &["f"]),
        refused("4294967296, which is 0", with(field::UID, 1 << 32), &["f"]),
        refused("a group of 4294967296", with(field::GID, 1 << 32), &["f"]),
        refused("a negative one", with(field::UID, -1), &["f"]),
        refused("no number", [tar([file("f", "in").field(field::UID, "root")])], &["f"]),
        refused("4294967296 in PAX", [tar([file("f", "in").pax("uid", "4294967296")])], &["f"]),
        refused("-1 in PAX", [tar([file("f", "in").pax("uid", "-1")])], &["f"]),
        refused("root in PAX", [tar([file("f", "in").pax("gid", "root")])], &["f"]),
        contained(
            "a name that is another's number",
            [tar([file("f", "in").owner(5, 6).pax("uname", "root").pax("gname", "0")])],
            &[("f", Is::Owner(5, 6))],
        ),
    ];
    case("owners", "CVE-2024-40635, GHSA on 2^32", forms)
}

fn times() -> Case {
    let pax = |value: &str| [tar([file("f", "in").pax("mtime", value)])];
    let forms = vec![
        contained("a fraction", pax("1.5"), &[("f", Is::Time(1))]),
        contained("a negative one", pax("-5.25"), &[("f", Is::File("in"))]),
        contained(
            "more digits than a nanosecond has",
            pax("7.123456789123456789"),
            &[("f", Is::Time(7))],
        ),
        refused("a word", pax("now"), &["f"]),
        refused("a power", pax("1e9"), &["f"]),
        refused("no number", pax("nan"), &["f"]),
        refused("two points", pax("1.2.3"), &["f"]),
        refused("more than 64 bits", pax("99999999999999999999999"), &["f"]),
        refused(
            "more than 64 bits in base 256",
            [tar([file("f", "in").field(field::MTIME, base256(12, 1 << 80))])],
            &["f"],
        ),
        refused(
            "a word in the header",
            [tar([file("f", "in").field(field::MTIME, "yesterday")])],
            &["f"],
        ),
    ];
    case("times", "malformed PAX", forms)
}

fn overlay_attributes() -> Case {
    let with = |name: &'static str, value: &'static [u8]| {
        contained(
            name,
            [tar([file("f", "in").xattr(name, value)])],
            &[("f", Is::File("in")), ("f", Is::NoAttribute(name))],
        )
    };
    let forms = vec![
        with("trusted.overlay.opaque", b"y"),
        with("trusted.overlay.origin", b"y"),
        with("trusted.anything", b"y"),
        with("user.overlay.opaque", b"y"),
        with("user.overlay.", b"y"),
        with("security.selinux", b"system_u:object_r:shadow_t:s0\0"),
        with("security.ima", b"\x03\x02"),
        with("security.evm", b"\x02"),
        with("security.apparmor", b"unconfined"),
        with("system.posix_acl_access", b"\x02\0\0\0"),
        with("system.posix_acl_default", b"\x02\0\0\0"),
    ];
    case("attributes that are not the image's to set", "trusted.overlay.*, security.*", forms)
}

fn attributes() -> Case {
    let one = |name: &str, value: Vec<u8>| [tar([file("f", "in").xattr(name, value)])];
    let long = |length: usize| format!("user.{}", "n".repeat(length - 5));
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let forms = vec![
        contained(
            "user.ok",
            one("user.ok", b"kept".into()),
            &[("f", Is::Attribute("user.ok", b"kept"))],
        ),
        contained(
            "security.capability",
            one("security.capability", capability.into()),
            &[("f", Is::Attribute("security.capability", capability))],
        ),
        refused("security.capability of one byte", one("security.capability", vec![1]), &["f"]),
        refused("no name", one("", b"x".into()), &["f"]),
        refused("a prefix alone", one("user.", b"x".into()), &["f"]),
        refused("a name of 256 bytes", one(&long(256), b"x".into()), &["f"]),
        refused("70 KiB", one("user.large", vec![b'x'; 70 << 10]), &["f"]),
        refused(
            "a thousand of them",
            [tar([(0..1000).fold(file("f", "in"), |file, n| {
                file.xattr(&format!("user.{n}"), vec![b'x'; 4000])
            })])],
            &["f"],
        ),
        refused("NUL in its name", one("user.a\0b", b"x".into()), &["f"]),
        refused(
            "what is no base 64 in libarchive's words",
            [tar([file("f", "in").pax("LIBARCHIVE.xattr.user.ok", "!!!")])],
            &["f"],
        ),
        contained(
            "in libarchive's words",
            [tar([file("f", "in").pax("LIBARCHIVE.xattr.user.o%6B", "a2VwdA==")])],
            &[("f", Is::Attribute("user.ok", b"kept"))],
        ),
    ];
    case("attributes", "apple GHSA-g3rx", forms)
}
