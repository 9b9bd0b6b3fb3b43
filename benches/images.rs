//! Images: unpacking one against gzip and umoci, finding one, a start from one of a hundred layers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hotcell::image::archive::Input;
use hotcell::image::load::LoadOptions;
use hotcell::image::store::{Image, Store, StoreOptions};
use serde_json::Value;

use super::args::Args;
use super::bed::{Bed, fixture};
use super::contender::Contender;
use super::measure::{Turn, interleave};
use super::report::{Report, Row};
use super::start::both_spacings;
use super::worker::flag::{BUNDLE, LIMITS, NET, SECCOMP};

/// What a start consists of.
const WHOLE: u32 = LIMITS | NET | SECCOMP;
/// The CPUs that unpacking gets.
const CPUS: &str = "0,1";
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hotcell");

pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    unpacking(bed, args, report);
    let disk = disk();
    let store = Store::open(disk.path().join("store"), StoreOptions::default()).unwrap();
    let few = load(&store, "busybox");
    let many = load(&store, "hundred");
    finding(bed, args, report, &store, [&few, &many]);
    starting(bed, args, report, &store, [&few, &many]);
}

/// A directory beside the fixtures: what is unpacked lies on a disk.
pub(crate) fn disk() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("bench").tempdir_in(fixture("")).unwrap()
}

fn load(store: &Store, name: &str) -> Image {
    let layout = fixture("images").join(name).join("oci.tar");
    assert!(layout.exists(), "{} is missing: run scripts/setup", layout.display());
    store.load(Input::File(layout), &LoadOptions::default()).unwrap();
    let found = store.resolve(&format!("hotcell/{name}")).unwrap();
    found.unwrap_or_else(|| panic!("{name} has been loaded"))
}

/// One command, spawned and awaited by a small process, in a directory that is new. All are removed at the
/// end: for some seconds ext4 goes around the inodes of files that were deleted, and every new file then
/// takes many times as long. What the one before has left to the kernel is written first, or the next that
/// waits for the disk would wait for that too.
pub(crate) fn command<'a>(
    bed: &Bed,
    name: &str,
    against: &[&str],
    words: impl Fn(&Path) -> Vec<String> + 'a,
) -> Turn<'a> {
    let mut spawner = Contender::start(bed.tool().arg("spawn"));
    let mut dirs = Vec::new();
    Turn::new(name, against, move || {
        let dir = disk();
        rustix::fs::syncfs(File::open(dir.path()).unwrap()).unwrap();
        let words = words(dir.path());
        let all: Vec<_> =
            ["taskset", "-c", CPUS].map(str::to_owned).into_iter().chain(words).collect();
        dirs.push(dir);
        spawner.measure(&all.join("\t"))
    })
}

/// Each has the layers in the cache of the disk. What is written is on the disk when hotcell is done; the
/// others leave that to the kernel.
fn unpacking(bed: &Bed, args: &Args, report: &mut Report) {
    let layout = fixture("large").join("oci");
    if !layout.is_dir() {
        let row = Row { group: "images", name: "unpacking", spacing: Duration::ZERO };
        return report.missing(
            row,
            "hotcell load",
            "rootfs-fixtures/images large builds its image",
        );
    }
    let blobs = layers(&layout);
    let layout = layout.to_str().unwrap().to_owned();
    let (image, source) = (format!("{layout}:latest"), layout.clone());
    let mut gzip =
        vec!["sh".to_owned(), "-c".to_owned(), "exec gzip -dc \"$@\" >/dev/null".to_owned()];
    gzip.push("gzip".to_owned());
    gzip.extend(blobs.iter().map(|blob| blob.to_str().unwrap().to_owned()));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut turns = [
        command(bed, "gzip -dc", &[], move |_| gzip.clone()),
        command(bed, "umoci unpack", &["gzip -dc"], move |dir| {
            words(&["umoci", "unpack", "--image", &image, dir.join("bundle").to_str().unwrap()])
        })
        .peer(),
        command(bed, "hotcell load", &["gzip -dc", "umoci unpack"], move |dir| {
            let store = dir.join("store");
            words(&[PROGRAM, "load", "--quiet", "--image-dir", store.to_str().unwrap(), &source])
        }),
    ];
    let row = "unpacking 200 MB in 6 layers of gzip";
    interleave(&mut turns, Duration::ZERO, (args.rounds / 20).max(3));
    report.row(Row { group: "images", name: row, spacing: Duration::ZERO }, &turns);
}

/// The blobs of a layout's layers.
fn layers(layout: &Path) -> Vec<PathBuf> {
    let read =
        |path: PathBuf| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let blob = |descriptor: &Value| {
        layout.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"))
    };
    let index = read(layout.join("index.json"));
    let manifest = read(blob(&index["manifests"][0]));
    manifest["layers"].as_array().unwrap().iter().map(blob).collect()
}

fn finding(bed: &Bed, args: &Args, report: &mut Report, store: &Store, images: [&Image; 2]) {
    let one = |image: &Image, layers: &str| {
        let mut worker = Contender::start(&mut bed.worker(16));
        let request = format!("resolve {} {}", store.dir().display(), name(image));
        Turn::new(format!("an image of {layers}"), &[], move || worker.measure(&request))
    };
    let mut turns = [one(images[0], "1 layer"), one(images[1], "100 layers")];
    both_spacings("images", "finding a present image", &mut turns, args, report);
}

fn name(image: &Image) -> String {
    image.names().unwrap()[0].to_string()
}

/// The floor mounts the very directories that hotcell does.
fn starting(bed: &Bed, args: &Args, report: &mut Report, store: &Store, images: [&Image; 2]) {
    let floor = |image: &Image, name: &str| {
        let lowers = image.lowers();
        let dirs: Vec<_> = lowers.names.iter().map(|name| lowers.dir.join(name)).collect();
        let mut floor = Contender::start(&mut bed.floor_on(&dirs));
        Turn::new(name, &[], move || floor.measure(&format!("start {}", BUNDLE | WHOLE)))
    };
    let hotcell = |image: &Image, title: &str, against: &[&str]| {
        let mut worker = Contender::start(&mut bed.worker(16));
        let request = format!("image {WHOLE} {} {}", store.dir().display(), name(image));
        Turn::new(title, against, move || worker.measure(&request))
    };
    let lowers = images[1].lowers().names.len();
    let many = format!("floor, {lowers} lowers");
    let mut turns = [
        floor(images[0], "floor, 1 lower"),
        floor(images[1], &many),
        hotcell(images[0], "hotcell, 1 layer", &["floor, 1 lower"]),
        hotcell(images[1], "hotcell, 100 layers", &[&many, "hotcell, 1 layer"]),
    ];
    both_spacings("images", "a start from an image", &mut turns, args, report);
}
