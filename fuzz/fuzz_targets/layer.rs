//! Any bytes as a layer over another: made below its directory, or refused; nothing beside it is
//! touched. Checksums of headers are made right first, or hardly an input would get past them.
#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use hotcell::image::unpack::{Limits, Source, Target, Unpacker, layer};
use rustix::fs::{MemfdFlags, memfd_create};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    let dir = tempfile::tempdir_in("/dev/shm").expect("a place");
    let names = ["canary", "below", "layer"];
    let [canary, below, upper] = names.map(|name| dir.path().join(name));
    std::fs::create_dir(&canary).expect("a canary");
    std::fs::create_dir_all(below.join("a/b")).expect("a layer below");
    std::os::unix::fs::symlink(&canary, below.join("a/out")).expect("a link");
    std::os::unix::fs::symlink("../../canary", below.join("up")).expect("a link");
    std::fs::write(below.join("a/file"), "content").expect("a file");
    std::fs::create_dir(&upper).expect("a layer");
    let blob = File::from(memfd_create("layer", MemfdFlags::CLOEXEC).expect("a file"));
    blob.write_all_at(&bytes, 0).expect("the layer");
    let open = |path: &Path| File::open(path).expect("a directory").into();
    let target = Target { upper: open(&upper), lowers: vec![open(&below)] };
    let source = Source::region(blob, 0, bytes.len() as u64);
    let mut limits = Limits::default();
    limits.bytes = 1 << 24;
    let _ = layer(&source, &target, &limits, &Unpacker::InProcess);
    assert_eq!(std::fs::read_dir(&canary).expect("the canary").count(), 0);
    assert_eq!(std::fs::read_dir(dir.path()).expect("the place").count(), names.len());
    assert_eq!(std::fs::read(below.join("a/file")).expect("the file"), b"content");
});
