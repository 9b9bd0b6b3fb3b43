//! Archives of images: as other tools write them, read here; and as they are written here, read by
//! other tools.

use std::collections::BTreeSet;
use std::io::copy;
use std::path::{Path, PathBuf};

use hotcell::image::archive::{Archive, ArchivedImage, Input, Options, Output, save};
use hotcell::image::{Hasher, Reference};

use super::podman::Podman;
use super::stage::Stage;
use super::{good, image};
use crate::bed::{Bed, Ran};
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(every_form_of_an_image_is_the_same_image, Images),
        test!(skopeo_and_umoci_read_what_is_saved_and_write_what_is_read, Cells, Images, Umoci),
        test!(podman_loads_what_is_saved_and_saves_what_is_read, Cells, Busybox, Images, Podman),
    ]
}

fn open(bed: &Bed, input: Input) -> ArchivedImage {
    let archive = Archive::open(input, &Options::new(bed.path("")));
    let mut images = archive.unwrap_or_else(|error| panic!("{error:?}")).into_images();
    assert_eq!(images.len(), 1);
    images.remove(0)
}

fn form(name: &str, form: &str) -> PathBuf {
    fixture("images").join(name).join(form)
}

/// As directory or file, and a file as a stream too.
fn every_form_of_an_image_is_the_same_image(bed: &Bed) {
    let mut forms = BTreeSet::new();
    for image in entries(&fixture("images")).filter(|path| path.is_dir()) {
        let name = image.file_name().unwrap().to_str().unwrap();
        let id = std::fs::read_to_string(image.join("id")).unwrap();
        for path in entries(&image).filter(|path| !path.ends_with("id")) {
            forms.insert(path.file_name().unwrap().to_owned());
            let mut all = vec![Input::path(&path)];
            if path.is_file() {
                all.push(Input::Reader(Box::new(std::fs::File::open(&path).unwrap())));
            }
            for input in all {
                let found = open(bed, input);
                assert_eq!(found.config.digest().to_string(), id.trim(), "{}", path.display());
                let full = format!("docker.io/hotcell/{name}:latest").parse().unwrap();
                assert_eq!(found.names, [full], "{}", path.display());
                check_layers(&found);
            }
        }
    }
    assert!(forms.len() > 8, "{forms:?}");
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path())
}

/// Their bytes have the digests that the manifest says.
fn check_layers(image: &ArchivedImage) {
    assert_eq!(image.layers.len(), image.manifest.layers.len());
    for layer in &image.layers {
        let mut hasher = Hasher::new(layer.descriptor.digest.algorithm());
        copy(&mut layer.region.reader(), &mut hasher).unwrap();
        assert_eq!(hasher.finish(), layer.descriptor.digest);
    }
}

/// Two images that share a layer, and what they are written to: a file and a directory.
fn saved(bed: &Bed) -> (Vec<ArchivedImage>, PathBuf, PathBuf) {
    let images: Vec<_> =
        ["busybox", "layers"].map(|name| open(bed, Input::path(form(name, "oci")))).into();
    let (file, dir) = (bed.path("saved.tar"), bed.path("saved"));
    let mut writer = std::fs::File::create(&file).unwrap();
    save(&images, Output::Writer(&mut writer)).unwrap();
    save(&images, Output::Directory(&dir)).unwrap();
    (images, file, dir)
}

fn skopeo_and_umoci_read_what_is_saved_and_write_what_is_read(bed: &Bed) {
    let stage = Stage::set_up(bed, "", &[]);
    let (images, file, dir) = saved(bed);
    let skopeo = |args: &[&str]| {
        let mut command = stage.command("skopeo");
        good(Ran::from(command.arg("--insecure-policy").args(args).output().unwrap()))
    };
    for (number, image) in images.iter().enumerate() {
        let name: &Reference = &image.names[0];
        let (full, short) = (name.to_string(), name.familiar());
        for (from, kept) in [
            (format!("oci:{}:{full}", dir.display()), true),
            (format!("oci-archive:{}:{full}", file.display()), true),
            (format!("docker-archive:{}:{short}", file.display()), false),
        ] {
            let to = bed.path(&format!("copy-{number}"));
            skopeo(&["copy", "--quiet", &from, &format!("dir:{}", to.display())]);
            // Docker's list knows no manifest, so skopeo makes one up.
            let manifest = std::fs::read(to.join("manifest.json")).unwrap();
            assert_eq!(manifest == image.manifest.bytes(), kept, "{from}");
            let config = std::fs::read(to.join(image.config.digest().hex())).unwrap();
            assert_eq!(config, image.config.bytes(), "{from}");
            std::fs::remove_dir_all(to).unwrap();
        }
        // As skopeo writes such archives itself.
        let own = bed.path(&format!("own-{number}.tar"));
        let (from, to) = (format!("oci:{}:{full}", dir.display()), own.display());
        skopeo(&["copy", "--quiet", &from, &format!("oci-archive:{to}:{full}")]);
        let read = open(bed, Input::path(own));
        assert_eq!(read.names, image.names);
        assert_eq!(read.manifest.bytes(), image.manifest.bytes());
    }
    let mut list = stage.command("umoci");
    let listed = good(Ran::from(list.args(["list", "--layout"]).arg(&dir).output().unwrap()));
    let names: Vec<_> = images.iter().map(|image| image.names[0].to_string()).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
    stage.finish();
}

fn podman_loads_what_is_saved_and_saves_what_is_read(bed: &Bed) {
    Podman::with(bed, |podman| {
        let (images, file, _) = saved(bed);
        for image in &images {
            // Podman loads one image of an OCI archive.
            let mut writer = std::fs::File::create(&file).unwrap();
            save(std::slice::from_ref(image), Output::Writer(&mut writer)).unwrap();
            podman.good(&["load", "--quiet", "--input", file.to_str().unwrap()]);
            let name = image.names[0].to_string();
            let format = ["image", "inspect", "--format", "{{.Id}}", &name];
            assert_eq!(podman.good(&format), image.config.digest().hex());
        }
        // And back, in its forms. What it makes of whiteouts it can't always write as it was.
        let name = images[0].names[0].to_string();
        for form in [&["--format", "oci-archive"][..], &["--format", "docker-archive"]] {
            let read = podman_saves(bed, podman, form, &[&name]).remove(0);
            assert_eq!(read.names, images[0].names);
            assert_eq!(read.config.diff_ids, images[0].config.diff_ids);
            check_layers(&read);
        }
        let both = podman_saves(bed, podman, &["--multi-image-archive"], &[&name, image::IMAGE]);
        assert_eq!(both.len(), 2);
        for image in &images {
            podman.good(&["rmi", &image.names[0].to_string()]);
        }
    });
}

fn podman_saves(bed: &Bed, podman: &Podman, form: &[&str], names: &[&str]) -> Vec<ArchivedImage> {
    let own = bed.path("podmans");
    let to = own.to_str().unwrap();
    podman.good(&[&["save", "--quiet"], form, &["--output", to], names].concat());
    let archive = Archive::open(Input::path(&own), &Options::new(bed.path("")));
    std::fs::remove_file(&own).unwrap();
    archive.unwrap_or_else(|error| panic!("{error:?}")).into_images()
}
