//! Compressed streams: broken ones, ones within ones, and bombs.

use std::io::Write;

use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, FlushCompress};

use super::super::archive::{GZIP, PLAIN, ZSTD};
use super::super::case::{Case, Expect, Form, Is, Layer, Limited, Made, case};
use super::super::tar::{
    BLOCK, base256, dir, entry, far, field, file, open_ended, pax_header, record, tar,
};

pub fn cases() -> Vec<Case> {
    vec![gzip_streams(), zstd_streams(), other_streams(), bombs(), entries_without_end()]
}

/// 16 MiB of zeros in a thousandth.
pub fn zeros() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 16 << 20]).unwrap();
    encoder.finish().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn hello() -> Vec<u8> {
    tar([file("hello", "in")])
}

fn one(name: &str, blob: Vec<u8>, media_type: &'static str, expect: Expect) -> Form {
    let layer = Layer::packed(blob, media_type, &hello());
    let make = move || Made::Layers(vec![layer.clone()]);
    Form {
        name: name.to_owned(),
        make: Box::new(make),
        expect,
        limits: Limited::ByDefault,
        of_layers: true,
    }
}

fn loaded() -> Expect {
    Expect::Contained(vec![("hello", Is::File("in"))])
}

/// What is wrong about a stream has no entry to name.
fn not_loaded() -> Expect {
    Expect::Refused(Vec::new())
}

fn gzip_streams() -> Case {
    let whole = gzip(&hello());
    let all = hello();
    let (front, back) = all.split_at(700);
    let members = [gzip(front), gzip(back)].concat();
    let with_name = {
        let builder =
            flate2::GzBuilder::new().filename("../../etc/cron.d/x").comment("c").extra("e");
        let mut encoder = builder.write(Vec::new(), Compression::fast());
        encoder.write_all(&hello()).unwrap();
        encoder.finish().unwrap()
    };
    let broken = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    let length = whole.len();
    let forms = vec![
        one("two members", members, GZIP, loaded()),
        one("an empty member in front", [gzip(b""), whole.clone()].concat(), GZIP, loaded()),
        one("a name and a comment", with_name, GZIP, loaded()),
        one("cut in its middle", whole[..length / 2].to_vec(), GZIP, not_loaded()),
        one("cut in its sum", whole[..length - 6].to_vec(), GZIP, not_loaded()),
        one("cut in its header", whole[..5].to_vec(), GZIP, not_loaded()),
        one("a wrong sum", broken(length - 8), GZIP, not_loaded()),
        one("a wrong length", broken(length - 1), GZIP, not_loaded()),
        one("wrong contents", broken(40), GZIP, not_loaded()),
        one("rubbish behind", [&whole[..], b"rubbish"].concat(), GZIP, not_loaded()),
        one(
            "an archive behind",
            [whole.clone(), tar([file("smuggled", "out")])].concat(),
            GZIP,
            not_loaded(),
        ),
        one("another kind of compression inside", broken(2), GZIP, not_loaded()),
        one("said to be plain", whole.clone(), PLAIN, loaded()),
        one("plain that is said to be this", hello(), GZIP, loaded()),
        one("twice compressed", gzip(&whole), GZIP, not_loaded()),
        one("another layer's contents", gzip(&tar([file("other", "out")])), GZIP, not_loaded()),
    ];
    case("gzip streams", "section 5.14: multi-member, trailing garbage, truncated", forms)
}

fn zstd_streams() -> Case {
    let whole = zstd(&hello());
    let skipped = |length: u32| {
        let mut frame = 0x184D_2A50_u32.to_le_bytes().to_vec();
        frame.extend(length.to_le_bytes());
        frame.extend(vec![0x55; length as usize]);
        frame
    };
    let all = hello();
    let (front, back) = all.split_at(700);
    // No single segment, a window of 2 GiB, no content size; one empty last block.
    let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0, 0].to_vec();
    // A dictionary's number in the header.
    let by_dictionary = [0x28, 0xb5, 0x2f, 0xfd, 0x01, 10 << 3, 7, 0x01, 0, 0].to_vec();
    let forms = vec![
        one("two frames", [zstd(front), zstd(back)].concat(), ZSTD, loaded()),
        one("a frame to skip in front", [skipped(100), whole.clone()].concat(), ZSTD, loaded()),
        one("cut in its middle", whole[..whole.len() / 2].to_vec(), ZSTD, not_loaded()),
        one("cut in its header", whole[..5].to_vec(), ZSTD, not_loaded()),
        one("rubbish behind", [&whole[..], b"rubbish"].concat(), ZSTD, not_loaded()),
        one("a window of 2 GiB", wide, ZSTD, not_loaded()),
        one("a dictionary that nobody has", by_dictionary, ZSTD, not_loaded()),
        one("said to be gzip", whole.clone(), GZIP, loaded()),
        one("gzip inside", zstd(&gzip(&hello())), ZSTD, not_loaded()),
    ];
    case("zstd streams", "section 5.14: skippable frames, dictionaries, windows", forms)
}

fn other_streams() -> Case {
    let with = |name: &str, magic: &[u8]| {
        one(
            name,
            [magic, &[0; 600]].concat(),
            "application/vnd.oci.image.layer.v1.tar+xz",
            not_loaded(),
        )
    };
    let forms = vec![
        with("xz", b"\xfd7zXZ\0"),
        with("bzip2", b"BZh91AY&SY"),
        with("lz4", b"\x04\x22\x4d\x18"),
        with("compress", b"\x1f\x9d\x90"),
        with("zip", b"PK\x03\x04"),
        one("no bytes", Vec::new(), GZIP, not_loaded()),
        one("one byte", vec![0x1f], GZIP, not_loaded()),
    ];
    case("other streams", "no decompressor that an image could choose", forms)
}

fn bomb(name: &str, says: &str, make: impl Fn() -> Layer + Sync + 'static) -> Form {
    let make = move || Made::Layers(vec![make()]);
    let expect = Expect::Refused(vec![says.to_owned()]);
    Form {
        name: name.to_owned(),
        make: Box::new(make),
        expect,
        limits: Limited::Tightly,
        of_layers: true,
    }
}

/// A file of 10 GiB, its header first.
fn large() -> Vec<u8> {
    file("bomb", "").field(field::SIZE, base256(12, 10 << 30)).bytes()
}

/// Zeros whose compressed form may be repeated within a stream.
fn repeatable_zeros() -> Vec<u8> {
    let mut deflate = flate2::Compress::new(Compression::best(), false);
    let zeros = vec![0; 16 << 20];
    let mut out = Vec::with_capacity(64 << 10);
    deflate.compress_vec(&zeros, &mut out, FlushCompress::Full).unwrap();
    assert_eq!(deflate.total_in() as usize, zeros.len());
    out
}

fn bombs() -> Case {
    let members = move || {
        let zeros = zeros();
        [gzip(&large()), zeros.repeat(640)].concat()
    };
    let stream = || {
        let mut head = DeflateEncoder::new(Vec::new(), Compression::fast());
        head.write_all(&large()).unwrap();
        head.flush().unwrap();
        let head = head.get_ref().clone();
        [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff][..], &head, &repeatable_zeros().repeat(640)]
            .concat()
    };
    // One raw block with the header, then blocks of one repeated byte, 128 KiB each.
    let runs = || {
        let block = |last: u32, kind: u32, size: u32| {
            (last | kind << 1 | size << 3).to_le_bytes()[..3].to_vec()
        };
        let mut frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3].to_vec();
        frame.extend(block(0, 0, BLOCK as u32));
        frame.extend(large());
        let run = [block(0, 1, 128 << 10), vec![0]].concat();
        frame.extend(run.repeat(10 << 13));
        frame
    };
    fn layer(blob: Vec<u8>, kind: &'static str) -> Layer {
        Layer::packed(blob, kind, b"")
    }
    let forms = vec![
        bomb("10 GiB in gzip's members", "bomb", move || layer(members(), GZIP)),
        bomb("10 GiB in one gzip stream", "bomb", move || layer(stream(), GZIP)),
        bomb("10 GiB in zstd", "bomb", move || layer(runs(), ZSTD)),
        bomb("10 GiB of zeros without an archive", "", || layer(zeros().repeat(640), GZIP)),
        bomb("a sparse file of 1 TiB", "sparse", || {
            let body = [&b"1\n0\n4\n"[..], &[0; 506], b"data"].concat();
            let file = file("x", body)
                .pax("GNU.sparse.major", "1")
                .pax("GNU.sparse.minor", "0")
                .pax("GNU.sparse.name", "sparse")
                .pax("GNU.sparse.realsize", "1099511627776");
            Layer::plain(tar([file]))
        }),
        bomb("a header of 1 GiB", "", || {
            let head = pax_header(b'x', "").says(1 << 30).bytes();
            layer([gzip(&head), gzip(&vec![b'1'; 16 << 20]).repeat(64)].concat(), GZIP)
        }),
        bomb("a header of 100 MiB that is right", "", || {
            let long = record("comment", vec![b'c'; 100 << 20]);
            let bytes = tar([pax_header(b'x', long), file("f", "in")]);
            Layer::packed(gzip(&bytes), GZIP, &bytes)
        }),
        bomb("a global header of 1 GiB", "", || {
            let head = pax_header(b'g', "").says(1 << 30).bytes();
            layer([gzip(&head), gzip(&vec![b'1'; 16 << 20]).repeat(64)].concat(), GZIP)
        }),
    ];
    case("bombs", "decompression bombs, sparse entries", forms)
}

fn entries_without_end() -> Case {
    let many = |entries: Vec<u8>, times: usize| {
        let blob = gzip(&entries).repeat(times);
        move || Layer::packed(blob.clone(), GZIP, b"")
    };
    let files = open_ended((0..2048).map(|n| file(format!("{n}"), "")));
    let headers = open_ended((0..2048).map(|_| pax_header(b'g', record("comment", "c"))));
    let opaque = open_ended((0..2048).map(|_| entry(b'0', "d/.wh..wh..opq")));
    let deep = open_ended((0..64).map(|n| far(b'5', vec![format!("{n}").as_str(); 20].join("/"))));
    let forms = vec![
        bomb("5 million files", "", many(files, 2500)),
        bomb("5 million global headers", "", many(headers, 2500)),
        bomb("5 million whiteouts", "", many([dir("d").bytes(), opaque].concat(), 2500)),
        bomb("5 million directories in names", "", many(deep, 800)),
    ];
    case("entries without end", "10 M empty files, CVE-2026-95838", forms)
}
