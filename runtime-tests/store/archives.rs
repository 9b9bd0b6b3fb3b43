//! Every form of an archive gives the same image, and what is saved is loaded again.

use hotcell::image::archive::{Output, save};
use hotcell::image::store::Removal;

use super::{disk, entries, load, open, whole};
use crate::bed::Bed;
use crate::host::image;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(every_form_of_an_image_is_the_same_image, Images),
        test!(what_is_saved_is_loaded_again_as_the_same, Images),
        test!(a_start_from_many_layers_mounts_few, Images),
    ]
}

/// In groups whose compression is the same: only these have the same blobs.
const FORMS: [&str; 11] = [
    "docker.tar",
    "docker.tar.gz",
    "docker.tar.zst",
    "docker25.tar",
    "oci",
    "oci-plain",
    "oci-zstd",
    "oci.tar",
    "oci.tar.gz",
    "oci.tar.zst",
    "oci",
];

fn every_form_of_an_image_is_the_same_image(_: &Bed) {
    for name in ["busybox", "layers"] {
        let at = disk();
        let store = open(&at.path().join("store"));
        let mut lowers = Vec::new();
        for form in FORMS {
            let loaded = load(&store, &image(name, form));
            assert_eq!(loaded.len(), 1, "{name} {form}");
            lowers.push(loaded[0].lowers());
        }
        // Docker's old form and OCI's have the same layers, whatever their blobs are.
        assert!(lowers.windows(2).all(|two| two[0] == two[1]), "{lowers:?}");
        whole(&store);
        drop(store);
    }
}

fn what_is_saved_is_loaded_again_as_the_same(_: &Bed) {
    let at = disk();
    let store = open(&at.path().join("store"));
    let other = open(&at.path().join("other"));
    let first = load(&store, &image("layers", "oci")).remove(0);
    let layout = at.path().join("layout");
    let name = "saved:again".parse().unwrap();
    let archived = first.archived(vec![name]).unwrap();
    save(&[archived], Output::Directory(&layout)).unwrap();
    let again = load(&other, &layout).remove(0);
    assert_eq!((again.id(), again.manifest()), (first.id(), first.manifest()));
    assert_eq!(again.names().unwrap(), ["saved:again".parse().unwrap()]);
    drop(again);
    other.remove("saved:again", Removal::Careful).unwrap();
    for dir in ["layers", "images", "names", "blobs/sha256"] {
        assert_eq!(entries(&other.dir().join(dir)), [""; 0], "{dir}");
    }
}

fn a_start_from_many_layers_mounts_few(_: &Bed) {
    let at = disk();
    let store = open(&at.path().join("store"));
    let image = load(&store, &image("hundred", "docker.tar")).remove(0);
    let lowers = image.lowers();
    assert!(image.blobs().len() >= 100 && lowers.names.len() <= 8, "{lowers:?}");
    assert!(lowers.names.iter().all(|name| lowers.dir.join(name).is_dir()));
    whole(&store);
}
