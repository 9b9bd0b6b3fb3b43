//! A store without room: a load says so and leaves nothing, and removing still works.

use std::io::Write;
use std::path::Path;

use hotcell::image::archive::Input;
use hotcell::image::load::LoadOptions;
use hotcell::image::store::{Removal, Store, StoreOptions};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::{disk, entries, load, player, whole};
use crate::bed::Bed;
use crate::faults::own_mounts;
use crate::host::image;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test!(a_full_disk_is_told_and_removing_still_works, Images)]
}

fn a_full_disk_is_told_and_removing_still_works(_: &Bed) {
    let at = disk();
    let output = player("full", at.path(), &image("busybox", "docker.tar")).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    let count = |what: &str| out.lines().filter(|line| line.ends_with(what)).count();
    assert!(count("full") >= 8 && count("fine") >= 2, "{out}");
}

/// From no room to enough, in bytes and in inodes.
pub fn play(at: &Path, archive: &Path) {
    own_mounts();
    let bytes = (0..24).map(|step| format!("size={}k", 64 + step * 512));
    let inodes = (0..10).map(|step| format!("size=64m,nr_inodes={}", 4 + step * 6));
    for room in bytes.chain(inodes) {
        let data = std::ffi::CString::new(format!("mode=700,{room}")).unwrap();
        mount("tmpfs", at, "tmpfs", MountFlags::empty(), data.as_c_str()).unwrap();
        let told = story(at, archive);
        println!("{room} {}", if told { "full" } else { "fine" });
        unmount(at, UnmountFlags::empty()).unwrap();
    }
}

/// Whether there was too little room for the load.
fn story(at: &Path, archive: &Path) -> bool {
    let store = match Store::open(at.join("store"), StoreOptions::default()) {
        Err(error) => {
            assert!(says_full(&error), "{error:?}");
            return true;
        }
        Ok(store) => store,
    };
    match store.load(Input::path(archive), &LoadOptions::default()) {
        Err(error) => {
            assert!(says_full(&error), "{error:?}");
            for dir in ["work", "trash", "images", "names", "layers", "blobs/sha256"] {
                assert_eq!(entries(&store.dir().join(dir)), [""; 0], "{dir}");
            }
            return true;
        }
        Ok(images) => drop(images),
    }
    whole(&store);
    // Not one byte, nor a name more.
    let mut filler = std::fs::File::create(at.join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    let mut number = 0;
    while std::fs::File::create(at.join(number.to_string())).is_ok() && number < 100_000 {
        number += 1;
    }
    let name = store.images().unwrap()[0].names[0].to_string();
    let removed = store.remove(&name, Removal::Careful).unwrap();
    assert_eq!(removed.deleted.len(), 1);
    for dir in ["trash", "images", "names", "layers", "blobs/sha256"] {
        assert_eq!(entries(&store.dir().join(dir)), [""; 0], "{dir}");
    }
    drop(filler);
    (0..number).for_each(|number| std::fs::remove_file(at.join(number.to_string())).unwrap());
    std::fs::remove_file(at.join("filler")).unwrap();
    load(&store, archive);
    false
}

fn says_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(one) = error {
        if one.to_string().contains("No space left on device") {
            return true;
        }
        error = one.source();
    }
    false
}
