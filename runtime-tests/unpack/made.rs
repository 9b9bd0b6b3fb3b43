//! What comes of honest archives.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use hotcell::image::Digest;
use hotcell::image::unpack::{Confinement, Limits, Source, Target, Unpacker, layer};

use super::build::{Head, Tar};
use super::place::{Place, gzip, tree};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(every_kind_of_entry_becomes_what_it_says, Cells),
        test!(all_ways_make_the_same, Cells),
        test!(a_layer_goes_over_those_below_as_overlayfs_shows_it, Cells),
        test!(links_of_the_image_lead_within_it, Cells),
    ]
}

/// One of everything.
fn rich() -> Vec<u8> {
    Tar::new()
        .raw(&Head { name: b"./", kind: b'5', mode: 0o755, mtime: 5, ..Head::default() }, b"")
        .raw(&Head { name: b"bin/", kind: b'5', mode: 0o2755, gid: 7, ..Head::default() }, b"")
        .raw(&Head { name: b"bin/su", mode: 0o4711, uid: 0, size: 4, ..Head::default() }, b"root")
        .raw(
            &Head {
                name: b"bin/mine",
                mode: 0o640,
                uid: 70000,
                gid: 70001,
                size: 2,
                ..Head::default()
            },
            b"me",
        )
        .hard_link("bin/also", "./bin/su")
        .symlink("bin/link", "/bin/su")
        .hard_link("bin/linked", "bin/link")
        .typed("bin/fifo", b'6', "")
        .typed("dev/null", b'3', "")
        .pax(&[("mtime", b"1.123456789"), ("SCHILY.xattr.user.colour", b"green")])
        .file("precise", b"x")
        .pax(&[("mtime", b"-1.5")])
        .dir_with("sticky", 0o1777)
        .file("sticky/inside", &[b'y'; 100_000])
        .file("taken/for/granted", b"")
        .pax(&[(
            "SCHILY.xattr.security.capability",
            b"\x01\0\0\x02\x00\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        )])
        .file("ping", b"ping")
        .pax(&[("GNU.sparse.size", b"1000000"), ("GNU.sparse.map", b"500000,5")])
        .file("holes", b"abcde")
        .end()
}

fn every_kind_of_entry_becomes_what_it_says(_: &Bed) {
    let place = Place::new();
    let archive = rich();
    let done = place.unpack("layer", &[], &archive, &Unpacker::InProcess).unwrap();
    assert_eq!(done.diff_id, Digest::sha256(&archive));
    assert_eq!((done.blob, done.blob_bytes), (done.diff_id, archive.len() as u64));
    assert_eq!((done.archive_bytes, done.entries), (archive.len() as u64, 15));
    assert_eq!((done.devices_left_out, done.confinement), (1, Confinement::None));
    let tree = tree(&place.path("layer"));
    let empty = Digest::sha256(b"");
    let capability = "security.capability=\\x01\\x00\\x00\\x02\\x00 \\x00\\x00\\x00\\x00\\x00\\x00\
                      \\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00";
    let mut holes = vec![0; 1_000_000];
    holes[500_000..500_005].copy_from_slice(b"abcde");
    let wanted = [
        ("", "40755 0:0 5.0 0".to_owned()),
        ("bin", "42755 0:7 1700000000.0 0".to_owned()),
        ("bin/su", format!("104711 0:0 1700000000.0 2 {}", Digest::sha256(b"root"))),
        ("bin/also", format!("104711 0:0 1700000000.0 2 {}", Digest::sha256(b"root"))),
        ("bin/mine", format!("100640 70000:70001 1700000000.0 1 {}", Digest::sha256(b"me"))),
        ("bin/link", "120777 0:0 1700000000.0 2 -> /bin/su".to_owned()),
        ("bin/linked", "120777 0:0 1700000000.0 2 -> /bin/su".to_owned()),
        ("bin/fifo", "10777 0:0 1700000000.0 1".to_owned()),
        ("precise", format!("100644 0:0 1.123456789 1 {} user.colour=green", Digest::sha256(b"x"))),
        ("sticky", "41777 0:0 -2.500000000 0".to_owned()),
        (
            "sticky/inside",
            format!("100644 0:0 1700000000.0 1 {}", Digest::sha256(&[b'y'; 100_000])),
        ),
        ("taken", "40755 0:0 0.0 0".to_owned()),
        ("taken/for", "40755 0:0 0.0 0".to_owned()),
        ("taken/for/granted", format!("100644 0:0 1700000000.0 1 {empty}")),
        ("ping", format!("100644 0:0 1700000000.0 1 {} {capability}", Digest::sha256(b"ping"))),
        ("holes", format!("100644 0:0 1700000000.0 1 {}", Digest::sha256(&holes))),
    ];
    let wanted: BTreeMap<_, _> =
        wanted.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    assert_eq!(tree, wanted);
    assert!(place.path("layer/holes").metadata().unwrap().blocks() < 100);
}

/// Other ways are: compressed, through a pipe, in another process.
fn all_ways_make_the_same(_: &Bed) {
    let place = Place::new();
    let archive = rich();
    let first = place.unpack("plain", &[], &archive, &Unpacker::InProcess).unwrap();
    let wanted = tree(&place.path("plain"));
    let two = [gzip(&archive[..1000]), gzip(&archive[1000..])].concat();
    for (name, blob) in [("gzip", gzip(&archive)), ("members", two)] {
        for (end, how) in [("", Unpacker::InProcess), ("-helper", Unpacker::ThisProgram)] {
            let name = format!("{name}{end}");
            let done = place.unpack(&name, &[], &blob, &how).unwrap();
            assert_eq!((done.diff_id, done.blob), (first.diff_id, Digest::sha256(&blob)), "{name}");
            assert_eq!(tree(&place.path(&name)), wanted, "{name}");
        }
    }
    let mut shell = Command::new("cat");
    let file = place.path("archive");
    std::fs::write(&file, &archive).unwrap();
    let mut cat = shell.arg(&file).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let source = Source::stream(cat.stdout.take().unwrap());
    std::fs::create_dir(place.path("pipe")).unwrap();
    let upper = File::open(place.path("pipe")).unwrap().into();
    let target = Target { upper, lowers: vec![] };
    let done = layer(&source, &target, &Limits::default(), &Unpacker::ThisProgram).unwrap();
    assert_eq!(done.diff_id, first.diff_id);
    assert_eq!(tree(&place.path("pipe")), wanted);
    assert!(cat.wait().unwrap().success());
}

/// What the next layer hides, replaces and goes through.
fn bottom() -> Vec<u8> {
    Tar::new()
        .dir("gone")
        .file("gone/file", b"")
        .dir_with("kept", 0o750)
        .file("kept/old", b"")
        .file("kept/away", b"")
        .dir("opaque")
        .file("opaque/old", b"")
        .dir("remade")
        .file("remade/old", b"")
        .dir("file-now")
        .file("file-now/old", b"")
        .symlink("lib", "usr/lib")
        .dir("usr")
        .dir("usr/lib")
        .file("usr/lib/old", b"")
        .file("linked", b"content")
        .typed("dev-was-here", b'6', "")
        .end()
}

fn middle() -> Vec<u8> {
    Tar::new()
        .file(".wh.gone", b"")
        .file("kept/.wh.away", b"")
        .file("kept/.wh.never-there", b"")
        .file("nowhere/.wh.x", b"")
        .dir("opaque")
        .file("opaque/new", b"")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/newer", b"")
        .file(".wh.remade", b"")
        .dir("remade")
        .file("remade/new", b"")
        .file("file-now", b"")
        .file("lib/new", b"")
        .hard_link("other-name", "linked")
        .typed("dev-was-here", b'3', "")
        .file(".wh..wh.plnk", b"")
        .end()
}

fn a_layer_goes_over_those_below_as_overlayfs_shows_it(_: &Bed) {
    let place = Place::new();
    let (bottom, middle) = (bottom(), middle());
    let top = Tar::new().file("usr/.wh..wh..opq", b"").file("usr/share", b"").dir("file-now").end();
    for (end, how) in [("", Unpacker::InProcess), ("-helper", Unpacker::ThisProgram)] {
        let [one, two, three] = ["one", "two", "three"].map(|name| format!("{name}{end}"));
        place.unpack(&one, &[], &bottom, &how).unwrap();
        place.unpack(&two, &[&one], &middle, &how).unwrap();
        let seen = [
            "file-now f 644",
            "kept d 750",
            "kept/old f 644",
            "lib l 777 usr/lib",
            "linked f 644",
            "opaque d 755",
            "opaque/new f 644",
            "opaque/newer f 644",
            "other-name f 644",
            "remade d 755",
            "remade/new f 644",
            "usr d 755",
            "usr/lib d 755",
            "usr/lib/new f 644",
            "usr/lib/old f 644",
        ];
        assert_eq!(place.shown(&[&two, &one]), seen);
        let names = |path: &str| place.path(path).metadata().unwrap().nlink();
        assert_eq!(names(&format!("{two}/linked")), 2);
        assert!(!place.path(&format!("{two}/kept/never-there")).exists());
        assert!(!place.path(&format!("{two}/nowhere")).exists());
        place.unpack(&three, &[&two, &one], &top, &how).unwrap();
        let mut seen = seen.map(str::to_owned).to_vec();
        seen.retain(|line| !line.starts_with("usr/"));
        seen.push("usr/share f 644".to_owned());
        seen[0] = "file-now d 755".to_owned();
        assert_eq!(place.shown(&[&three, &two, &one]), seen);
        // The root lets everything show through whatever its attributes say.
        let clean = Tar::new().file(".wh..wh..opq", b"").dir("kept").file("new", b"").end();
        let four = format!("four{end}");
        place.unpack(&four, &[&three, &two, &one], &clean, &how).unwrap();
        assert_eq!(place.shown(&[&four, &three, &two, &one]), ["kept d 755", "new f 644"]);
    }
    let trees = ["one", "two", "three", "four"].map(|name| tree(&place.path(name)));
    let helpers =
        ["one", "two", "three", "four"].map(|name| tree(&place.path(&format!("{name}-helper"))));
    assert_eq!(trees, helpers);
}

fn links_of_the_image_lead_within_it(_: &Bed) {
    let place = Place::new();
    let canary = place.path("canary");
    std::fs::create_dir(&canary).unwrap();
    let absolute = canary.to_str().unwrap();
    let archive = Tar::new()
        .symlink("out", "../../../../../..")
        .file("out/escaped", b"")
        .symlink("absolute", absolute)
        .file("absolute/escaped", b"")
        .symlink("one", "two")
        .symlink("two", "three/..")
        .dir("three")
        .file("one/both", b"")
        .symlink("foo", absolute)
        .dir_with("foo", 0o777)
        .file("foo/in", b"")
        .hard_link("hard", "absolute/escaped")
        .end();
    place.unpack("layer", &[], &archive, &Unpacker::InProcess).unwrap();
    assert_eq!(std::fs::read_dir(&canary).unwrap().count(), 0);
    let inside = format!("layer{absolute}/escaped");
    for path in ["layer/escaped", "layer/both", "layer/foo/in", &inside, "layer/hard"] {
        assert!(place.path(path).is_file(), "{path}");
    }
    let loops = Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", b"").end();
    let error = place.unpack("loop", &[], &loops, &Unpacker::InProcess).unwrap_err();
    assert!(error.contains("too many symbolic links"), "{error}");
}
