//! What is saved is read back as the same.

use super::*;

fn two_images() -> Vec<ArchivedImage> {
    let mut files = Files::layout();
    let one = files.image(&["shared", "one"]);
    let two = files.image(&["shared", "two"]);
    files.index(&[
        noted(one.clone(), &[(SHORT, "a:1")]),
        noted(one, &[(SHORT, "r.io:5000/b/c:2")]),
        two,
    ]);
    open(&files.tar()).unwrap()
}

fn saved(images: &[ArchivedImage]) -> Vec<u8> {
    let mut bytes = Vec::new();
    save(images, Output::Writer(&mut bytes)).unwrap();
    bytes
}

fn same(read: &[ArchivedImage], images: &[ArchivedImage]) {
    assert_eq!(read.len(), images.len());
    for (read, image) in read.iter().zip(images) {
        assert_eq!(names(read), names(image));
        assert_eq!(read.manifest.bytes(), image.manifest.bytes());
        assert_eq!(read.config.bytes(), image.config.bytes());
        assert_eq!(contents(read), contents(image));
    }
}

#[test]
fn images_are_saved_and_read_back_as_file_and_directory() {
    let images = two_images();
    let bytes = saved(&images);
    assert_eq!(bytes, saved(&images));
    same(&open(&bytes).unwrap(), &images);
    let dir = TempDir::new().unwrap();
    let layout = dir.path().join("layout");
    save(&images, Output::Directory(&layout)).unwrap();
    same(&open_directory(&layout).unwrap(), &images);
    // What they share is there once: two manifests, two configurations, three layers.
    assert_eq!(fs::read_dir(layout.join("blobs/sha256")).unwrap().count(), 7);
    let again = save(&images, Output::Directory(&layout));
    assert!(told(again).contains("write an OCI layout in"));
}

#[test]
fn a_digest_in_a_name_is_not_made_a_tag() {
    let mut images = two_images();
    let digest = *images[1].manifest.digest();
    images[1].names = vec![format!("x@{digest}").parse().unwrap(), "y:1".parse().unwrap()];
    assert_eq!(names(&open(&saved(&images)).unwrap()[1]), ["y:1"]);
}

#[test]
fn a_layer_that_has_changed_is_told_and_not_passed_on_as_whole() {
    let mut images = two_images();
    let wanted = images[0].layers[1].descriptor.digest;
    images[0].layers[1].region = images[1].layers[1].region.clone();
    let told = told(save(&images, Output::Writer(&mut Vec::new())));
    assert!(told.starts_with(&format!("the blob {wanted} has changed")), "{told}");
}
