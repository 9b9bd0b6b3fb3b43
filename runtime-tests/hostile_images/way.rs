//! The library's ways in: one layer after the other, or the store.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use hotcell::image::archive::Input;
use hotcell::image::load::LoadOptions;
use hotcell::image::store::{Store, StoreOptions};
use hotcell::image::unpack::{self, Limits, Source, Target, Unpacker};

use super::case::Limited;
use super::play::Loaded;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// `unpack::layer` for each layer.
    Unpack,
    /// `Store::load`.
    Load,
}

impl Way {
    pub const ALL: [Way; 2] = [Way::Unpack, Way::Load];

    pub fn word(self) -> &'static str {
        match self {
            Way::Unpack => "unpack",
            Way::Load => "load",
        }
    }
}

/// Makes an empty store where there has to be one.
pub fn prepare(way: Way, store: &Path) {
    if way == Way::Load {
        drop(Store::open(store, StoreOptions::default()).unwrap());
    }
}

/// The player's side. An error comes with all that is behind it.
pub fn load(way: Way, input: &Path, store: &Path, limits: Limited) -> Result<Loaded, String> {
    match way {
        Way::Unpack => layers(input, store, limits),
        Way::Load => through_the_store(input, store, limits).map_err(|error| chain(&*error)),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

fn through_the_store(
    input: &Path,
    store: &Path,
    limited: Limited,
) -> Result<Loaded, Box<dyn std::error::Error>> {
    let mut options = StoreOptions::default();
    options.limits = limits(limited);
    let store = Store::open(store, options)?;
    let images = store.load(Input::path(input), &LoadOptions::default())?;
    // Found again by its name, as a user would.
    let name = images[0].names()?[0].to_string();
    let lowers = store.resolve(&name)?.ok_or("is not found")?.lowers();
    Ok(Loaded { lowers: lowers.names.iter().map(|name| lowers.dir.join(name)).collect() })
}

fn limits(limited: Limited) -> Limits {
    let mut limits = Limits::default();
    if limited == Limited::Tightly {
        // Whether there is an end, not where it is.
        (limits.bytes, limits.free_bytes, limits.entries) = (1 << 30, 32 << 20, 20_000);
    }
    limits
}

/// A directory below `store` for each layer of `input`, its hash compared as whoever unpacks has to.
fn layers(input: &Path, store: &Path, limited: Limited) -> Result<Loaded, String> {
    let limits = limits(limited);
    let all = fs::read_dir(input).unwrap().map(|entry| entry.unwrap().path());
    let mut blobs: Vec<_> = all.filter(|path| path.extension().unwrap() == "tar").collect();
    blobs.sort();
    let mut lowers = Vec::new();
    let made = blobs.iter().try_for_each(|blob| {
        let upper = store.join(blob.file_stem().unwrap());
        fs::create_dir_all(&upper).unwrap();
        let open = |path: &PathBuf| File::open(path).unwrap().into();
        let target = Target { upper: open(&upper), lowers: lowers.iter().map(open).collect() };
        let source = Source::region(File::open(blob).unwrap(), 0, blob.metadata().unwrap().len());
        let unpacked = unpack::layer(&source, &target, &limits, &Unpacker::InProcess);
        let found = unpacked.map_err(|error| chain(&error))?.diff_id.to_string();
        let wanted = fs::read_to_string(blob.with_extension("diff_id")).unwrap();
        lowers.insert(0, upper);
        if found == wanted { Ok(()) } else { Err(format!("is {found} and not {wanted}")) }
    });
    // What is half is whoever asked to remove.
    if made.is_err() {
        fs::remove_dir_all(store).unwrap();
    }
    made.map(|()| Loaded { lowers })
}
