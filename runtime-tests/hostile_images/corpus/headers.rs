//! Headers on which readers of archives disagree, so that one sees members that another doesn't.

use super::super::case::{Case, Is, case, contained, refused};
use super::super::tar::{
    BLOCK, base256, dir, entry, field, file, gnu_long, hard_link, open_ended, pax_header, record,
    symlink, tar,
};

pub fn cases() -> Vec<Case> {
    vec![
        two_sizes(),
        pax_of_others(),
        malformed_pax(),
        global_pax(),
        gnu_names(),
        numbers(),
        sums(),
        contents_of_none(),
        ends(),
        sparse(),
    ]
}

/// A member that a reader sees who skips less than the other.
fn smuggled() -> Vec<u8> {
    open_ended([file("smuggled", "out")])
}

fn two_sizes() -> Case {
    let inner = smuggled();
    let with = |size: &str, says: u64| {
        tar([file("f", &inner).says(says).pax("size", size), file("after", "in")])
    };
    let whole = inner.len().to_string();
    let forms = vec![
        refused("PAX tells the whole, the header nothing", [with(&whole, 0)], &["f"]),
        refused("PAX tells the whole, the header half", [with(&whole, 512)], &["f"]),
        refused("PAX tells nothing, the header the whole", [with("0", 1024)], &["f"]),
        contained(
            "PAX tells what the header tells",
            [with(&whole, 1024)],
            &[("f", Is::Long(1024)), ("smuggled", Is::Missing), ("after", Is::File("in"))],
        ),
        refused("PAX tells less than nothing", [with("-1", 1024)], &["f"]),
        refused("PAX tells no number", [with("0x400", 1024)], &["f"]),
        refused("PAX tells nothing at all", [with("", 1024)], &["f"]),
        refused("PAX tells more than 64 bits", [with("18446744073709551616", 1024)], &["f"]),
        refused("PAX tells more than there is", [with("99999999", 1024)], &["f"]),
        refused("PAX tells a sum that overflows", [with("9223372036854775807", 1024)], &["f"]),
        refused("PAX tells a sign", [with("+1024", 1024)], &["f"]),
        refused("PAX tells spaces", [with(" 1024", 1024)], &["f"]),
    ];
    case("two sizes", "CVE-2025-62518, CVE-2026-33055", forms)
}

fn pax_of_others() -> Case {
    let inner = smuggled();
    let size = record("size", inner.len().to_string());
    let forms = vec![
        refused(
            "PAX before GNU's long name",
            [tar([pax_header(b'x', &size), gnu_long(b'L', "n"), file("f", &inner).says(0)])],
            &[],
        ),
        refused(
            "PAX before GNU's long link",
            [tar([pax_header(b'x', &size), gnu_long(b'K', "n"), symlink("f", "x")])],
            &[],
        ),
        refused(
            "GNU's long name before PAX with a path",
            [tar([
                gnu_long(b'L', "gnu"),
                pax_header(b'x', record("path", "pax")),
                file("f", "in"),
            ])],
            &[],
        ),
        refused(
            "two PAX headers",
            [tar([
                pax_header(b'x', record("path", "one")),
                pax_header(b'x', record("path", "two")),
                file("f", "in"),
            ])],
            &[],
        ),
        refused(
            "PAX before nothing",
            [tar([file("f", "in"), pax_header(b'x', record("path", "p"))])],
            &[],
        ),
        refused(
            "PAX before the end of the stream",
            [open_ended([pax_header(b'x', record("path", "p"))])],
            &[],
        ),
        refused(
            "PAX in PAX",
            [tar([
                pax_header(b'x', record("size", "512")),
                pax_header(b'x', record("path", "p")),
                file("f", "in"),
            ])],
            &[],
        ),
        refused(
            "PAX before a global one",
            [tar([
                pax_header(b'x', record("path", "p")),
                pax_header(b'g', record("comment", "c")),
                file("f", "in"),
            ])],
            &[],
        ),
    ];
    case("headers for other headers", "RUSTSEC-2026-0112, RUSTSEC-2026-0145, CVE-2026-53655", forms)
}

fn malformed_pax() -> Case {
    let with = |records: &[u8]| [tar([pax_header(b'x', records), file("f", "in")])];
    let one = |name: &str, records: &[u8]| refused(name, with(records), &[]);
    let forms = vec![
        one("a length too small", b"5 path=x\n"),
        one("a length too large", b"99 path=x\n"),
        one("a length of nothing", b"0 path=x\n"),
        one("a length that overflows", b"99999999999999999999999 path=x\n"),
        one("no length", b"path=x\n"),
        one("a sign", b"+10 path=x\n"),
        one("a negative length", b"-10 path=x\n"),
        one("a space in front", b" 10 path=x\n"),
        one("no space", b"10path=xx\n"),
        one("no line's end", b"10 path=xyz"),
        one("no equals sign", b"10 pathxx\n"),
        one("no key", b"6 =xy\n"),
        one("rubbish behind", b"10 path=x\nrubbish"),
        one("NUL behind", b"10 path=x\n\0\0\0\0\0\0"),
        contained("nothing at all", with(b""), &[("f", Is::File("in"))]),
        refused(
            "a path twice",
            with(&[record("path", "one"), record("path", "two")].concat()),
            &[],
        ),
        refused("a size twice", with(&[record("size", "2"), record("size", "512")].concat()), &[]),
        refused("NUL in a link", [tar([symlink("s", "x").pax("linkpath", "a\0b")])], &[]),
        contained(
            "what nobody knows",
            [tar([file("f", "in").pax("VENDOR.thing", "1").pax("comment", "..")])],
            &[("f", Is::File("in"))],
        ),
        contained(
            "a value with a line's end",
            [tar([file("f", "in").pax("comment", "one\n12 path=two\n")])],
            &[("f", Is::File("in")), ("two", Is::Missing)],
        ),
        refused(
            "a set of characters",
            [tar([file("f", "in").pax("hdrcharset", "ISO-IR 8859 1")])],
            &[],
        ),
    ];
    case("malformed PAX", "RUSTSEC-2026-0145, pax-overrides-extension-header", forms)
}

fn global_pax() -> Case {
    let with =
        |records: Vec<u8>| [tar([pax_header(b'g', records), file("f", "in"), file("g", "in")])];
    let forms = vec![
        contained(
            "a comment",
            with(record("comment", "0123abcd")),
            &[("f", Is::File("in")), ("g", Is::File("in"))],
        ),
        refused("a path for all", with(record("path", "p")), &["path"]),
        refused("a size for all", with(record("size", "512")), &["size"]),
        refused("a link for all", with(record("linkpath", "l")), &["linkpath"]),
        refused("attributes for all", with(record("SCHILY.xattr.user.a", "b")), &["SCHILY"]),
        refused("malformed", with(b"5 path=x\n".to_vec()), &[]),
    ];
    case("PAX for all that follow", "pax-phantom-entry", forms)
}

fn gnu_names() -> Case {
    let long = |kind: u8, text: &[u8]| entry(kind, "././@LongLink").holds(text);
    let forms = vec![
        refused("no bytes", [tar([long(b'L', b""), file("f", "in")])], &[]),
        refused(
            "twice",
            [tar([gnu_long(b'L', "one"), gnu_long(b'L', "two"), file("f", "in")])],
            &[],
        ),
        refused("before nothing", [tar([file("f", "in"), gnu_long(b'L', "n")])], &[]),
        contained(
            "a link's for a file",
            [tar([gnu_long(b'K', "/etc/shadow"), file("f", "in")])],
            &[("f", Is::File("in"))],
        ),
        refused("1 GiB", [tar([long(b'L', b"n").says(1 << 30)])], &[]),
        refused(
            "1 TiB in base 256",
            [tar([long(b'L', b"n").field(field::SIZE, base256(12, 1 << 40))])],
            &[],
        ),
        contained(
            "bytes behind its NUL",
            [tar([long(b'L', b"one\0two\0"), file("f", "in")])],
            &[("one", Is::File("in")), ("f", Is::Missing)],
        ),
        contained(
            "a link of its own",
            [tar([symlink("s", "short").after(gnu_long(b'K', "t".repeat(150)))])],
            &[("s", Is::Long(150))],
        ),
    ];
    case("GNU's long names", "what parsers disagree on", forms)
}

fn numbers() -> Case {
    let with =
        |bytes: &[u8]| [tar([file("f", "in").field(field::SIZE, bytes), file("smuggled", "out")])];
    let one = |name: &str, bytes: &[u8]| refused(name, with(bytes), &["f"]);
    let forms = vec![
        one("a digit 8", b"00000000008\0"),
        one("a letter", b"0000000000x\0"),
        one("a sign", b"-0000000002\0"),
        one("a space inside", b"0000 000002\0"),
        one("NUL inside", b"0000\x00000002\0"),
        one("a negative number in base 256", &base256(12, -512)),
        one("all ones in base 256", &[0xff; 12]),
        one("more than 64 bits in base 256", &base256(12, 1 << 70)),
        one("a sum that overflows in base 256", &base256(12, i128::from(i64::MAX))),
        one("another form of base 256", &[&[0x90_u8][..], &[0; 10], &[2]].concat()),
        one("rubbish behind the number", b"00000002\0zzz"),
        one("none", &[0; 12]),
        one("spaces", b"            "),
        contained(
            "spaces in front",
            [tar([file("f", "in").field(field::SIZE, b"          2\0")])],
            &[("f", Is::File("in"))],
        ),
        contained(
            "base 256",
            [tar([file("f", "in").field(field::SIZE, base256(12, 2))])],
            &[("f", Is::File("in"))],
        ),
        contained(
            "no end",
            [tar([file("f", "in").field(field::SIZE, b"000000000002")])],
            &[("f", Is::File("in"))],
        ),
    ];
    case("numbers", "RUSTSEC-2026-0112, bad octal and base 256", forms)
}

fn sums() -> Case {
    let sum = |bytes: &[u8]| {
        [tar([file("g", "in"), file("f", "in").field(field::SUM, bytes).unsummed()])]
    };
    let mut cut = tar([file("f", "in")]);
    cut[0] ^= 1;
    let mut forms = vec![
        refused("one bit of the name", [cut], &[]),
        refused("none", sum(&[0; 8]), &[]),
        refused("spaces", sum(b"        "), &[]),
        refused("letters", sum(b"checksum"), &[]),
        refused("too small", sum(b"000001\0 "), &[]),
        refused("no archive", [b"#!/bin/sh\n".repeat(200)], &[]),
    ];
    let magics: [(&str, &[u8]); 3] =
        [("none", &[0; 8]), ("a word", b"notustar"), ("a newer one", b"ustar\x0001")];
    for (name, magic) in magics {
        let entry = file("f", "in").field(field::MAGIC, magic);
        forms.push(match name {
            "none" => {
                contained("no magic, as archives of old", [tar([entry])], &[("f", Is::File("in"))])
            }
            _ => refused(&format!("a magic that is {name}"), [tar([entry])], &["f"]),
        });
    }
    case("checksums and magic", "missing checksum", forms)
}

fn contents_of_none() -> Case {
    let inner = smuggled();
    let kinds =
        [("a directory", dir("d")), ("a link", symlink("d", "x")), ("a FIFO", entry(b'6', "d"))];
    let mut forms: Vec<_> = kinds
        .into_iter()
        .map(|(name, entry)| refused(name, [tar([entry.holds(&inner)])], &["d"]))
        .collect();
    forms.push(refused(
        "a hard link",
        [tar([file("x", ""), hard_link("d", "x").holds(&inner)])],
        &["d"],
    ));
    forms.push(refused(
        "a directory by PAX",
        [tar([dir("d").pax("size", "1024"), file("f", "in")])],
        &["d"],
    ));
    forms.push(refused(
        "a directory that only says so",
        [tar([dir("d").says(1024), file("f", "in"), file("g", "in")])],
        &["d"],
    ));
    case("contents of what has none", "CVE-2025-62518", forms)
}

fn ends() -> Case {
    let whole = tar([file("f", "in"), file("g", "in")]);
    let cut = |at: usize| whole[..at].to_vec();
    let zeros = |count: usize| vec![0; count * BLOCK];
    let one = || open_ended([file("f", "in")]);
    let forms = vec![
        refused("in a header", [cut(BLOCK * 2 + 100)], &[]),
        refused("in contents", [cut(BLOCK + 1)], &["f"]),
        refused("in what fills contents up", [cut(BLOCK + 100)], &["f"]),
        refused("one byte early", [cut(whole.len() - 1)], &[]),
        contained("without blocks of zeros", [one()], &[("f", Is::File("in"))]),
        contained(
            "after one block of zeros",
            [[one(), zeros(1)].concat()],
            &[("f", Is::File("in"))],
        ),
        contained(
            "with many blocks of zeros",
            [[one(), zeros(38)].concat()],
            &[("f", Is::File("in"))],
        ),
        contained("of nothing but zeros", [zeros(20)], &[("f", Is::Missing)]),
        contained("of no bytes", [Vec::new()], &[]),
        refused(
            "a member behind one block of zeros",
            [[one(), zeros(1), tar([file("smuggled", "out")])].concat()],
            &[],
        ),
        refused(
            "a member behind two blocks of zeros",
            [[one(), zeros(2), tar([file("smuggled", "out")])].concat()],
            &[],
        ),
        refused(
            "rubbish behind the end",
            [[one(), zeros(2), b"rubbish".repeat(200)].concat()],
            &[],
        ),
    ];
    case("ends of archives", "smuggled members", forms)
}

/// GNU's sparse files, old and in PAX.
fn sparse() -> Case {
    let old = |pairs: &[(u64, u64)], real: u64, body: &[u8]| {
        let mut file = entry(b'S', "f").holds(body).octal(field::REAL_SIZE, real);
        for (at, (offset, length)) in pairs.iter().enumerate() {
            let start = field::SPARSE + at * 24;
            file = file.octal((start, 12), *offset).octal((start + 12, 12), *length);
        }
        [tar([file.field(field::MAGIC, b"ustar  \0"), file_after()])]
    };
    let new = |map: &str, real: &str| {
        let mut body = map.as_bytes().to_vec();
        body.resize(body.len().next_multiple_of(BLOCK), 0);
        body.extend(b"data");
        let file = file("GNUSparseFile.0/f", &body)
            .pax("GNU.sparse.major", "1")
            .pax("GNU.sparse.minor", "0")
            .pax("GNU.sparse.name", "f")
            .pax("GNU.sparse.realsize", real);
        [tar([file, file_after()])]
    };
    let upwards = file("x", [&b"0\n"[..], &[0; BLOCK - 2]].concat())
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.minor", "0")
        .pax("GNU.sparse.name", "../pwn")
        .pax("GNU.sparse.realsize", "0");
    let forms = vec![
        contained(
            "a hole in front",
            old(&[(8, 4)], 12, b"data"),
            &[("f", Is::File("\0\0\0\0\0\0\0\0data"))],
        ),
        contained(
            "the same in PAX",
            new("1\n8\n4\n", "12"),
            &[("f", Is::File("\0\0\0\0\0\0\0\0data"))],
        ),
        refused("beyond the end", old(&[(8, 4)], 10, b"data"), &["f"]),
        refused("beyond the end in PAX", new("1\n8\n4\n", "10"), &["f"]),
        refused("backwards", old(&[(8, 2), (0, 2)], 12, b"data"), &["f"]),
        refused("backwards in PAX", new("2\n8\n2\n0\n2\n", "12"), &["f"]),
        refused("one over the other", old(&[(0, 3), (2, 1)], 12, b"data"), &["f"]),
        refused("more than is there", old(&[(0, 400)], 400, b"data"), &["f"]),
        refused("less than is there", old(&[(0, 2)], 12, b"data"), &["f"]),
        refused(
            "a sum that overflows",
            new("1\n9223372036854775807\n9223372036854775807\n", "12"),
            &["f"],
        ),
        refused("a negative offset", new("1\n-8\n4\n", "12"), &["f"]),
        refused("a billion of pieces", new("1000000000\n0\n4\n", "12"), &["f"]),
        refused("a map without an end", new("7777777777777777", "12"), &["f"]),
        refused("1 TiB", old(&[(0, 4)], 1 << 33, b"data"), &["f"]).tightly(),
        refused("1 TiB in PAX", new("1\n0\n4\n", "1099511627776"), &["f"]).tightly(),
        refused("a name of its own that leads upwards", [tar([upwards])], &["../pwn"]),
        refused(
            "of a version that nobody knows",
            [tar([file("f", "in").pax("GNU.sparse.major", "2").pax("GNU.sparse.minor", "0")])],
            &["f"],
        ),
        refused(
            "half of what describes it",
            [tar([file("f", "in").pax("GNU.sparse.realsize", "99")])],
            &["f"],
        ),
    ];
    case("sparse files", "GNU and PAX sparse", forms)
}

fn file_after() -> super::super::tar::Entry {
    file("after", "in")
}
