//! The store on a real directory: what can be seen, what stays, what goes, and who may look.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::mark::Mark;
use super::names::KnownName;
use super::scene::{Files, Scene, files, load};
use super::{Error, Prune, Removal, Store, StoreOptions, Taken};
use crate::image::load::LoadError;

pub(in crate::image) fn one(text: &'static str) -> Vec<Files> {
    vec![files([("etc/name", text)])]
}

/// Many layers: each writes its number, and its own file.
pub(in crate::image) fn many(count: usize) -> Vec<Files> {
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let layer = |number: usize| {
        let own = leak(format!("d/{number}"));
        files([("top", leak(number.to_string())), (own, "")])
    };
    (0..count).map(layer).collect()
}

pub(in crate::image) fn nothing_but_directories(scene: &Scene) {
    for dir in ["blobs/sha256", "blobs/sha512", "layers", "images", "names", "work", "trash"] {
        assert_eq!(scene.list(dir), [""; 0], "{dir}");
    }
}

#[test]
fn a_name_leads_to_its_image_by_every_form_of_it() {
    let scene = Scene::new();
    let image = scene.load("busybox:v1", &one("one"));
    let (id, manifest) = (image.id(), image.manifest());
    for text in [
        "busybox:v1".to_owned(),
        "docker.io/library/busybox:v1".to_owned(),
        format!("busybox@{manifest}"),
        format!("busybox:other@{manifest}"),
        id.to_string(),
        id.hex(),
    ] {
        let found = scene.again().resolve(&text).unwrap();
        assert_eq!(found.map(|image| image.id()), Some(id), "{text}");
    }
    for text in ["busybox".to_owned(), format!("other@{manifest}"), manifest.to_string()] {
        assert!(scene.store.resolve(&text).unwrap().is_none(), "{text}");
    }
    assert!(matches!(scene.store.resolve("no name"), Err(Error::Reference(_))));
    for text in [&id.hex()[..7], &format!("sha256:{}", &id.hex()[..12]), "busybox:v1"] {
        assert_eq!(scene.store.find(text).unwrap().id(), id, "{text}");
    }
    assert!(matches!(scene.store.find("fffffffff"), Err(Error::NotFound(_))));
    assert_eq!(image.names().unwrap(), ["busybox:v1".parse().unwrap()]);
}

#[test]
fn an_identifier_that_two_images_start_with_is_refused() {
    let scene = Scene::new();
    for number in 0..17 {
        scene.load(&format!("image:{number}"), &many(number));
    }
    let mut firsts: Vec<_> = scene
        .store
        .place()
        .image_ids()
        .unwrap()
        .iter()
        .map(|id| id.hex()[..1].to_owned())
        .collect();
    firsts.sort();
    let twice = firsts.windows(2).find(|two| two[0] == two[1]).unwrap();
    assert!(matches!(scene.store.find(&twice[0]), Err(Error::Ambiguous(_))));
    let removed = scene.store.remove(&twice[0], Removal::Careful);
    assert!(matches!(removed, Err(Error::Ambiguous(_))), "{removed:?}");
}

#[test]
fn a_start_mounts_at_most_eight_and_sees_every_layer() {
    let scene = Scene::new();
    for (layers, mounted) in [(0, 1), (1, 1), (8, 8), (9, 2), (15, 8), (16, 1), (100, 5)] {
        let lowers = scene.load("image", &many(layers)).lowers();
        assert_eq!(lowers.names.len(), mounted, "{layers} layers");
        let trees: Vec<_> = lowers.names.iter().map(|name| lowers.dir.join(name)).collect();
        assert!(trees.iter().all(|tree| tree.is_dir()));
        // As an overlay looks them up: the topmost that has it.
        let find = |name: &str| trees.iter().map(|tree| tree.join(name)).find(|it| it.exists());
        if layers > 0 {
            let top = std::fs::read_to_string(find("top").unwrap()).unwrap();
            assert_eq!(top, (layers - 1).to_string());
        }
        assert!((0..layers).all(|number| find(&format!("d/{number}")).is_some()));
    }
}

#[test]
fn layers_that_images_share_are_there_once() {
    let scene = Scene::new();
    let long = many(20);
    let (first, second) = (scene.load("first", &long[..19]), scene.load("second", &long));
    assert_eq!(scene.list("layers").len(), 20 + 1, "twenty layers, and sixteen of them merged");
    assert_eq!(first.lowers().names.last(), second.lowers().names.last());
    drop((first, second));
    scene.store.remove("second", Removal::Careful).unwrap();
    assert_eq!(scene.list("layers").len(), 19 + 1);
    scene.store.remove("first", Removal::Careful).unwrap();
    nothing_but_directories(&scene);
}

#[test]
fn what_is_in_use_stays_until_nobody_uses_it() {
    let scene = Scene::new();
    let image = scene.load("image", &one("one"));
    let other = scene.again();
    for store in [&scene.store, &other] {
        let refused = store.remove("image", Removal::Careful);
        assert!(matches!(refused, Err(Error::InUse(id)) if id == image.id()), "{refused:?}");
    }
    let clone = image.clone();
    drop(image);
    assert_eq!(other.prune(Prune::Unused).unwrap().deleted, []);
    let forced = other.remove("image", Removal::Forced).unwrap();
    assert_eq!((forced.untagged.len(), forced.deleted.len()), (1, 0));
    assert!(other.resolve("image").unwrap().is_none());
    assert_eq!(other.prune(Prune::Nameless).unwrap().deleted, []);
    let lowers = clone.lowers();
    assert!(lowers.dir.join(&lowers.names[0]).join("etc/name").exists());
    let id = clone.id();
    drop(clone);
    assert_eq!(other.prune(Prune::Nameless).unwrap().deleted, [id]);
    nothing_but_directories(&scene);
}

#[test]
fn the_last_name_takes_the_image_with_it_and_no_name_before() {
    let scene = Scene::new();
    let image = scene.load("image:a", &one("one"));
    let id = image.id();
    for name in ["image:b", "elsewhere.org/image:a"] {
        scene.store.tag(&image, &name.parse().unwrap(), Taken::Refused).unwrap();
    }
    assert_eq!(image.names().unwrap().len(), 3);
    drop(image);
    let several = scene.store.remove(&id.to_string(), Removal::Careful);
    assert!(matches!(several, Err(Error::SeveralNames { count: 3, .. })), "{several:?}");
    for name in ["image:a", "image:b"] {
        let removed = scene.store.remove(name, Removal::Careful).unwrap();
        assert_eq!((removed.untagged.len(), removed.deleted.len()), (1, 0), "{name}");
        assert!(scene.store.resolve(name).unwrap().is_none());
    }
    let removed = scene.store.remove(&id.hex()[..10], Removal::Careful).unwrap();
    assert_eq!((removed.untagged.len(), removed.deleted), (1, vec![id]));
    assert!(removed.bytes > 0);
    nothing_but_directories(&scene);
    let gone = scene.store.remove(&id.to_string(), Removal::Careful);
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
}

#[test]
fn a_name_moves_only_when_that_is_wanted() {
    let scene = Scene::new();
    let first = scene.load("image", &one("one"));
    let refused = load(&scene.store, "image", &one("two"), Taken::Refused).unwrap_err();
    let refused = of_store(refused);
    assert!(matches!(refused, Error::NameTaken { image, .. } if image == first.id()));
    assert_eq!(scene.list("images").len(), 1);
    // The same image again is nothing new.
    load(&scene.store, "image", &one("one"), Taken::Refused).unwrap();
    let second = load(&scene.store, "image", &one("two"), Taken::Replaced).unwrap();
    assert_eq!(scene.store.resolve("image").unwrap().unwrap().id(), second.id());
    assert_eq!(first.names().unwrap(), []);
    let name = "image".parse().unwrap();
    let refused = scene.store.tag(&first, &name, Taken::Refused).unwrap_err();
    assert!(matches!(refused, Error::NameTaken { .. }));
    scene.store.tag(&first, &name, Taken::Replaced).unwrap();
    assert_eq!(scene.again().resolve("image").unwrap().unwrap().id(), first.id());
    let digest = format!("image@{}", second.manifest()).parse().unwrap();
    assert!(matches!(scene.store.tag(&first, &digest, Taken::Refused), Err(Error::NoTag(_))));
    let own = format!("other@{}", first.manifest());
    scene.store.tag(&first, &own.parse().unwrap(), Taken::Refused).unwrap();
    assert_eq!(scene.again().resolve(&own).unwrap().unwrap().id(), first.id());
    assert_eq!(first.names().unwrap().len(), 2);
    scene.store.remove(&own, Removal::Careful).unwrap();
    assert_eq!(first.names().unwrap().len(), 1);
}

/// One store reads a name; what becomes of it is another's doing.
#[test]
fn a_name_that_was_read_is_read_again_when_it_is_changed() {
    let scene = Scene::new();
    let (two, one) = (scene.load("two", &one("two")), scene.load("one", &one("one")));
    let path = scene.store.place().name("docker.io/library/name:latest");
    let know = || {
        // As if it had been read some time ago.
        let (path, image) = (path.clone(), one.id());
        let mark = Mark::at(&path).unwrap().unwrap();
        scene.store.know("name", KnownName { path, mark, image });
    };
    let found = || scene.store.resolve("name").map(|found| found.map(|image| image.id()));
    let (name, other) = ("name".parse().unwrap(), scene.again());
    other.tag(&one, &name, Taken::Refused).unwrap();
    know();
    assert_eq!(found().unwrap(), Some(one.id()));
    other.tag(&two, &name, Taken::Replaced).unwrap();
    assert_eq!(found().unwrap(), Some(two.id()));
    other.tag(&one, &name, Taken::Replaced).unwrap();
    know();
    std::fs::write(&path, "damaged").unwrap();
    assert!(matches!(found(), Err(Error::Damaged { .. })));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(found().unwrap(), None);
}

#[test]
fn a_list_has_every_whole_image_with_its_names() {
    let scene = Scene::new();
    let (first, second) = (scene.load("first", &one("one")), scene.load("second", &many(3)));
    scene.store.tag(&first, &"again:v2".parse().unwrap(), Taken::Refused).unwrap();
    let damaged = scene.load("damaged", &one("three"));
    std::fs::write(scene.store.place().image(&damaged.id()), "").unwrap();
    let images = scene.again().images().unwrap();
    let find = |id| images.iter().find(|image| image.id == id).unwrap();
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>();
    assert_eq!(images.len(), 2);
    assert_eq!(find(first.id()).names, names(&["again:v2", "first"]));
    assert_eq!((find(second.id()).layers, find(second.id()).size), (3, second.size()));
    assert_eq!(find(second.id()).loaded, second.loaded());
}

#[test]
fn one_who_uses_an_image_many_times_has_one_lease() {
    let scene = Scene::new();
    let _image = scene.load("image", &one("one"));
    let open = || {
        std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let target = std::fs::read_link(entry.path()).ok()?;
                target.starts_with(scene.store.dir()).then_some(())
            })
            .count()
    };
    let before = open();
    let images: Vec<_> = (0..50).map(|_| scene.store.resolve("image").unwrap().unwrap()).collect();
    assert_eq!((open(), images.len()), (before, 50));
}

#[test]
fn a_load_that_fails_or_is_dropped_leaves_nothing() {
    let scene = Scene::new();
    let staged = scene.store.begin().unwrap();
    staged.new_tree(&super::place::Key::Empty).unwrap();
    assert_eq!(scene.list("work").len(), 1);
    // Somebody who opens meanwhile leaves it alone.
    drop(scene.again());
    assert_eq!(scene.list("work").len(), 1);
    drop(staged);
    nothing_but_directories(&scene);
}

#[test]
fn what_killed_loads_left_goes_when_the_store_is_opened() {
    let scene = Scene::new();
    let image = scene.load("image", &one("one"));
    for dir in ["work/0123456789abcdef/layers/x/fs/deep", "trash/0123456789abcdef"] {
        std::fs::create_dir_all(scene.store.dir().join(dir)).unwrap();
    }
    std::fs::write(scene.store.dir().join("work/draft"), "").unwrap();
    drop(scene.again());
    assert_eq!((scene.list("work"), scene.list("trash")), (Vec::new(), Vec::new()));
    assert_eq!(scene.store.resolve("image").unwrap().unwrap().id(), image.id());
}

#[test]
fn layers_and_blobs_that_no_image_needs_go_with_the_next_removal() {
    let scene = Scene::new();
    scene.load("image", &one("one"));
    let layer = scene.list("layers").remove(0);
    // As if a kill had come before the image's record was in place.
    std::fs::remove_file(scene.store.dir().join("images").join(scene.list("images").remove(0)))
        .unwrap();
    assert!(scene.store.resolve("image").unwrap().is_none());
    let image = scene.load("other", &one("one"));
    assert_eq!(scene.list("layers"), [layer]);
    drop(image);
    let removed = scene.store.prune(Prune::Unused).unwrap();
    assert_eq!(removed.deleted.len(), 1);
    // A name that leads nowhere is taken away like others.
    scene.load("third", &one("two"));
    scene.store.prune(Prune::Unused).unwrap();
    nothing_but_directories(&scene);
}

#[test]
fn a_damaged_image_is_told_and_loading_it_again_repairs_it() {
    let scene = Scene::new();
    let id = scene.load("image", &one("one")).id();
    let store = scene.store.dir().to_owned();
    let key = scene.list("layers").remove(0);
    let record = store.join("images").join(scene.list("images").remove(0));
    let config = store.join("blobs/sha256").join(id.hex());
    let damage: [(&str, &dyn Fn()); 6] = [
        ("a cut record", &|| std::fs::write(&record, "sha256:").unwrap()),
        ("no configuration", &|| std::fs::remove_file(&config).unwrap()),
        ("another configuration", &|| std::fs::write(&config, "{}").unwrap()),
        ("no layer", &|| std::fs::remove_dir_all(store.join("layers").join(&key)).unwrap()),
        ("no tree", &|| {
            std::fs::remove_dir_all(store.join("layers").join(&key).join("fs")).unwrap()
        }),
        ("a link for a record", &|| {
            std::fs::remove_file(&record).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", &record).unwrap();
        }),
    ];
    for (what, damage) in damage {
        damage();
        let found = scene.again().resolve("image");
        assert!(matches!(found, Err(Error::Damaged { .. })), "{what}: {found:?}");
        assert_eq!(scene.load("image", &one("one")).id(), id, "{what}");
        let image = scene.again().resolve("image").unwrap().unwrap();
        let lowers = image.lowers();
        assert!(lowers.dir.join(&lowers.names[0]).join("etc/name").exists(), "{what}");
    }
    scene.store.remove("image", Removal::Careful).unwrap();
    nothing_but_directories(&scene);
}

#[test]
fn nothing_is_collected_as_long_as_a_used_image_can_not_say_what_it_needs() {
    let scene = Scene::new();
    let image = scene.load("image", &one("one"));
    scene.load("other", &one("two"));
    let record = scene.store.place().image(&image.id());
    let sound = std::fs::read(&record).unwrap();
    std::fs::write(&record, "damage").unwrap();
    scene.store.remove("other", Removal::Careful).unwrap();
    assert_eq!(scene.list("layers").len(), 2);
    std::fs::write(&record, sound).unwrap();
    scene.store.prune(Prune::Nameless).unwrap();
    assert_eq!(scene.list("layers").len(), 1);
}

#[test]
fn a_directory_that_is_not_a_store_is_left_alone() {
    let at = tempfile::tempdir().unwrap();
    let open = |dir: &Path| Store::open(dir, StoreOptions::default());
    let dir = at.path().join("mine");
    std::fs::create_dir(&dir).unwrap();
    let mode = |mode| std::fs::set_permissions(&dir, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o755);
    assert!(matches!(open(&dir), Err(Error::Unsafe { .. })));
    mode(0o700);
    std::fs::create_dir_all(dir.join("work/kept")).unwrap();
    assert!(matches!(open(&dir), Err(Error::Unsafe { .. })));
    assert!(dir.join("work/kept").exists());
    std::fs::remove_dir_all(dir.join("work")).unwrap();
    std::fs::write(dir.join(".format-0123"), "hot").unwrap();
    drop(open(&dir).unwrap());
    std::fs::write(dir.join("format"), "hotcell images 2\n").unwrap();
    assert!(matches!(open(&dir), Err(Error::Format { .. })));
    let file = at.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(open(&file), Err(Error::Unsafe { .. })));
    std::os::unix::fs::symlink(&dir, at.path().join("link")).unwrap();
    assert!(matches!(open(&at.path().join("link")), Err(Error::Unsafe { .. })));
}

#[test]
fn whoever_opens_a_store_while_others_make_it_has_the_same() {
    // In memory, where nobody waits for a disk, they meet often.
    let at = tempfile::tempdir_in("/dev/shm").unwrap();
    let together = std::sync::Barrier::new(16);
    for round in 0..100 {
        let dir = at.path().join(round.to_string());
        let open = || {
            together.wait();
            Store::open(&dir, StoreOptions::default()).unwrap();
        };
        std::thread::scope(|scope| (0..16).for_each(|_| drop(scope.spawn(open))));
    }
}

#[test]
fn only_the_owner_gets_into_a_store() {
    let scene = Scene::new();
    let _image = scene.load("image", &many(9));
    let mut dirs = vec![scene.store.dir().to_owned()];
    while let Some(dir) = dirs.pop() {
        assert_eq!(dir.metadata().unwrap().mode() & 0o7777, 0o700, "{}", dir.display());
        for entry in std::fs::read_dir(dir).unwrap() {
            let (path, kind) =
                entry.map(|entry| (entry.path(), entry.file_type().unwrap())).unwrap();
            match kind.is_dir() {
                // What is below is the image's.
                true if path.ends_with("fs") => {}
                true => dirs.push(path),
                false => {
                    let mode = path.metadata().unwrap().mode() & 0o7777;
                    assert_eq!(mode, 0o600, "{}", path.display());
                }
            }
        }
    }
}

#[test]
fn loads_removals_prunings_and_users_meet_and_nobody_loses_a_file() {
    let scene = Scene::new();
    let layers = many(10);
    let rounds = 40;
    std::thread::scope(|scope| {
        let store = || scene.again();
        for loader in 0..2 {
            let (store, layers) = (store(), &layers);
            scope.spawn(move || {
                for round in 0..rounds {
                    let own = &layers[..1 + (round + loader) % 10];
                    let name = format!("image:{}", round % 3);
                    let image = load(&store, &name, own, Taken::Replaced).unwrap();
                    whole(&image);
                }
            });
        }
        for taker in 0..2 {
            let store = store();
            scope.spawn(move || {
                for round in 0..rounds * 4 {
                    let name = format!("image:{}", round % 3);
                    match (taker + round) % 3 {
                        0 => drop(store.prune(Prune::Unused).unwrap()),
                        1 => drop(store.prune(Prune::Nameless).unwrap()),
                        _ => match store.remove(&name, Removal::Careful) {
                            Ok(_) | Err(Error::NotFound(_) | Error::InUse(_)) => {}
                            Err(error) => panic!("{error:?}"),
                        },
                    }
                }
            });
        }
        for _ in 0..2 {
            let store = store();
            scope.spawn(move || {
                for round in 0..rounds * 40 {
                    if let Some(image) = store.resolve(&format!("image:{}", round % 3)).unwrap() {
                        whole(&image);
                    }
                }
            });
        }
    });
    scene.store.prune(Prune::Unused).unwrap();
    nothing_but_directories(&scene);
}

fn of_store(error: LoadError) -> Error {
    match error {
        LoadError::Store(error) => error,
        other => panic!("{other:?}"),
    }
}

/// That all files of an image of [`many`] layers are there.
pub(in crate::image) fn whole(image: &super::Image) {
    let lowers = image.lowers();
    let trees: Vec<_> = lowers.names.iter().map(|name| lowers.dir.join(name)).collect();
    for number in 0..image.blobs().len() {
        let path = format!("d/{number}");
        assert!(trees.iter().any(|tree| tree.join(&path).exists()), "{path} of {lowers:?}");
    }
}

#[test]
fn an_image_that_nobody_uses_goes_with_all_its_names() {
    let scene = Scene::new();
    let image = scene.load("a:1", &one("one"));
    scene.store.tag(&image, &"b:1".parse().unwrap(), Taken::Refused).unwrap();
    let id = image.id().to_string();
    assert!(matches!(scene.again().remove(&id, Removal::Unused), Err(Error::InUse(_))));
    assert_eq!(image.names().unwrap().len(), 2, "all stay if one does");
    drop(image);
    let removed = scene.store.remove(&id, Removal::Unused).unwrap();
    assert_eq!((removed.untagged.len(), removed.deleted.len()), (2, 1));
}
