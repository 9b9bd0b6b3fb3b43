//! The store of images among processes: real archives, two at once, killed, out of room, under odd umasks.
//!
//! ```text
//! archives  every form of an image is the same image     kills  loads killed at any instant
//! sharing   leases and loads of several processes        full   no room, and removing then
//! ```

mod archives;
mod full;
mod kills;
mod sharing;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hotcell::image::archive::Input;
use hotcell::image::load::LoadOptions;
use hotcell::image::store::{Closely, Image, Repair, Store, StoreOptions, Taken};

use crate::Test;

pub fn tests() -> Vec<Test> {
    [archives::tests(), sharing::tests(), kills::tests(), full::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// A directory on a disk: `/tmp` may be in memory, where older kernels know no attributes of users.
fn disk() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("hotcell-store").tempdir_in("/var/tmp").unwrap()
}

fn open(dir: &Path) -> Store {
    Store::open(dir, StoreOptions::default()).unwrap()
}

fn load(store: &Store, archive: &Path) -> Vec<Image> {
    let mut options = LoadOptions::default();
    options.taken = Taken::Replaced;
    store.load(Input::path(archive), &options).unwrap()
}

/// That everything in the store is whole, byte by byte, and nothing lies around.
#[track_caller]
fn whole(store: &Store) {
    let checked = store.check(Closely::Inside, Repair::No).unwrap();
    assert!(checked.flaws.is_empty(), "{checked:?}");
    for dir in ["work", "trash"] {
        assert_eq!(entries(&store.dir().join(dir)), [""; 0], "{dir}");
    }
}

fn entries(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// This program as another user of the store, with an archive to load.
fn player(part: &str, store: &Path, archive: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .arg(format!("--play=store-{part}"))
        .env("PLAY_STORE", store)
        .env("PLAY_ARCHIVE", archive)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// The player's side.
pub fn play(part: &str) {
    let path = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
    let (store, archive) = (path("PLAY_STORE"), path("PLAY_ARCHIVE"));
    match part {
        "load" => {
            println!("begins");
            drop(load(&open(&store), &archive));
        }
        "hold" => {
            let image = load(&open(&store), &archive).remove(0);
            println!("{}", image.id());
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
        "full" => full::play(&store, &archive),
        umask => {
            let umask = u32::from_str_radix(umask, 8).unwrap();
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
            drop(load(&open(&store), &archive));
        }
    }
}
