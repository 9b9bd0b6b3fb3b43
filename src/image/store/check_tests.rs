//! Damaged stores: what a check finds, what it makes good and what it leaves.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::scene::Scene;
use super::tests::{many, nothing_but_directories, one, whole};
use super::{Closely, Fate, Repair};

/// Every part of a store that can be damaged without anybody noticing at once.
type Damage = (&'static str, fn(&Scene), Closely, Fate);

fn tree(scene: &Scene) -> std::path::PathBuf {
    let lowers = scene.store.resolve("image").unwrap().unwrap().lowers();
    lowers.dir.join(&lowers.names[0])
}

fn set_mode(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o4777)).unwrap();
}

/// Other bytes under the same size and time.
fn spoil(path: &Path) {
    let time = path.metadata().unwrap().modified().unwrap();
    let bytes: Vec<u8> = std::fs::read(path).unwrap().iter().map(|byte| byte ^ 1).collect();
    std::fs::write(path, bytes).unwrap();
    std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn blob_of_layer(scene: &Scene) -> std::path::PathBuf {
    let image = scene.store.resolve("image").unwrap().unwrap();
    image.blob_path(&image.blobs()[0].0)
}

const DAMAGES: [Damage; 9] = [
    (
        "a mode in a tree",
        |scene| set_mode(&tree(scene).join("etc/name")),
        Closely::Outside,
        Fate::Repaired,
    ),
    (
        "a file less",
        |scene| std::fs::remove_file(tree(scene).join("etc/name")).unwrap(),
        Closely::Outside,
        Fate::Repaired,
    ),
    (
        "a file more",
        |scene| std::fs::write(tree(scene).join("etc/x"), "").unwrap(),
        Closely::Outside,
        Fate::Repaired,
    ),
    (
        "no tree",
        |scene| std::fs::remove_dir_all(tree(scene)).unwrap(),
        Closely::Outside,
        Fate::Repaired,
    ),
    (
        "no record",
        |scene| std::fs::remove_file(tree(scene).parent().unwrap().join("record")).unwrap(),
        Closely::Outside,
        Fate::Repaired,
    ),
    (
        "a byte in a tree",
        |scene| spoil(&tree(scene).join("etc/name")),
        Closely::Inside,
        Fate::Repaired,
    ),
    ("a byte in a blob", |scene| spoil(&blob_of_layer(scene)), Closely::Inside, Fate::Removed),
    (
        "a stray",
        |scene| std::fs::write(scene.store.dir().join("images/x"), "").unwrap(),
        Closely::Outside,
        Fate::Removed,
    ),
    (
        "a name",
        |scene| {
            std::fs::write(scene.store.place().name("docker.io/library/other:latest"), "x").unwrap()
        },
        Closely::Outside,
        Fate::Removed,
    ),
];

#[test]
fn a_check_finds_what_is_damaged_and_makes_it_good() {
    for (what, damage, closely, fate) in DAMAGES {
        let scene = Scene::new();
        let image = scene.load("image", &one("one"));
        let id = image.id();
        drop(image);
        let sound = scene.store.check(Closely::Inside, Repair::No).unwrap();
        assert_eq!(
            (sound.images, sound.layers, sound.blobs, sound.flaws),
            (1, 1, 1, vec![]),
            "{what}"
        );
        damage(&scene);
        if closely == Closely::Inside {
            let outside = scene.store.check(Closely::Outside, Repair::No).unwrap();
            assert_eq!(outside.flaws, [], "{what}");
        }
        let found = scene.store.check(closely, Repair::No).unwrap().flaws;
        assert!(found.len() == 1 && found[0].fate == Fate::Found, "{what}: {found:?}");
        let repaired = scene.store.check(closely, Repair::Yes).unwrap().flaws;
        assert!(repaired.len() == 1 && repaired[0].fate == fate, "{what}: {repaired:?}");
        let image = scene.again().resolve("image").unwrap().unwrap();
        let name = std::fs::read_to_string(tree(&scene).join("etc/name")).unwrap();
        assert_eq!((image.id(), name.as_str()), (id, "one"), "{what}");
        drop(image);
        // What a blob was nobody else knows.
        scene.load("image", &one("one"));
        assert_eq!(scene.store.check(Closely::Inside, Repair::No).unwrap().flaws, [], "{what}");
    }
}

#[test]
fn layers_and_what_is_merged_of_them_are_made_good_from_the_lowest_up() {
    let scene = Scene::new();
    scene.load("image", &many(12));
    for layer in scene.list("layers") {
        let tree = scene.store.dir().join("layers").join(layer).join("fs");
        std::fs::remove_dir_all(&tree).unwrap();
        std::fs::write(&tree, "").unwrap();
    }
    let repaired = scene.store.check(Closely::Inside, Repair::Yes).unwrap();
    assert_eq!((repaired.layers, repaired.flaws.len()), (13, 13), "{repaired:?}");
    assert!(repaired.flaws.iter().all(|flaw| flaw.fate == Fate::Repaired), "{repaired:?}");
    whole(&scene.again().resolve("image").unwrap().unwrap());
    assert_eq!(scene.store.check(Closely::Inside, Repair::No).unwrap().flaws, []);
}

#[test]
fn what_can_not_be_made_good_goes_and_what_is_used_stays() {
    let scene = Scene::new();
    let image = scene.load("image", &one("one"));
    std::fs::remove_file(blob_of_layer(&scene)).unwrap();
    std::fs::remove_dir_all(tree(&scene)).unwrap();
    let kept = scene.again().check(Closely::Outside, Repair::Yes).unwrap().flaws;
    assert!(
        kept.len() == 2 && kept.iter().all(|flaw| matches!(flaw.fate, Fate::Kept(_))),
        "{kept:?}"
    );
    drop(image);
    let gone = scene.store.check(Closely::Outside, Repair::Yes).unwrap().flaws;
    assert_eq!(gone[0].fate, Fate::Removed, "{gone:?}");
    nothing_but_directories(&scene);
    // The documents: a manifest that is not there.
    let image = scene.load("image", &one("one"));
    std::fs::remove_file(image.blob_path(&image.manifest())).unwrap();
    drop(image);
    let gone = scene.store.check(Closely::Outside, Repair::Yes).unwrap().flaws;
    assert!(gone.len() == 1 && gone[0].fate == Fate::Removed, "{gone:?}");
    nothing_but_directories(&scene);
}
