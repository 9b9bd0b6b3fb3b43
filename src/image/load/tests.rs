//! Loads of images that are not what they promise, of several at once, and what is told meanwhile.

use std::io::Write;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::{Arriving, Incoming, LoadError, LoadOptions, Lost, Origin, Piece, Progress};
use crate::image::Digest;
use crate::image::archive::ArchivedImage;
use crate::image::store::Image;
use crate::image::store::scene::{Scene, archived, incoming, piece, tar};
use crate::image::store::staging::name_record;
use crate::image::store::tests::{many, nothing_but_directories, one};
use crate::unpoisoned::lock;

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

/// A blob that somebody else writes: how much of it is there, and whether more will be.
#[derive(Default)]
struct Guest {
    state: Mutex<(u64, Option<bool>)>,
    moved: Condvar,
}

impl Guest {
    fn set(&self, bytes: u64, end: Option<bool>) {
        *lock(&self.state) = (bytes, end);
        self.moved.notify_all();
    }

    fn until<T>(&self, done: impl Fn(u64, Option<bool>) -> Option<T>) -> T {
        let mut state = lock(&self.state);
        loop {
            match done(state.0, state.1) {
                Some(done) => return done,
                None => state = self.moved.wait(state).unwrap(),
            }
        }
    }
}

impl Arriving for Guest {
    fn wait(&self, seen: u64) -> Result<u64, Lost> {
        self.until(|bytes, end| match end {
            Some(false) => Some(Err(Lost)),
            _ => (bytes > seen).then_some(Ok(bytes)),
        })
    }

    fn whole(&self) -> Result<(), Lost> {
        self.until(|_, end| end.map(|whole| if whole { Ok(()) } else { Err(Lost) }))
    }

    fn give_up(&self) -> bool {
        let (bytes, end) = *lock(&self.state);
        self.set(bytes, Some(false));
        end != Some(false)
    }
}

/// Takes an image of one layer whose blob comes in pieces, of which the last ends it so.
fn arrives(
    scene: &Scene,
    image: &ArchivedImage,
    blob: &[u8],
    end: bool,
) -> Result<Image, LoadError> {
    let (manifest, config, layer) = (&image.manifest, &image.config, &image.layers[0]);
    let guest = Guest::default();
    let piece = Piece {
        diff_id: layer.diff_id,
        blob: layer.descriptor.digest,
        bytes: layer.descriptor.size,
        origin: Origin::Arriving(&guest),
    };
    let mut staged = scene.store.begin()?;
    assert_eq!(scene.store.wanted(&mut staged, manifest, config)?, [true]);
    let mut file = staged.new_blob(&layer.descriptor.digest)?;
    let name = name_record(&image.names[0], *config.digest(), *manifest.digest())?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut come = 0;
            for piece in blob.chunks(blob.len().div_ceil(4)) {
                file.write_all(piece).unwrap();
                come += piece.len() as u64;
                std::thread::sleep(Duration::from_millis(5));
                if lock(&guest.state).1.is_none() {
                    guest.set(come, None);
                }
            }
            if lock(&guest.state).1.is_none() {
                guest.set(come, Some(end));
            }
        });
        let incoming = Incoming { manifest, config, pieces: vec![piece] };
        let taken = scene.store.take_all(staged, vec![name], &[incoming], &LoadOptions::default());
        taken.map(|mut images| images.remove(0))
    })
}

#[test]
fn a_layer_is_unpacked_while_its_blob_comes() {
    let scene = Scene::new();
    let layers = one("one");
    let image = incoming("image", &layers);
    let loaded = arrives(&scene, &image, &tar(&layers[0]), true).unwrap();
    assert_eq!(scene.store.resolve("image").unwrap().unwrap().id(), loaded.id());
    assert_eq!(scene.list("blobs/sha256").len(), 3);
    let mut staged = scene.store.begin().unwrap();
    let wanted = scene.store.wanted(&mut staged, &image.manifest, &image.config).unwrap();
    assert_eq!(wanted, [false], "both are there, blob and layer");
}

#[test]
fn a_blob_that_does_not_come_or_is_no_layer_leaves_nothing() {
    let scene = Scene::new();
    let layers = one("one");
    let image = incoming("image", &layers);
    let whole = tar(&layers[0]);
    // Cut off in the middle, or all there and another after all.
    for blob in [&whole[..700], &whole[..]] {
        let lost = arrives(&scene, &image, blob, false).unwrap_err();
        assert!(matches!(lost, LoadError::Lost { .. }), "{lost:?}");
        nothing_but_directories(&scene);
    }
    let nonsense = vec![b'?'; whole.len()];
    let wrong = arrives(&scene, &image, &nonsense, true).unwrap_err();
    assert!(matches!(wrong, LoadError::Layer { .. }), "{wrong:?}");
    nothing_but_directories(&scene);
}
