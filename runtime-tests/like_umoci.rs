//! What an image comes to: the same tree as umoci makes of it, and the same in every form.
//!
//! umoci reads no sparse files in GNU's oldest form: that image is compared with GNU tar's.
//! Trees are compared in the kind of each file, its mode, owner, time, attributes, contents, links
//! and devices; hotcell's is looked at through the overlay that a cell gets.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bed::Bed;
use crate::host::fixture;
use crate::hostile_images::case::Limited;
use crate::hostile_images::play::{play, room};
use crate::hostile_images::tree::{Tree, differences, hash, tree};
use crate::hostile_images::way::Way;
use crate::{Test, test};

/// Directories that no layer names, but files in them: hotcell gives them the epoch, so that an image
/// always comes to the same tree; umoci leaves them with the time at which it ran.
const UNNAMED: [(&str, &str); 2] = [("corners", "never"), ("corners", "never/heard")];

/// What umoci says to a sparse file in GNU's oldest form.
const NOT_UMOCIS: &str = "unknown typeflag '\\x53'";

pub fn tests() -> Vec<Test> {
    vec![
        test!(an_image_comes_to_the_tree_that_umoci_makes_of_it, Cells, Images, Umoci),
        test!(every_form_of_an_image_comes_to_the_same_tree, Cells, Images),
    ]
}

/// Where the fixtures of images are.
pub fn images() -> Vec<PathBuf> {
    let all = std::fs::read_dir(fixture("images")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = all.filter(|path| path.join("oci").is_dir()).collect();
    all.sort();
    assert!(all.len() >= 5, "{all:?}");
    all
}

pub fn name(image: &Path) -> &str {
    image.file_name().unwrap().to_str().unwrap()
}

fn loaded(input: &Path) -> Tree {
    let dir = room();
    let played = play(input, dir.path(), Way::Load, Limited::ByDefault).unwrap();
    assert_eq!(played.error, None, "{}", input.display());
    played.tree
}

/// What umoci makes of it, or what it says.
fn unpacked(image: &Path) -> Result<Tree, String> {
    let dir = room();
    let bundle = dir.path().join("bundle");
    let mut umoci = Command::new("umoci");
    umoci.args(["unpack", "--image", &format!("{}/oci:latest", image.display())]).arg(&bundle);
    let output = umoci.output().unwrap();
    match output.status.success() {
        true => Ok(tree(&bundle.join("rootfs"))),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The layers' blobs and what they have to unpack to, lowest first.
fn layers(image: &Path) -> Vec<(PathBuf, String)> {
    let read =
        |path: PathBuf| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let layout = image.join("oci");
    let blob = |descriptor: &Value| {
        layout.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"))
    };
    let index = read(layout.join("index.json"));
    let manifest = read(blob(&index["manifests"][0]));
    let config = read(blob(&manifest["config"]));
    let list = |value: &Value| value.as_array().unwrap().clone();
    let ids =
        list(&config["rootfs"]["diff_ids"]).into_iter().map(|id| id.as_str().unwrap().to_owned());
    list(&manifest["layers"]).iter().map(blob).zip(ids).collect()
}

fn untimed(tree: &mut Tree, path: &str) {
    tree.get_mut(path).unwrap().time = (0, 0);
}

/// One layer over the other, without a store.
fn stacked(image: &Path) -> Tree {
    let dir = room();
    let input = dir.path().join("input");
    std::fs::create_dir(&input).unwrap();
    for (number, (blob, diff_id)) in layers(image).into_iter().enumerate() {
        let at = input.join(format!("{number:06}"));
        std::os::unix::fs::symlink(blob, at.with_extension("tar")).unwrap();
        std::fs::write(at.with_extension("diff_id"), diff_id).unwrap();
    }
    let played = play(&input, dir.path(), Way::Unpack, Limited::ByDefault).unwrap();
    assert_eq!(played.error, None, "{}", image.display());
    played.tree
}

/// What GNU tar makes of the layers, one over the other; none of them takes anything away.
fn extracted(image: &Path) -> Tree {
    let dir = room();
    let root = dir.path().join("rootfs");
    std::fs::create_dir(&root).unwrap();
    for (layer, _) in layers(image) {
        let mut tar = Command::new("tar");
        tar.args([
            "--extract",
            "--gzip",
            "--numeric-owner",
            "--same-owner",
            "--preserve-permissions",
        ]);
        tar.args(["--xattrs", "--xattrs-include=*", "--file"]).arg(layer);
        let output = tar.arg("--directory").arg(&root).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    tree(&root)
}

/// How a tree differs from what umoci makes of the image.
pub fn wrong_about(image: &Path, mut ours: Tree) -> Vec<String> {
    let differ = match unpacked(image) {
        Ok(mut theirs) => {
            for (_, path) in UNNAMED.iter().filter(|(image_of, _)| *image_of == name(image)) {
                assert_eq!(ours[*path].time, (0, 0), "{path}");
                untimed(&mut ours, path);
                untimed(&mut theirs, path);
            }
            let differ = differences(&ours, &theirs);
            assert_eq!(differ.is_empty(), hash(&ours) == hash(&theirs));
            differ
        }
        Err(said) if said.contains(NOT_UMOCIS) => {
            // tar leaves the top with the time of the last change to it.
            let mut theirs = extracted(image);
            untimed(&mut ours, ".");
            untimed(&mut theirs, ".");
            differences(&ours, &theirs)
        }
        Err(said) => vec![format!("umoci: {said}")],
    };
    differ.iter().map(|line| format!("{}: {line}", name(image))).collect()
}

fn an_image_comes_to_the_tree_that_umoci_makes_of_it(_: &Bed) {
    let mut wrong = Vec::new();
    for image in images() {
        let ours = loaded(&image.join("oci"));
        let differ = differences(&ours, &stacked(&image));
        assert!(differ.is_empty(), "the store makes another tree than its layers: {differ:?}");
        assert!(ours.len() > 10, "{}: {:?}", name(&image), ours.keys());
        wrong.extend(wrong_about(&image, ours));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

fn every_form_of_an_image_comes_to_the_same_tree(_: &Bed) {
    const FORMS: [&str; 11] = [
        "oci-zstd",
        "oci-plain",
        "oci.tar",
        "oci.tar.gz",
        "oci.tar.zst",
        "docker.tar",
        "docker.tar.gz",
        "docker.tar.zst",
        "docker25.tar",
        "docker25.tar.gz",
        "docker25.tar.zst",
    ];
    let mut seen = 0;
    for image in images() {
        let first = loaded(&image.join("oci"));
        for form in FORMS.map(|form| image.join(form)).into_iter().filter(|form| form.exists()) {
            let again = loaded(&form);
            let differ = differences(&first, &again);
            assert!(differ.is_empty(), "{}:\n{}", form.display(), differ.join("\n"));
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} forms");
}
