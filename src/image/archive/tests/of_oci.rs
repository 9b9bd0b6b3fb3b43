//! OCI layouts, in every form they come in.

use super::*;

#[test]
fn a_layout_is_the_same_as_directory_file_and_stream_plain_and_compressed() {
    let files = plain();
    let dir = files.directory();
    let tar = files.tar();
    let mut all = vec![open_directory(dir.path()).unwrap()];
    for bytes in [tar.clone(), gzip(&tar), zstd(&tar)] {
        all.push(open(&bytes).unwrap());
        let file = dir.path().join(format!("archive-{}.tar", all.len()));
        fs::write(&file, &bytes).unwrap();
        all.push(open_directory(&file).unwrap());
    }
    assert_eq!(all.len(), 7);
    for images in &all {
        let [image] = &images[..] else { panic!("{images:?}") };
        assert_eq!(names(image), ["busybox:1"]);
        assert_eq!(contents(image), ["layer one", "layer two"]);
        assert_eq!(image.manifest.digest(), all[0][0].manifest.digest());
        assert_eq!(image.layers[1].diff_id, Digest::sha256(b"layer two"));
        assert_eq!(image.layers[1].descriptor.digest, Digest::sha256(b"layer two"));
    }
}

#[test]
fn what_was_spooled_has_no_name_and_counts_against_its_limit() {
    let (spool, mut options) = options();
    let tar = plain().tar();
    for bytes in [tar.clone(), gzip(&tar), zstd(&tar)] {
        options.spool_limit = tar.len() as u64;
        let input = || Input::Reader(Box::new(Cursor::new(bytes.clone())));
        let archive = Archive::open(input(), &options).unwrap();
        assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0);
        assert_eq!(contents(&archive.images()[0]), ["layer one", "layer two"]);
        options.spool_limit -= 1;
        let told = told(Archive::open(input(), &options));
        assert_eq!(told, format!("the stream has more than {} bytes", tar.len() - 1));
    }
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_a_pipe_is_read_as_a_stream() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let (path, tar) = (fifo.clone(), plain().tar());
    let writer = std::thread::spawn(move || fs::write(path, tar).unwrap());
    let (_spool, options) = options();
    let archive = Archive::open(Input::path(&fifo), &options).unwrap();
    assert_eq!(contents(&archive.images()[0]), ["layer one", "layer two"]);
    writer.join().unwrap();
}

#[test]
fn names_as_tar_writes_them_are_the_same_names() {
    let mut dotted = Files::default();
    for (name, content) in plain().0 {
        dotted.bytes(&format!("./{name}"), &content);
    }
    assert_eq!(names(&open(&dotted.tar()).unwrap()[0]), ["busybox:1"]);
}

#[test]
fn an_image_has_the_names_that_its_entries_say() {
    let mut files = Files::layout();
    let one = files.image(&["one"]);
    let two = files.image(&["two"]);
    let digest = one["digest"].as_str().unwrap().to_owned();
    files.index(&[
        noted(one.clone(), &[(FULL, "docker.io/library/a:1"), (SHORT, "1")]),
        noted(one.clone(), &[(SHORT, "r.io/b:2")]),
        noted(one.clone(), &[(SHORT, "latest")]),
        noted(one.clone(), &[(FULL, &format!("a@{digest}"))]),
        one,
        noted(two, &[("other", "x")]),
    ]);
    let images = open(&files.tar()).unwrap();
    assert_eq!(images.len(), 2);
    assert_eq!(names(&images[0]), ["a:1", "r.io/b:2", &format!("a@{digest}")]);
    assert_eq!(images[0].tags, ["latest"]);
    assert!(images[1].names.is_empty() && images[1].tags.is_empty());
}

fn many_platforms(files: &mut Files) -> Value {
    let mut entries = Vec::new();
    for (os, architecture, variant, layer) in [
        ("linux", "arm64", "v8", "for arm64"),
        ("linux", "amd64", "", "for amd64"),
        ("linux", "amd64", "v3", "for amd64 v3"),
        ("windows", "amd64", "", "for windows"),
    ] {
        let platform = Platform::new(os, architecture);
        entries.push(on(files.image_for(&platform, &[layer]), os, architecture, variant));
    }
    // What builders put beside an image.
    entries.push(on(files.json_blob(MANIFEST, &json!({"any": "thing"})), "unknown", "unknown", ""));
    files.json_blob(INDEX, &json!({"schemaVersion": 2, "manifests": entries}))
}

#[test]
fn of_many_platforms_the_asked_one_is_taken() {
    let mut files = Files::layout();
    let index = many_platforms(&mut files);
    files.index(&[noted(index, &[(SHORT, "many:1")])]);
    let tar = files.tar();
    let pick = |os: &str, architecture: &str, variant: &str| {
        let (_spool, mut options) = options();
        options.platform = Platform::new(os, architecture);
        options.platform.variant = variant.to_owned();
        let archive = Archive::open(Input::Reader(Box::new(Cursor::new(tar.clone()))), &options);
        archive.map(|archive| contents(&archive.images()[0]).concat())
    };
    assert_eq!(pick("linux", "amd64", "").unwrap(), "for amd64");
    assert_eq!(pick("linux", "amd64", "v3").unwrap(), "for amd64 v3");
    assert_eq!(pick("linux", "amd64", "v2").unwrap(), "for amd64");
    assert_eq!(pick("linux", "arm64", "").unwrap(), "for arm64");
    let told = told(pick("linux", "s390x", ""));
    assert_eq!(
        told,
        "the image \"many:1\" is for linux/amd64, linux/amd64/v3, linux/arm64/v8, windows/amd64, \
         not for linux/s390x"
    );
}

#[test]
fn platforms_that_an_archive_lacks_are_passed_over() {
    let mut files = Files::layout();
    let host = Platform::host();
    let own = on(files.image(&["own"]), &host.os, &host.architecture, "");
    let absent = json!({"mediaType": MANIFEST, "digest": Digest::sha256(b"?"), "size": 9});
    let absent = on(absent, "linux", "s390x", "");
    let index = json!({"schemaVersion": 2, "manifests": [absent, own]});
    let index = files.json_blob(INDEX, &index);
    files.index(&[index]);
    assert_eq!(contents(&open(&files.tar()).unwrap()[0]), ["own"]);
}

#[test]
fn entries_of_one_name_are_one_image_for_many_platforms() {
    for notes in [&[(SHORT, "x:1")][..], &[]] {
        let mut files = Files::layout();
        let host = Platform::host();
        let own = on(files.image(&["own"]), &host.os, &host.architecture, "");
        let other = files.image_for(&Platform::new("linux", "s390x"), &["other"]);
        let other = on(other, "linux", "s390x", "");
        files.index(&[noted(other, notes), noted(own, notes)]);
        let images = open(&files.tar()).unwrap();
        assert_eq!((images.len(), contents(&images[0])), (1, vec!["own".to_owned()]));
    }
}

#[test]
fn a_member_beyond_what_a_header_can_say_has_an_extended_header() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("large.tar");
    let mut file = fs::File::create(&path).unwrap();
    let len: u64 = 9 << 30;
    let mut writer = tar::Writer::new(&mut file);
    writer.start("large", len).unwrap();
    let at = file.metadata().unwrap().len();
    file.set_len(at + len + 1024).unwrap();
    let region = Region::whole(fs::File::open(&path).unwrap()).unwrap();
    let members = tar::list(&region, &path).unwrap();
    assert_eq!(members["large"], members::Member::File { offset: at, len });
}
