//! Archives that lie, lead elsewhere, or say two things at once.

use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

/// The members and then one more, of any kind.
fn with_member(files: &Files, kind: u8, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    for (at, digits) in [
        (100, "0000644".to_owned()),
        (108, "0000000".to_owned()),
        (116, "0000000".to_owned()),
        (124, format!("{:011o}", content.len())),
        (136, "00000000000".to_owned()),
    ] {
        block[at..at + digits.len()].copy_from_slice(digits.as_bytes());
    }
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum = block.iter().map(|byte| u32::from(*byte)).sum::<u32>() + 256;
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = files.tar();
    tar.truncate(tar.len() - 1024);
    tar.extend(block);
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

fn manifest_blob(files: &Files) -> String {
    let found =
        files.0.iter().find(|(_, bytes)| bytes.windows(8).any(|part| part == b"\"layers\""));
    found.unwrap().0.clone()
}

fn layer_blob() -> String {
    layout::blob(&Digest::sha256(b"layer one"))
}

#[test]
fn what_is_no_archive_of_images_is_told_what_it_is() {
    for (bytes, part) in [
        (Vec::new(), "is neither an archive of docker save nor an OCI layout"),
        (vec![0; 1024], "is neither an archive of docker save nor an OCI layout"),
        (vec![b'x'; 2000], "is no tar file"),
        (b"#!/bin/sh\n".to_vec(), "cut off"),
        (gzip(b"hello"), "cut off"),
    ] {
        let told = told(open(&bytes));
        assert!(told.contains(part), "{told}");
    }
    let mut files = Files::default();
    files.put("repositories", &json!({}));
    assert!(told(open(&files.tar())).contains("written by a Docker before 1.10"));
    let mut files = plain();
    files.index(&[]);
    assert!(told(open(&files.tar())).contains("the stream has no image"));
    let mut files = plain();
    files.0.retain(|(name, _)| name != "oci-layout");
    assert!(told(open(&files.tar())).contains("\"oci-layout\" is missing"));
    files.put("oci-layout", &json!({"imageLayoutVersion": "2.0.0"}));
    assert!(told(open(&files.tar())).contains("must be 1.0.0"));
    let (_spool, options) = options();
    let missing = Archive::open(Input::path("/nowhere/at/all.tar"), &options);
    assert!(told(missing).contains("open /nowhere/at/all.tar: No such file"));
}

#[test]
fn members_with_names_that_lead_elsewhere_or_are_there_twice_are_refused() {
    let files = plain();
    for name in ["../x", "/etc/passwd", "a/../../x", "a//b", "a/./b", "blobs/..", ".././x"] {
        let told = told(open(&with_member(&files, b'0', name, "", b"x")));
        assert!(told.contains("has a name that leads elsewhere") && told.contains(name), "{told}");
    }
    for name in ["index.json", "./index.json", "oci-layout", &layer_blob()] {
        for kind in [b'0', b'2'] {
            let told = told(open(&with_member(&files, kind, name, "index.json", b"")));
            assert!(told.contains("is there twice"), "{told}");
        }
    }
    // Directories are written by many, and again.
    assert!(open(&with_member(&files, b'5', "blobs/", "", b"")).is_ok());
}

#[test]
fn a_blob_is_a_regular_file_and_nothing_else() {
    let name = layer_blob();
    let mut files = plain();
    files.0.retain(|(known, _)| *known != name);
    assert!(told(open(&files.tar())).contains(&format!("{name:?} is missing")));
    for (kind, what) in [
        (b'1', "a hard link"),
        (b'2', "a symbolic link"),
        (b'3', "a device"),
        (b'5', "a directory"),
        (b'6', "a FIFO"),
    ] {
        let told = told(open(&with_member(&files, kind, &name, "index.json", b"")));
        assert!(told.contains(&format!("is {what}, and must be a regular file")), "{told}");
    }
}

#[test]
fn in_a_directory_no_link_is_followed_and_nothing_waited_for() {
    for name in [layer_blob(), "index.json".to_owned(), "oci-layout".to_owned()] {
        let dir = plain().directory();
        let path = dir.path().join(&name);
        for target in ["/etc/passwd", "../../../../../../etc/passwd", "oci-layout", "."] {
            fs::remove_file(&path).unwrap();
            symlink(target, &path).unwrap();
            let told = told(open_directory(dir.path()));
            assert!(told.contains("symbolic link") && told.contains(&name), "{told}");
        }
        fs::remove_file(&path).unwrap();
        let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
        assert!(told(open_directory(dir.path())).contains("is a FIFO"));
    }
    // A directory on the way is no better.
    let dir = plain().directory();
    fs::rename(dir.path().join("blobs"), dir.path().join("elsewhere")).unwrap();
    symlink("elsewhere", dir.path().join("blobs")).unwrap();
    assert!(told(open_directory(dir.path())).contains("reached through a symbolic link"));
}

#[test]
fn legacy_links_between_layers_stay_inside() {
    let config = config(&Platform::host(), &["one", "one"]).to_string();
    let name = format!("{}.json", Digest::sha256(config.as_bytes()).hex());
    let mut files = Files::default();
    files.bytes(&name, config.as_bytes());
    files.bytes("a/layer.tar", b"one");
    let layers = json!(["a/layer.tar", "b/layer.tar"]);
    files.put("manifest.json", &json!([{"Config": name, "Layers": layers}]));
    for (target, part) in [
        ("../a/layer.tar", ""),
        ("./../b/../a/layer.tar", ""),
        ("../../etc/passwd", "leaves the archive"),
        ("/a/layer.tar", "leaves the archive"),
        ("../../../a/layer.tar", "leaves the archive"),
        ("../c/layer.tar", "\"c/layer.tar\" is missing"),
        ("layer.tar", "is a symbolic link, and must be"),
        ("..", "\"\" is missing"),
    ] {
        let result = open(&with_member(&files, b'2', "b/layer.tar", target, b""));
        match part {
            "" => assert_eq!(contents(&result.unwrap()[0]), ["one", "one"]),
            part => assert!(told(result).contains(part), "{target}"),
        }
    }
    let hard = open(&with_member(&files, b'1', "b/layer.tar", "a/layer.tar", b""));
    assert!(told(hard).contains("is a hard link"));
}

#[test]
fn every_document_has_the_digest_that_leads_to_it() {
    let files = plain();
    let entry = manifest_blob(&files);
    for (name, content) in &files.0 {
        let blob = name.starts_with("blobs/") && *name != layer_blob();
        if !blob || content.starts_with(b"layer") {
            continue;
        }
        for at in 0..content.len() {
            let (mut lying, mut bytes) = (files.clone(), content.clone());
            bytes[at] ^= 1;
            lying.bytes(name, &bytes);
            let told = told(open(&lying.tar()));
            assert!(told.contains("has the digest") && told.contains(name), "{told}");
        }
        let mut longer = files.clone();
        longer.bytes(name, &[content, &b" "[..]].concat());
        assert!(told(open(&longer.tar())).contains(" bytes, not "), "{entry}");
    }
    let mut longer = files.clone();
    longer.bytes(&layer_blob(), b"layer one!");
    assert!(told(open(&longer.tar())).contains("has 10 bytes, not 9"));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let host = Platform::host();
    let mut files = Files::layout();
    let config_of_two = files.json_blob(CONFIG, &config(&host, &["a", "b"]));
    let layer = files.blob(LAYER, b"a");
    let entry = files.json_blob(MANIFEST, &manifest(&config_of_two, std::slice::from_ref(&layer)));
    files.index(std::slice::from_ref(&entry));
    assert!(told(open(&files.tar())).contains("has 1 layers, and its configuration tells of 2"));

    let one = files.image(&["one"]);
    let two = files.image(&["two"]);
    let notes = [(SHORT, "x:1")];
    files.index(&[noted(one.clone(), &notes), noted(two, &notes)]);
    assert!(told(open(&files.tar())).contains("two manifests are for linux/"));

    let digest = Digest::sha256(b"another");
    files.index(&[noted(one.clone(), &[(FULL, &format!("x@{digest}"))])]);
    assert!(told(open(&files.tar())).contains("the image has another digest"));

    for name in ["x:", "../x:1", "UPPER/x:1", "x:y:z", "a b:1", "sha256:0"] {
        files.index(&[noted(one.clone(), &[(SHORT, name)])]);
        assert!(told(open(&files.tar())).contains("\"index.json\" names an image"), "{name}");
    }
    files.index(&[noted(one, &[(SHORT, "two words")])]);
    assert!(told(open(&files.tar())).contains("has the tag \"two words\", which is none"));

    let config = files.json_blob(CONFIG, &config(&Platform::new("windows", "amd64"), &[]));
    let entry = files.json_blob(MANIFEST, &manifest(&config, &[]));
    files.index(&[entry]);
    assert!(told(open(&files.tar())).contains("is for windows/amd64, not for linux/"));
}

#[test]
fn a_layer_elsewhere_is_not_fetched() {
    let mut files = Files::layout();
    let config = files.json_blob(CONFIG, &config(&Platform::host(), &["x"]));
    let mut layer = json!({
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": Digest::sha256(b"x"), "size": 1,
        "urls": ["http://127.0.0.1:1/x"],
    });
    let entry = files.json_blob(MANIFEST, &manifest(&config, std::slice::from_ref(&layer)));
    files.index(&[entry]);
    assert!(told(open(&files.tar())).contains("layers that may not be passed on are not fetched"));
    layer["mediaType"] = json!(LAYER);
    let entry = files.json_blob(MANIFEST, &manifest(&config, &[layer]));
    files.index(&[entry]);
    assert!(told(open(&files.tar())).contains("is missing"));
}

#[test]
fn what_is_too_much_is_refused_before_it_costs() {
    let mut files = plain();
    files.bytes("index.json", &vec![b' '; (4 << 20) + 1]);
    assert!(told(open(&files.tar())).contains("has 4194305 bytes, more than a document's 4194304"));

    let mut deep = Files::layout();
    let mut entry = deep.image(&["x"]);
    for _ in 0..9 {
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        entry = deep.json_blob(INDEX, &index);
    }
    deep.index(&[entry]);
    assert!(told(open(&deep.tar())).contains("more than 4 indexes within indexes"));

    // Each index lists the one below it many times over.
    let mut bush = Files::layout();
    let mut entry = bush.image(&["x"]);
    for _ in 0..4 {
        let index = json!({"schemaVersion": 2, "manifests": vec![entry; 100]});
        entry = bush.json_blob(INDEX, &index);
    }
    bush.index(&[entry]);
    assert!(told(open(&bush.tar())).contains("more than 2000 manifests"));

    let mut many = Files::layout();
    let config = many.json_blob(CONFIG, &config(&Platform::host(), &vec!["x"; 1001]));
    let layer = many.blob(LAYER, b"x");
    let entry = many.json_blob(MANIFEST, &manifest(&config, &vec![layer; 1001]));
    many.index(&[entry]);
    assert!(told(open(&many.tar())).contains("it has 1001 layers, more than 1000"));

    let mut writer = tar::Writer::new(Vec::new());
    for number in 0..150_000 {
        writer.file(&format!("{number}"), 0, &mut &b""[..]).unwrap();
    }
    writer.finish().unwrap();
    assert!(told(open(&writer.into_inner())).contains("bytes of names of members"));
}

#[test]
fn a_bomb_ends_long_before_its_budget() {
    let (spool, mut options) = options();
    options.limits.free_bytes = 1 << 20;
    for packed in [gzip(&vec![0; 32 << 20]), zstd(&vec![0; 32 << 20])] {
        let input = || Input::Reader(Box::new(Cursor::new(packed.clone())));
        let bomb = told(Archive::open(input(), &options));
        assert_eq!(bomb, "the stream has more than 200 bytes for each compressed one");
        options.limits.free_bytes = 32 << 20;
        assert!(told(Archive::open(input(), &options)).contains("nor an OCI layout"));
        options.limits.free_bytes = 1 << 20;
    }
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0);
}

#[test]
fn a_stream_that_is_cut_or_damaged_is_told() {
    let tar = plain().tar();
    for bytes in [&gzip(&tar), &zstd(&tar)] {
        for at in [4, bytes.len() / 2, bytes.len() - 1] {
            assert!(told(open(&bytes[..at])).contains("read the stream"));
        }
        let mut damaged = bytes.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        assert!(open(&damaged).is_err());
    }
    for at in (0..tar.len() - 1024).step_by(512) {
        let told = told(open(&tar[..at + 100]));
        assert!(told.contains("cut off"), "{at}: {told}");
    }
    // A window of 2 GiB, which one byte of the header asks for.
    let huge = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0];
    assert!(told(open(&huge)).contains("read the stream"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_change_of_an_archive_panics(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut tar = plain().tar();
        for (at, byte) in changes {
            let at = at.index(tar.len());
            tar[at] = byte;
        }
        if let Ok(images) = open(&tar) {
            prop_assert!(images.iter().all(|image| image.layers.len() == image.config.diff_ids.len()));
        }
    }
}
