//! What is unpacked, and what other programs list.

use std::process::Command;

use hotcell::image::unpack::Unpacker;

use super::build::{Tar, seal};
use super::place::{Place, tree};
use crate::bed::Bed;
use crate::host::soak;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test!(programs_list_what_is_unpacked, Cells)]
}

/// Damaged archives: whoever reads one to the end without a complaint has seen the same names.
fn programs_list_what_is_unpacked(_: &Bed) {
    let place = Place::new();
    let list = "import sys, tarfile\n\
                for member in tarfile.open(sys.argv[1], 'r:'): print(member.name.strip('/'))\n";
    let seed = Tar::new()
        .dir("a/")
        .pax(&[("path", b"a/pax"), ("mtime", b"1.5")])
        .file("x", b"abc")
        .long(b'L', b"a/gnu-long-name")
        .file("y", &[b'z'; 700])
        .symlink("link", "a")
        .file("last", b"")
        .end();
    let (mut compared, mut refused) = (0, 0);
    for round in 0..if soak() { 1500_usize } else { 60 } {
        let mut archive = seed.clone();
        // One byte of a header or a record, whose checksum is made right again.
        let at = round * 131 % (archive.len() - 1024);
        archive[at] = archive[at].wrapping_add(1 + (round % 7) as u8);
        for block in archive.chunks_exact_mut(512) {
            let block: &mut [u8; 512] = block.try_into().unwrap();
            if &block[257..262] == b"ustar" {
                seal(block);
            }
        }
        let file = place.path("archive");
        std::fs::write(&file, &archive).unwrap();
        let layer = format!("layer{round}");
        if place.unpack(&layer, &[], &archive, &Unpacker::InProcess).is_err() {
            refused += 1;
            continue;
        }
        let ours: Vec<String> =
            tree(&place.path(&layer)).into_keys().filter(|name| !name.is_empty()).collect();
        let tar = Command::new("tar")
            .arg("-tf")
            .arg(&file)
            .args(["--quoting-style=literal"])
            .output()
            .unwrap();
        let python = Command::new("python3").args(["-c", list]).arg(&file).output().unwrap();
        for output in [tar, python] {
            let names = String::from_utf8_lossy(&output.stdout).into_owned();
            // Directories that are taken for granted are listed by nobody.
            let listed: Vec<String> = names
                .lines()
                .map(|name| name.trim_matches('/').replace("./", ""))
                .filter(|name| !name.is_empty())
                .collect();
            for name in &listed {
                assert!(ours.contains(name), "round {round}: {name:?} is not in {ours:?}");
            }
            let parent =
                |name: &String| listed.iter().any(|other| other.starts_with(&format!("{name}/")));
            for name in &ours {
                assert!(
                    listed.contains(name) || parent(name),
                    "round {round}: {name:?} is not in {listed:?}"
                );
            }
            compared += 1;
        }
    }
    assert!(compared > 50 && refused > 3, "{compared} {refused}");
}
