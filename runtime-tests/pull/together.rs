//! Many who want the same image at the same time, and many of them give up.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hotcell::image::pull::{Client, Credentials, Pull, Puller, Secret, Settings};
use hotcell::image::store::{Closely, Repair, Store, StoreOptions};
use tokio::runtime::Runtime;

use super::image::{Image, REPOSITORY, TAG};
use crate::bed::Bed;
use crate::contract::races::chance::{Chance, Seed};
use crate::host::soak;
use crate::hostile_images::play::room;
use crate::registry::{Answer, Content, On, Registry, Request, Rule};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(of_64_pulls_half_are_cancelled_and_each_blob_is_fetched_once),
        test!(pulls_under_other_names_fetch_no_blob_twice),
        test!(pulls_by_others_wait_for_nobody),
        test!(if_all_give_up_the_transfer_ends_and_nothing_is_left),
        test!(the_first_of_many_gives_up_and_the_others_get_their_image),
    ]
}

/// A registry from which a blob takes some 50 ms, a puller of its own and a store.
struct Scene {
    registry: Registry,
    image: Image,
    store: Store,
    puller: Puller,
    runtime: Runtime,
    // Behind all that uses it.
    _dir: tempfile::TempDir,
}

fn slowly(_: &Request, right: Answer) -> Answer {
    right.slowly(100_000, Duration::from_millis(5))
}

impl Scene {
    fn new() -> Scene {
        let (mut content, image) = (Content::default(), Image::usual());
        image.put(&mut content);
        for tag in ["a", "b", "c"] {
            let manifest = image.manifest.to_string();
            content.document(
                REPOSITORY,
                Some(tag),
                crate::hostile_images::archive::MANIFEST,
                manifest,
            );
        }
        let registry = Registry::plain(content);
        registry.when(Rule::new(On::Blob, slowly));
        let dir = room();
        let store = Store::open(dir.path().join("store"), StoreOptions::default()).unwrap();
        let puller = Puller::new(store.clone(), Client::new(Settings::default()).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Scene { registry, image, store, puller, runtime, _dir: dir }
    }

    fn wanted(&self, tag: &str) -> Pull {
        let name = format!("{}/{REPOSITORY}:{tag}", self.registry.address());
        Pull::new(name.parse().unwrap())
    }

    /// Pulls at the same time, each given up after its time if it has one; who stayed has the image.
    fn pull(&self, pulls: Vec<(Pull, Option<Duration>)>) -> usize {
        let one = |(pull, patience): (Pull, Option<Duration>)| {
            let puller = self.puller.clone();
            self.runtime.spawn(async move {
                match patience {
                    None => Some(puller.pull(pull).await),
                    Some(patience) => tokio::time::timeout(patience, puller.pull(pull)).await.ok(),
                }
            })
        };
        let tasks: Vec<_> = pulls.into_iter().map(one).collect();
        let mut done = 0;
        for task in tasks {
            if let Some(pulled) = self.runtime.block_on(task).unwrap() {
                assert_eq!(pulled.unwrap().id().to_string(), self.image.id());
                done += 1;
            }
        }
        done
    }

    /// How often each blob was asked for, the configuration too.
    fn fetched(&self) -> Vec<usize> {
        let layers = (0..self.image.layers.len()).map(|number| self.image.blob(number));
        layers.chain([self.image.id()]).map(|blob| self.registry.count(&On::BlobOf(blob))).collect()
    }

    fn check(&self) {
        let checked = self.store.check(Closely::Inside, Repair::No).unwrap();
        assert!(checked.flaws.is_empty(), "{checked:?}");
        assert_eq!(entries(&self.store.dir().join("work")), 0);
    }
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

/// How long a pull is waited for by one who gives up: some before it began, some in its middle.
fn patience(chance: &mut Chance) -> Duration {
    chance.micros(60_000)
}

fn of_64_pulls_half_are_cancelled_and_each_blob_is_fetched_once(_: &Bed) {
    let seed = Seed::new();
    for round in 1..=if soak() { 200 } else { 5 } {
        let (scene, mut chance) = (Scene::new(), seed.round(round));
        let pulls = (0..64).map(|number| {
            let patience = (number % 2 == 0).then(|| patience(&mut chance));
            (scene.wanted(TAG), patience)
        });
        let done = scene.pull(pulls.collect());
        assert!((32..64).contains(&done), "{done} of 64 were done");
        assert_eq!(scene.fetched(), [1; 4]);
        assert_eq!(scene.registry.count(&On::Manifest), 1);
        scene.check();
    }
}

fn pulls_under_other_names_fetch_no_blob_twice(_: &Bed) {
    let scene = Scene::new();
    let pulls = ["a", "b", "c", TAG].map(|tag| (scene.wanted(tag), None));
    assert_eq!(scene.pull(pulls.into()), 4);
    assert_eq!(scene.fetched()[..3], [1; 3]);
    assert_eq!(scene.registry.count(&On::Manifest), 4);
    assert_eq!(scene.store.images().unwrap()[0].names.len(), 4);
    scene.check();
}

/// Nobody waits for a stranger's blobs; both come to one image.
fn pulls_by_others_wait_for_nobody(_: &Bed) {
    let scene = Scene::new();
    let mut secret = scene.wanted("a");
    let password = Secret::new("secret");
    secret.credentials = Credentials::Basic { username: "somebody".to_owned(), password };
    let pulls = ["a", "b"].map(|tag| (scene.wanted(tag), None)).into_iter().chain([(secret, None)]);
    assert_eq!(scene.pull(pulls.collect()), 3);
    assert!(scene.fetched()[..3].iter().all(|times| (1..=2).contains(times)));
    assert_eq!(scene.registry.count(&On::Manifest), 3);
    let images = scene.store.images().unwrap();
    assert_eq!((images.len(), images[0].names.len()), (1, 2));
    scene.check();
}

fn if_all_give_up_the_transfer_ends_and_nothing_is_left(_: &Bed) {
    let scene = Scene::new();
    scene.registry.when(Rule::new(On::Any, |_, right| right));
    let soon = Some(Duration::from_millis(30));
    let pulls = (0..8).map(|_| (scene.wanted(TAG), soon)).collect();
    assert_eq!(scene.pull(pulls), 0);
    // What has begun to be unpacked is ended by whoever unpacks.
    let mut looks = 0;
    while entries(&scene.store.dir().join("work")) > 0 && looks < 500 {
        std::thread::sleep(Duration::from_millis(10));
        looks += 1;
    }
    scene.check();
    assert!(scene.store.images().unwrap().is_empty());
    // The next one gets it.
    assert_eq!(scene.pull(vec![(scene.wanted(TAG), None)]), 1);
    scene.check();
}

fn the_first_of_many_gives_up_and_the_others_get_their_image(_: &Bed) {
    let scene = Scene::new();
    let order = Arc::new(tokio::sync::Notify::new());
    let (puller, wanted, begun) = (scene.puller.clone(), scene.wanted(TAG), Arc::clone(&order));
    let first = scene.runtime.spawn(async move {
        let pull = puller.pull(wanted);
        tokio::pin!(pull);
        // Polled once it is under way, and whoever comes now joins it.
        tokio::select! {
            biased;
            _ = &mut pull => panic!("it takes longer than nothing"),
            () = tokio::time::sleep(Duration::from_millis(20)) => begun.notify_one(),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
    scene.runtime.block_on(order.notified());
    assert_eq!(scene.pull((0..7).map(|_| (scene.wanted(TAG), None)).collect()), 7);
    scene.runtime.block_on(first).unwrap();
    assert_eq!(scene.fetched(), [1; 4]);
    scene.check();
}
