//! The reader against archives that programs read alike, and against those that they do not.

use super::build::{Head, Tar, seal};
use super::*;

/// An archive in memory, whose pieces end anywhere.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Blocks for Bytes<'_> {
    fn block(&mut self) -> Result<Option<&[u8; BLOCK]>, Cause> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (block, rest) = self.0.split_first_chunk().ok_or(Cause::Truncated)?;
        self.0 = rest;
        Ok(Some(block))
    }

    fn some(&mut self, most: u64) -> Result<&[u8], Cause> {
        let count = self.0.len().min(most as usize).min(1000);
        if count == 0 {
            return Err(Cause::Truncated);
        }
        let (piece, rest) = self.0.split_at(count);
        self.0 = rest;
        Ok(piece)
    }
}

type Member = (String, Kind, Vec<u8>);

fn read(archive: &[u8]) -> Result<Vec<Member>, Error> {
    let mut reader = Reader::new(Bytes(archive));
    let mut members = Vec::new();
    while let Some(entry) = reader.next()? {
        let mut content = Vec::new();
        while let Some(piece) = reader.content()? {
            content.extend_from_slice(piece);
        }
        members.push((String::from_utf8_lossy(&entry.name).into_owned(), entry.kind, content));
    }
    Ok(members)
}

fn names(archive: &[u8]) -> Vec<String> {
    read(archive).unwrap().into_iter().map(|(name, _, _)| name).collect()
}

fn refusal(archive: &[u8]) -> (Refusal, Option<Place>) {
    match read(archive) {
        Err(error) => match error.cause() {
            Cause::Refused(refusal) => (refusal.clone(), error.entry().cloned()),
            other => panic!("{other}"),
        },
        Ok(members) => panic!("read as {members:?}"),
    }
}

fn head(name: &[u8], kind: u8) -> Head<'_> {
    Head { name, kind, ..Head::default() }
}

#[test]
fn every_kind_of_entry_is_read() {
    let archive = Tar::new()
        .dir("d/")
        .file("d/f", b"content")
        .symlink("d/s", "../x")
        .hard_link("h", "d/f")
        .typed("fifo", b'6', "")
        .typed("null", b'3', "")
        .typed("disk", b'4', "")
        .raw(&head(b"old/", 0), b"")
        .raw(&head(b"old/f", 0), b"")
        .end();
    let members = read(&archive).unwrap();
    let kinds: Vec<_> = members.iter().map(|(name, kind, _)| (name.as_str(), kind)).collect();
    assert_eq!(
        kinds,
        [
            ("d/", &Kind::Directory),
            ("d/f", &Kind::File(None)),
            ("d/s", &Kind::Symlink(b"../x".to_vec())),
            ("h", &Kind::HardLink(b"d/f".to_vec())),
            ("fifo", &Kind::Fifo),
            ("null", &Kind::Device),
            ("disk", &Kind::Device),
            ("old/", &Kind::Directory),
            ("old/f", &Kind::File(None)),
        ]
    );
    assert_eq!(members[1].2, b"content");
}

#[test]
fn long_names_come_from_the_prefix_from_gnu_and_from_records() {
    let mut prefixed = head(b"name", b'0').block();
    prefixed[345..351].copy_from_slice(b"prefix");
    seal(&mut prefixed);
    let long = "x/".repeat(150) + "end";
    let archive = Tar::new()
        .block(&prefixed)
        .long(b'L', long.as_bytes())
        .long(b'K', long.as_bytes())
        .symlink("short", "short")
        .pax(&[("path", long.as_bytes()), ("linkpath", b"there")])
        .hard_link("short", "short")
        .end();
    let members = read(&archive).unwrap();
    assert_eq!(members[0].0, "prefix/name");
    assert_eq!((&members[1].0, &members[1].1), (&long, &Kind::Symlink(long.clone().into_bytes())));
    assert_eq!((&members[2].0, &members[2].1), (&long, &Kind::HardLink(b"there".to_vec())));
}

#[test]
fn the_end_is_two_blocks_of_zeros_one_or_none() {
    let archive = Tar::new().file("a", b"x");
    for zeros in [0, 512, 1024, 10 << 10] {
        let bytes = [archive.0.as_slice(), &vec![0; zeros]].concat();
        assert_eq!(names(&bytes), ["a"], "{zeros}");
    }
    assert!(names(&[]).is_empty());
    for zeros in [512, 1024] {
        let again = [&archive.0, vec![0; zeros].as_slice(), &archive.0].concat();
        assert_eq!(refusal(&again).0, Refusal::Trailing, "{zeros}");
    }
}

#[test]
fn what_is_cut_off_is_an_error_wherever_the_cut_is() {
    let archive = Tar::new().pax(&[("mtime", b"1.5")]).file("a", &[7; 700]).0;
    for length in 1..archive.len() {
        match read(&archive[..length]).map_err(|error| error.to_string()) {
            // The extended header is there and nothing behind it.
            Err(text) if length == 1024 => assert!(text.contains("ends behind"), "{text}"),
            Err(text) => assert!(text.contains("cut off"), "{length}: {text}"),
            Ok(members) => panic!("{length}: {members:?}"),
        }
    }
}

#[test]
fn a_refusal_names_the_entry() {
    let archive = Tar::new().file("good", b"").typed("evil", b'V', "").end();
    let (why, place) = refusal(&archive);
    assert_eq!(why, Refusal::Type('V'));
    assert_eq!(place, Some(Place { number: 2, name: "evil".to_owned() }));
    let text = read(&archive).unwrap_err().to_string();
    assert_eq!(text, "entry 2 of the layer, \"evil\": its type 'V' is unknown");
}

/// Archives of which at least two well-known programs list different members.
#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_programs_read_differently_is_refused() {
    let size = |size: u64| Head { size, ..Head::default() };
    let smuggled = Tar::new().file("smuggled", b"").0;
    let broken = |change: &dyn Fn(&mut [u8; 512])| {
        let mut block = head(b"file", b'0').block();
        change(&mut block);
        seal(&mut block);
        Tar::new().block(&block).end()
    };
    let star = |block: &mut [u8; 512]| block[508..].copy_from_slice(b"tar\0");
    let prefix = |block: &mut [u8; 512]| block[476..487].fill(b'0');
    let gnu_prefix = |block: &mut [u8; 512]| {
        block[257..265].copy_from_slice(b"ustar  \0");
        block[345..351].copy_from_slice(b"prefix");
    };
    let table: Vec<(Vec<u8>, Refusal)> = vec![
        // Two sizes: one program reads a member where another skips content.
        (
            Tar::new().pax(&[("size", b"512")]).raw(&size(0), &smuggled).end(),
            Refusal::TwoSizes(0, 512),
        ),
        (
            Tar::new().pax(&[("size", b"0")]).raw(&size(512), &smuggled).end(),
            Refusal::TwoSizes(512, 0),
        ),
        // Content where none can be.
        (
            Tar::new().raw(&Head { kind: b'5', name: b"d", ..size(512) }, &smuggled).end(),
            Refusal::Content(512),
        ),
        (
            Tar::new().raw(&Head { kind: b'1', link: b"x", ..size(512) }, &smuggled).end(),
            Refusal::Content(512),
        ),
        (
            Tar::new().raw(&Head { kind: b'2', link: b"x", ..size(512) }, &smuggled).end(),
            Refusal::Content(512),
        ),
        (Tar::new().raw(&Head { kind: b'3', ..size(512) }, &smuggled).end(), Refusal::Content(512)),
        (Tar::new().raw(&Head { kind: b'6', ..size(1) }, b"x").end(), Refusal::Content(1)),
        (
            Tar::new().raw(&Head { name: b"old/", kind: 0, ..size(512) }, &smuggled).end(),
            Refusal::Content(512),
        ),
        // Extended headers that pile up, or bind another header.
        (
            Tar::new().pax(&[("path", b"a")]).pax(&[("path", b"b")]).file("c", b"").end(),
            Refusal::Headers,
        ),
        (
            Tar::new().pax(&[("size", b"512")]).long(b'L', b"a").file("c", b"").end(),
            Refusal::Headers,
        ),
        (Tar::new().long(b'L', b"a").pax(&[("path", b"b")]).file("c", b"").end(), Refusal::Headers),
        (Tar::new().long(b'L', b"a").long(b'L', b"b").file("c", b"").end(), Refusal::Headers),
        (Tar::new().long(b'K', b"a").long(b'K', b"b").symlink("c", "d").end(), Refusal::Headers),
        (
            Tar::new()
                .pax(&[("path", b"a")])
                .extended(b'g', &[("comment", b"x")])
                .file("c", b"")
                .end(),
            Refusal::Headers,
        ),
        (
            Tar::new().extended(b'g', &[("path", b"a")]).file("c", b"").end(),
            Refusal::Global("path".to_owned()),
        ),
        (Tar::new().long(b'L', &[b'a'; 4097]).file("c", b"").end(), Refusal::Extension(4098, 4097)),
        (Tar::new().pax(&[("path", b"a")]).end(), Refusal::Dangling),
        (Tar::new().long(b'L', b"a").0, Refusal::Dangling),
        // Records.
        (Tar::new().pax(&[("path", b"")]).file("c", b"").end(), Refusal::Record("path".to_owned())),
        (
            Tar::new().pax(&[("path", b"a"), ("path", b"b")]).file("c", b"").end(),
            Refusal::Twice("path".to_owned()),
        ),
        (Tar::new().pax(&[("GNU.sparse.major", b"1")]).file("c", b"").end(), Refusal::Sparse),
        (Tar::new().pax(&[("GNU.sparse.size", b"1")]).symlink("c", "d").end(), Refusal::Sparse),
        // Headers that each program takes for another's.
        (broken(&star), Refusal::Dialect),
        (broken(&prefix), Refusal::Dialect),
        (broken(&gnu_prefix), Refusal::Dialect),
        (broken(&|block| block[257] = b'U'), Refusal::Dialect),
        (broken(&|block| block[263] = b'1'), Refusal::Dialect),
        // Numbers with something behind or before them.
        (broken(&|block| block[124..136].fill(0)), Refusal::number("size")),
        (
            broken(&|block| block[124..136].copy_from_slice(b"0x0000000000")),
            Refusal::number("size"),
        ),
        (
            broken(&|block| block[124..136].copy_from_slice(b"\x0000000001000")),
            Refusal::number("size"),
        ),
        (broken(&|block| block[124] = 0x81), Refusal::number("size")),
        (broken(&|block| block[124..136].fill(0xff)), Refusal::number("size")),
        (broken(&|block| block[108..116].fill(0xff)), Refusal::number("uid")),
        (broken(&|block| block[116..124].copy_from_slice(b"0000009\0")), Refusal::number("gid")),
        // Names that are those of another kind, or none.
        (Tar::new().file("", b"").end(), Refusal::Name),
        (Tar::new().file("file/", b"").end(), Refusal::Name),
        (Tar::new().symlink("link/", "x").end(), Refusal::Name),
        (Tar::new().raw(&head(b"x", b'S'), b"").end(), Refusal::Type('S')),
        (Tar::new().raw(&head(b"x", b'7'), b"").end(), Refusal::Type('7')),
        (Tar::new().raw(&head(b"x", b'D'), b"").end(), Refusal::Type('D')),
    ];
    for (number, (archive, wanted)) in table.into_iter().enumerate() {
        let (found, place) = refusal(&archive);
        assert_eq!(found, wanted, "row {number}");
        assert!(place.is_some(), "row {number}");
    }
    let mut unsealed = head(b"file", b'0').block();
    unsealed[0] ^= 1;
    assert_eq!(refusal(&unsealed).0, Refusal::Checksum);
    unsealed[148..156].fill(0);
    assert_eq!(refusal(&unsealed).0, Refusal::Checksum);
}

#[test]
fn a_size_beyond_the_headers_digits_may_stand_in_the_extended_header_alone() {
    let archive = Tar::new().pax(&[("size", b"8589934592")]).raw(&Head::default(), b"").0;
    let mut reader = Reader::new(Bytes(&archive));
    assert_eq!(reader.next().unwrap().unwrap().size, 1 << 33);
}

/// A sparse file's size, pieces and content.
type Seen = (u64, Vec<(u64, u64)>, Vec<u8>);

#[test]
fn sparse_files_are_told_in_four_ways_and_must_add_up() {
    let real = "GNU.sparse.realsize";
    let new: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"f"),
        (real, b"5000"),
    ];
    let content = |map: &[u8], data: &[u8]| [map, &vec![0; 512 - map.len()], data].concat();
    let sparse = |archive: Vec<u8>| -> Result<Seen, Refusal> {
        match read(&archive) {
            Ok(members) => match members.as_slice() {
                [(_, Kind::File(Some(sparse)), content)] => {
                    Ok((sparse.size, sparse.pieces.clone(), content.clone()))
                }
                other => panic!("{other:?}"),
            },
            Err(_) => Err(refusal(&archive).0),
        }
    };
    let right = (5000, vec![(1000, 3), (4000, 2)], b"abcde".to_vec());
    let in_content =
        |map: &[u8]| sparse(Tar::new().pax(new).file("x", &content(map, b"abcde")).end());
    assert_eq!(in_content(b"2\n1000\n3\n4000\n2\n"), Ok(right.clone()));
    assert_eq!(in_content(b"3\n1000\n3\n4000\n2\n5000\n0\n"), Ok(right.clone()));
    for map in [
        &b"2\n4000\n3\n1000\n2\n"[..],
        b"2\n1000\n3\n1001\n2\n",
        b"2\n1000\n3\n4000\n3\n",
        b"2\n1000\n3\n4999\n2\n",
        b"1\n9223372036854775807\n5\n",
        b"-1\n",
        b"2\n1000\n3\n4000\n2\nx",
        b"99999999\n",
        b"2\n1000\n",
    ] {
        assert_eq!(in_content(map), Err(Refusal::Sparse), "{}", map.escape_ascii());
    }
    let old: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", b"5000"),
        ("GNU.sparse.map", b"1000,3,4000,2"),
        ("GNU.sparse.numblocks", b"2"),
    ];
    assert_eq!(sparse(Tar::new().pax(old).file("f", b"abcde").end()), Ok(right.clone()));
    assert_eq!(sparse(Tar::new().pax(&old[..1]).file("f", b"abcde").end()), Err(Refusal::Sparse));
    let oldest: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", b"5000"),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.offset", b"1000"),
        ("GNU.sparse.numbytes", b"3"),
        ("GNU.sparse.offset", b"4000"),
        ("GNU.sparse.numbytes", b"2"),
    ];
    assert_eq!(sparse(Tar::new().pax(oldest).file("f", b"abcde").end()), Ok(right.clone()));
    let gnu = |more: u8, behind: &[u8]| {
        let mut block =
            Head { kind: b'S', size: 5, magic: b"ustar  \0", ..Head::default() }.block();
        let map = b"00000001750 00000000003 00000004000 00000000000 ";
        block[386..434].copy_from_slice(map);
        block[434..482].copy_from_slice(&[&map[24..], &map[24..]].concat());
        block[482] = more;
        block[483..495].copy_from_slice(b"00000011610\0");
        seal(&mut block);
        Tar::new().block(&block).content(behind).content(b"abcde").end()
    };
    let mut follow = [0; 512];
    follow[..12].copy_from_slice(b"00000007640\0");
    follow[12..24].copy_from_slice(b"00000000002\0");
    assert_eq!(sparse(gnu(1, &follow)), Ok(right));
    assert_eq!(sparse(gnu(0, &[])), Err(Refusal::Sparse));
    assert_eq!(sparse(gnu(7, &follow)), Err(Refusal::Sparse));
}

proptest::proptest! {
    /// What a fuzzer does for longer: no bytes make the reader panic or read for ever.
    #[test]
    fn damaged_archives_are_read_or_refused(
        flips in proptest::collection::vec((0..6000_usize, 0..=255_u8), 0..8),
        reseal in proptest::bool::ANY,
    ) {
        let archive = Tar::new()
            .pax(&[("path", b"some/where"), ("SCHILY.xattr.user.a", b"b"), ("mtime", b"1.5")])
            .file("a", &[1; 600])
            .long(b'L', &[b'x'; 300])
            .symlink("b", "c")
            .pax(&[("GNU.sparse.size", b"50"), ("GNU.sparse.map", b"10,5")])
            .file("f", b"abcde");
        let mut bytes = archive.end();
        let length = bytes.len();
        for (at, value) in flips {
            bytes[at % length] = value;
        }
        if reseal {
            for block in bytes.chunks_exact_mut(512) {
                let block: &mut [u8; 512] = block.try_into().unwrap();
                if block[257..262] == *b"ustar" {
                    seal(block);
                }
            }
        }
        let _ = read(&bytes);
    }
}
