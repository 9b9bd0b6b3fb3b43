//! What `docker save` wrote over the years.

use super::*;

fn docker(files: &mut Files, layers: &[(&str, &[u8])], plain: &[&str], names: &[&str]) -> Value {
    let config = config(&Platform::host(), plain).to_string();
    let hex = Digest::sha256(config.as_bytes()).hex();
    files.bytes(&format!("{hex}.json"), config.as_bytes());
    for (name, content) in layers {
        files.bytes(name, content);
    }
    let layers: Vec<_> = layers.iter().map(|(name, _)| name).collect();
    json!({"Config": format!("{hex}.json"), "RepoTags": names, "Layers": layers})
}

#[test]
fn an_archive_of_the_old_form_is_read() {
    let mut files = Files::default();
    let layers = [("aa/layer.tar", &b"one"[..]), ("bb/layer.tar", b"two")];
    let entry = docker(&mut files, &layers, &["one", "two"], &["busybox:1", "r.io/x:2"]);
    files.put("manifest.json", &json!([entry]));
    files.put("repositories", &json!({"busybox": {"1": "bb"}}));
    let images = open(&files.tar()).unwrap();
    let [image] = &images[..] else { panic!("{images:?}") };
    assert_eq!(names(image), ["busybox:1", "r.io/x:2"]);
    assert_eq!(contents(image), ["one", "two"]);
    assert_eq!(image.layers[0].descriptor.digest, Digest::sha256(b"one"));
    assert_eq!(image.manifest.config.digest, *image.config.digest());
    assert_eq!(image.manifest.layers[1].size, 3);
    assert_eq!(open(&gzip(&files.tar())).unwrap()[0].manifest.digest(), image.manifest.digest());
    assert_eq!(names(&open_directory(files.directory().path()).unwrap()[0]), names(image));
}

#[test]
fn a_compressed_layer_has_the_digest_of_its_bytes() {
    for (packed, compression) in
        [(gzip(b"one"), Compression::Gzip), (zstd(b"one"), Compression::Zstd)]
    {
        let mut files = Files::default();
        let entry = docker(&mut files, &[("one.tar.any", &packed)], &["one"], &[]);
        files.put("manifest.json", &json!([entry]));
        let images = open(&files.tar()).unwrap();
        let layer = &images[0].layers[0];
        assert_eq!(layer.descriptor.digest, Digest::sha256(&packed));
        assert_eq!(layer.diff_id, Digest::sha256(b"one"));
        let wanted = MediaType::Layer(Family::Oci, compression);
        assert_eq!(layer.descriptor.media_type, wanted);
        assert!(images[0].names.is_empty());
    }
}

#[test]
fn a_configuration_has_the_digest_in_its_name_however_that_is_written() {
    let config = config(&Platform::host(), &[]).to_string();
    let digest = Digest::sha256(config.as_bytes());
    let other = Digest::sha256(b"other");
    for (name, lying) in [
        (format!("{}.json", digest.hex()), format!("{}.json", other.hex())),
        (digest.to_string(), other.to_string()),
        (layout::blob(&digest), layout::blob(&other)),
    ] {
        let mut files = Files::default();
        files.bytes(&name, config.as_bytes());
        files.put("manifest.json", &json!([{"Config": name, "Layers": null}]));
        assert_eq!(*open(&files.tar()).unwrap()[0].config.digest(), digest);
        files.bytes(&lying, config.as_bytes());
        files.put("manifest.json", &json!([{"Config": lying, "Layers": []}]));
        let told = told(open(&files.tar()));
        assert!(told.contains(&format!("{other} has the digest {digest}")), "{told}");
    }
    let mut files = Files::default();
    files.bytes("config.json", config.as_bytes());
    files.put("manifest.json", &json!([{"Config": "config.json", "Layers": []}]));
    assert_eq!(*open(&files.tar()).unwrap()[0].config.digest(), digest);
}

#[test]
fn names_of_the_same_image_come_together() {
    let mut files = Files::default();
    let one = docker(&mut files, &[("one", b"one")], &["one"], &["a:1"]);
    let again = docker(&mut files, &[("one", b"one")], &["one"], &["a:2", "a:1"]);
    files.put("manifest.json", &json!([one, again]));
    let images = open(&files.tar()).unwrap();
    assert_eq!((images.len(), names(&images[0])), (1, vec!["a:1".to_owned(), "a:2".to_owned()]));
}

/// An OCI layout with Docker's list, as Docker 25 and newer write it.
fn newer(names: &[&str]) -> (Files, Value) {
    let mut files = Files::layout();
    let entry = files.image(&["one", "two"]);
    let list = |digest: Digest| layout::blob(&digest);
    let config = Digest::sha256(config(&Platform::host(), &["one", "two"]).to_string().as_bytes());
    let saved = json!({
        "Config": list(config),
        "RepoTags": names,
        "Layers": [list(Digest::sha256(b"one")), list(Digest::sha256(b"two"))],
    });
    let full = [(FULL, "docker.io/library/busybox:1"), (SHORT, "1")];
    files.index(&[noted(entry, &full)]);
    (files, saved)
}

#[test]
fn an_archive_of_the_new_form_is_read_if_both_its_lists_agree() {
    let (mut files, saved) = newer(&["busybox:1", "more:2"]);
    files.put("manifest.json", &json!([saved]));
    let images = open(&files.tar()).unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!(names(&images[0]), ["busybox:1", "more:2"]);
    assert_eq!(contents(&images[0]), ["one", "two"]);
}

#[test]
fn an_archive_whose_two_lists_disagree_is_refused() {
    let (mut files, saved) = newer(&["busybox:1"]);
    let other = files.image(&["other"]);
    let config = Digest::sha256(config(&Platform::host(), &["other"]).to_string().as_bytes());
    let lying = json!({"Config": layout::blob(&config), "RepoTags": ["busybox:1"], "Layers": []});
    files.put("manifest.json", &json!([saved, lying]));
    assert!(told(open(&files.tar())).contains("manifest.json lists it, and index.json does not"));
    // The layout has the other image too, under another name.
    let first = files.image(&["one", "two"]);
    files.index(&[noted(first, &[(SHORT, "busybox:1")]), noted(other, &[(SHORT, "other:1")])]);
    let refusal = told(open(&files.tar()));
    assert!(refusal.contains("\"busybox:1\": the archive gives it to two images"), "{refusal}");
    files.put("manifest.json", &json!([{"Config": "config.json", "Layers": []}]));
    assert!(told(open(&files.tar())).contains("\"config.json\" is named by manifest.json"));
}
