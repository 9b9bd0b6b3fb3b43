//! A machine's side of a power cut: looks whether the store outlived the last one, and then pulls until the
//! next. `scripts/powercut` is the other side.

use std::io::Write;
use std::path::Path;

use hotcell::image::pull::{Client, Pull, Puller, Settings};
use hotcell::image::store::{Closely, Prune, Repair, Store, StoreOptions};
use rustix::mount::{MountFlags, mount};

use crate::host::image;
use crate::registry::{Content, Registry};

/// The disk that the script gives.
const DISK: &str = "/dev/vdd";
const AT: &str = "/mnt";

/// For ever.
pub fn serve() {
    mount(DISK, AT, "ext4", MountFlags::empty(), None).unwrap();
    let store = Store::open(Path::new(AT).join("store"), StoreOptions::default()).unwrap();
    let mut content = Content::default();
    for name in ["layers", "corners"] {
        content.layout(name, "latest", &image(name, "oci"));
    }
    let registry = Registry::plain(content);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let puller = Puller::new(store.clone(), Client::new(Settings::default()).unwrap());
    let pull = |name: &str| {
        let name = format!("{}/{name}:latest", registry.address());
        runtime.block_on(puller.pull(Pull::new(name.parse().unwrap()))).unwrap()
    };
    let images = check(&store);
    say(&format!("survived with {images} images"));
    // Whatever was lost comes again.
    let _ = pull("layers");
    check(&store);
    say("begins");
    loop {
        for name in ["corners", "layers"] {
            let _ = pull(name);
            say(&format!("pulled {name}"));
            store.prune(Prune::Unused).unwrap();
        }
    }
}

/// How many images there are, all of them whole.
fn check(store: &Store) -> usize {
    let checked = store.check(Closely::Inside, Repair::No).unwrap();
    assert!(checked.flaws.is_empty(), "damaged: {checked:?}");
    store.images().unwrap().len()
}

fn say(what: &str) {
    println!("cut: {what}");
    std::io::stdout().flush().unwrap();
}
