//! Loads of images that are not what they promise, of several at once, and what is told meanwhile.

use super::{LoadError, LoadOptions, Progress};
use crate::image::Digest;
use crate::image::store::scene::{Scene, archived, incoming, piece, tar};
use crate::image::store::tests::{many, nothing_but_directories, one};

#[test]
fn a_layer_that_is_not_what_it_was_said_to_be_is_refused() {
    let scene = Scene::new();
    let layers = many(2);
    for part in ["blob", "content", "size", "end"] {
        let mut image = incoming("image", &layers);
        let top = &mut image.layers[1];
        match part {
            "blob" => top.descriptor.digest = Digest::sha256(b"other"),
            "content" => top.diff_id = Digest::sha256(b"other"),
            "size" => top.descriptor.size += 1,
            _ => {
                top.descriptor.size += 1;
                top.region.len += 1;
            }
        }
        let staged = scene.store.begin().unwrap();
        let refused = scene.store.take_in(staged, &[image], &LoadOptions::default()).unwrap_err();
        match (part, &refused) {
            ("end", LoadError::Copy { .. }) | ("size", LoadError::Size { .. }) => {}
            ("blob" | "content", LoadError::Digest { .. }) => {}
            _ => panic!("{part}: {refused:?}"),
        }
        nothing_but_directories(&scene);
    }
}

#[test]
fn another_form_of_a_layer_that_is_there_is_looked_at_before_it_is_taken() {
    let scene = Scene::new();
    let layers = one("one");
    scene.load("image", &layers);
    let mut longer = tar(&layers[0]);
    longer.resize(longer.len() + 512, 0);
    let lie = |blob: &[u8]| {
        let mut layer = piece(blob);
        layer.diff_id = Digest::sha256(&tar(&layers[0]));
        let image = archived("other", vec![layer]);
        let staged = scene.store.begin().unwrap();
        scene.store.take_in(staged, &[image], &LoadOptions::default())
    };
    assert!(matches!(lie(&longer), Err(LoadError::Digest { .. })));
    assert!(matches!(lie(b"no archive"), Err(LoadError::Layer { .. })));
    assert_eq!((scene.list("images").len(), scene.list("work")), (1, vec![]));
}

#[test]
fn a_layer_of_another_form_that_holds_something_else_is_not_shared() {
    let scene = Scene::new();
    let layers = one("one");
    scene.load("image", &layers);
    // What a process that was taken over could have made under this layer's name.
    let [layer] = &scene.list("layers")[..] else { panic!("one layer") };
    let file = scene.store.dir().join("layers").join(layer).join("fs/etc/name");
    let times = std::fs::metadata(&file).unwrap().modified().unwrap();
    let size = std::fs::metadata(&file).unwrap().len() as usize;
    std::fs::write(&file, vec![b'!'; size]).unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(times).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &tar(&layers[0])).unwrap();
    let mut layer = piece(&packed.finish().unwrap());
    layer.diff_id = Digest::sha256(&tar(&layers[0]));
    let staged = scene.store.begin().unwrap();
    let image = archived("other", vec![layer]);
    let refused = scene.store.take_in(staged, &[image], &LoadOptions::default()).unwrap_err();
    assert!(matches!(refused, LoadError::Differs { .. }), "{refused:?}");
    assert!(scene.store.resolve("other").unwrap().is_none());
}

#[test]
fn a_load_tells_what_it_unpacks_and_what_was_there() {
    let scene = Scene::new();
    let told = std::cell::RefCell::new(String::new());
    let listener = |progress: Progress| {
        told.borrow_mut().push(match progress {
            Progress::There(_) => 't',
            Progress::Unpacking(_) => 'u',
            Progress::Unpacked(_) => 'd',
            Progress::Committing => 'c',
        })
    };
    let options = LoadOptions { progress: Some(&listener), ..LoadOptions::default() };
    let long = many(3);
    for (layers, expected) in [(&long[..2], "ududc"), (&long[..], "ttudc"), (&long[..], "tttc")] {
        let staged = scene.store.begin().unwrap();
        let image = incoming(&format!("image:{}", layers.len()), layers);
        scene.store.take_in(staged, &[image], &options).unwrap();
        assert_eq!(told.take(), expected);
    }
}

#[test]
fn images_of_one_archive_share_their_layers_and_come_all_or_none() {
    let scene = Scene::new();
    let long = many(11);
    let images = [incoming("long", &long), incoming("short", &long[..9])];
    let staged = scene.store.begin().unwrap();
    let loaded = scene.store.take_in(staged, &images, &LoadOptions::default()).unwrap();
    assert_eq!((loaded.len(), scene.list("layers").len()), (2, 12));
    let mut images = [incoming("third", &long[..3]), incoming("fourth", &long[..4])];
    images[1].layers[3].descriptor.digest = Digest::sha256(b"other");
    let staged = scene.store.begin().unwrap();
    let refused = scene.store.take_in(staged, &images, &LoadOptions::default());
    assert!(
        matches!(refused, Err(LoadError::Copy { .. } | LoadError::Digest { .. })),
        "{refused:?}"
    );
    assert!(scene.store.resolve("third").unwrap().is_none());
}
