//! Archives that want out, want too much, or want to be something to the host.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use hotcell::image::unpack::{Cause, Limit, Limits, Refusal, Unpacker};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::build::Tar;
use super::place::{Place, gzip, tree};
use crate::bed::Bed;
use crate::host::soak;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(names_that_lead_out_are_refused, Cells),
        test!(attributes_that_mean_something_to_the_host_are_left_out, Cells),
        test!(limits_end_a_layer_wherever_they_are_passed, Cells),
        test!(whoever_moves_directories_meanwhile_leads_nothing_out, Cells),
    ]
}

fn names_that_lead_out_are_refused(_: &Bed) {
    let place = Place::new();
    let long = "x".repeat(256);
    let deep = "d/".repeat(300) + "x";
    for (number, (archive, wanted)) in [
        (Tar::new().file("../x", b""), Refusal::Upwards),
        (Tar::new().file("a/../../x", b""), Refusal::Upwards),
        (Tar::new().hard_link("x", "../../etc/passwd"), Refusal::Upwards),
        (Tar::new().hard_link("x", "/etc/passwd"), Refusal::LinkTarget("/etc/passwd".to_owned())),
        (Tar::new().dir("d").hard_link("x", "d"), Refusal::LinkKind("d".to_owned())),
        (Tar::new().hard_link("x", "/"), Refusal::LinkKind("/".to_owned())),
        (Tar::new().file("x", b"").hard_link("x", "x"), Refusal::LinkKind("x".to_owned())),
        (Tar::new().symlink("./", "/tmp"), Refusal::Name),
        (Tar::new().symlink(".", "/tmp"), Refusal::Root),
        (Tar::new().file("/", b""), Refusal::Name),
        (Tar::new().file(".", b""), Refusal::Root),
        (Tar::new().symlink("x", ""), Refusal::Target),
        (Tar::new().file("f", b"").file("f/x", b""), Refusal::NoDirectory),
        (Tar::new().pax(&[("path", long.as_bytes())]).file("x", b""), Refusal::LongName),
        (Tar::new().file("d/.wh...", b""), Refusal::Whiteout),
        (Tar::new().file(".wh..", b""), Refusal::Whiteout),
        (Tar::new().dir(".wh.d"), Refusal::Whiteout),
        (Tar::new().symlink(".wh.d", "x"), Refusal::Whiteout),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("layer{number}");
        let error = place
            .try_unpack(&name, &[], &archive.end(), &Unpacker::InProcess, &Limits::default())
            .unwrap_err();
        assert!(
            matches!(error.cause(), Cause::Refused(found) if *found == wanted),
            "{number}: {error}"
        );
        assert!(error.entry().is_some() && error.is_the_archives(), "{number}: {error}");
    }
    let archive = Tar::new().pax(&[("path", deep.as_bytes())]).file("x", b"").end();
    let error = place.unpack("deep", &[], &archive, &Unpacker::InProcess).unwrap_err();
    assert!(error.contains("256"), "{error}");
}

fn attributes_that_mean_something_to_the_host_are_left_out(_: &Bed) {
    let place = Place::new();
    let records: Vec<(String, &[u8])> = [
        "user.fine",
        "user.overlay.opaque",
        "user.overlay.redirect",
        "trusted.overlay.opaque",
        "trusted.overlay.metacopy",
        "trusted.anything",
        "security.selinux",
        "system.posix_acl_access",
    ]
    .iter()
    .map(|name| (format!("SCHILY.xattr.{name}"), &b"y"[..]))
    .collect();
    let records: Vec<(&str, &[u8])> =
        records.iter().map(|(key, value)| (&key[..], *value)).collect();
    let archive = Tar::new().pax(&records).dir("d").pax(&records).file("f", b"").end();
    for (name, how) in [("layer", Unpacker::InProcess), ("helper", Unpacker::ThisProgram)] {
        place.unpack(name, &[], &archive, &how).unwrap();
        let tree = tree(&place.path(name));
        assert_eq!(tree["d"], "40755 0:0 1700000000.0 0 user.fine=y");
        assert!(tree["f"].ends_with(" user.fine=y"), "{}", tree["f"]);
    }
}

fn limits_end_a_layer_wherever_they_are_passed(_: &Bed) {
    let place = Place::new();
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    };
    let zeros = Tar::new().file("good", b"").file("zeros", &vec![0; 4 << 20]).end();
    let sparse: &[(&str, &[u8])] =
        &[("GNU.sparse.size", b"1099511627776"), ("GNU.sparse.map", b"")];
    let many = (0..50).fold(Tar::new(), |tar, number| tar.file(&number.to_string(), b"")).end();
    let headers = (0..3000).fold(Tar::new(), |tar, n| tar.file(&format!("h{n}"), b"")).end();
    let mut window = zstd::stream::write::Encoder::new(Vec::new(), 22).unwrap();
    window.window_log(27).unwrap();
    window.write_all(&vec![1; 300 << 20]).unwrap();
    let window = window.finish().unwrap();
    let table = [
        (headers, limits(|l| l.bytes = 1 << 20), Limit::ArchiveBytes, Some("good")),
        (gzip(&zeros), limits(|l| l.free_bytes = 1 << 20), Limit::Ratio, Some("zeros")),
        (
            Tar::new().pax(sparse).file("tera", b"").end(),
            Limits::default(),
            Limit::FileBytes,
            Some("tera"),
        ),
        (many, limits(|l| l.entries = 20), Limit::Entries, Some("20")),
        (
            Tar::new().file("a/b/c/d", b"").end(),
            limits(|l| l.depth = 3),
            Limit::Depth,
            Some("a/b/c/d"),
        ),
        (
            Tar::new().file("aaaa", b"").end(),
            limits(|l| l.path_bytes = 3),
            Limit::PathBytes,
            Some("aaaa"),
        ),
        (window, Limits::default(), Limit::ZstdWindow, None),
    ];
    for (number, (archive, limits, wanted, entry)) in table.into_iter().enumerate() {
        for (end, how) in [("", Unpacker::InProcess), ("h", Unpacker::ThisProgram)] {
            let error = place.try_unpack(&format!("{number}{end}"), &[], &archive, &how, &limits);
            let error = error.unwrap_err();
            assert!(
                matches!(error.cause(), Cause::Limit { limit, .. } if *limit == wanted),
                "{number}: {error}"
            );
            let named = error.entry().map(|place| place.name.as_str());
            assert!(
                named == entry || entry == Some("good") && named.is_some(),
                "{number}: {error}"
            );
        }
    }
}

/// A neighbour swaps a directory of the layer for a link to the host's all the time.
fn whoever_moves_directories_meanwhile_leads_nothing_out(_: &Bed) {
    let place = Place::new();
    let canary = place.path("canary");
    std::fs::create_dir_all(canary.join("inner")).unwrap();
    symlink(&canary, place.path("link")).unwrap();
    let before = tree(&canary);
    let mut archive = Tar::new();
    for number in 0..200 {
        archive = archive
            .dir_with("dir", 0o777)
            .dir_with("dir/inner", 0o777)
            .file(&format!("dir/inner/{number}"), b"x")
            .dir_with("dir", 0o700);
    }
    let archive = archive.end();
    let stop = AtomicBool::new(false);
    let mut swaps = 0;
    for round in 0..if soak() { 500 } else { 10 } {
        let name = format!("layer{round}");
        let dir = place.path(&format!("{name}/dir"));
        stop.store(false, Ordering::Relaxed);
        swaps += std::thread::scope(|scope| {
            let swapper = scope.spawn(|| {
                let mut swaps = 0;
                while !stop.load(Ordering::Relaxed) {
                    let swap =
                        renameat_with(CWD, &dir, CWD, place.path("link"), RenameFlags::EXCHANGE);
                    swaps += u32::from(swap.is_ok());
                }
                swaps
            });
            // A name that is a link at the wrong moment is refused, or followed within the image.
            let _ = place.unpack(&name, &[], &archive, &Unpacker::InProcess);
            stop.store(true, Ordering::Relaxed);
            swapper.join().unwrap()
        });
        assert_eq!(tree(&canary), before, "round {round}");
    }
    assert!(swaps > 0);
}
