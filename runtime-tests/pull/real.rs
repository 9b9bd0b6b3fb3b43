//! Pulls from the distribution's own registry: what comes is the image that was pushed.

use std::path::Path;
use std::process::Command;

use hotcell::image::Reference;
use hotcell::image::archive::{Output, save};
use hotcell::image::store::{Store, StoreOptions};

use super::distribution::{Distribution, PASSWORD, USER, Wants};
use super::order::{Order, Played, Who};
use super::play::{self, play};
use crate::bed::{Bed, Ran};
use crate::clients::good;
use crate::clients::podman::Podman;
use crate::host::image;
use crate::hostile_images::play::room;
use crate::like_umoci::{images, name, wrong_about};
use crate::registry::Authority;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(
            a_pulled_image_is_the_tree_that_umoci_makes_of_it,
            Cells,
            Images,
            Umoci,
            Distribution
        ),
        test!(what_is_pulled_and_saved_is_what_was_pushed, Cells, Images, Umoci, Distribution),
        test!(
            podman_runs_on_what_is_pulled_and_saved,
            Cells,
            Busybox,
            Images,
            Umoci,
            Podman,
            Distribution
        ),
        test!(
            a_password_opens_a_registry_and_nothing_else_does,
            Cells,
            Images,
            Umoci,
            Distribution
        ),
        test!(
            a_registry_is_believed_if_its_authority_is,
            Cells,
            Images,
            Umoci,
            Distribution,
            Openssl
        ),
    ]
}

/// An order to a registry on this host, which is not in a hurry.
fn order(name: &str) -> Order {
    Order { image: name.to_owned(), patience: 30_000, ..Order::default() }
}

#[track_caller]
fn pulled(order: &Order, dir: &Path) -> Played {
    let played = play(order, dir).unwrap().played;
    assert!(played.error.is_none(), "{:?}", played.error);
    played
}

fn id(name: &str) -> String {
    std::fs::read_to_string(image(name, "id")).unwrap().trim().to_owned()
}

fn a_pulled_image_is_the_tree_that_umoci_makes_of_it(_: &Bed) {
    let registry = Distribution::start(Wants::default());
    let mut wrong = Vec::new();
    for image in images() {
        let dir = room();
        let mut order = order(&registry.push(&image.join("oci"), name(&image)));
        order.look = true;
        let played = pulled(&order, dir.path());
        assert_eq!(played.id.unwrap(), id(name(&image)));
        wrong.extend(wrong_about(&image, played.tree.unwrap()));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// Pulls an image of the fixtures and saves it into a layout and into an archive, both in `dir`.
fn saved(registry: &Distribution, name: &str, dir: &Path) -> Reference {
    let named = registry.push(&image(name, "oci"), name);
    pulled(&order(&named), dir);
    let store = Store::open(play::store(dir), StoreOptions::default()).unwrap();
    let found = store.resolve(&named).unwrap().unwrap();
    let name: Reference = named.parse().unwrap();
    let archived = || found.archived(vec![name.clone()]).unwrap();
    save(&[archived()], Output::Directory(&dir.join("layout"))).unwrap();
    let mut file = std::fs::File::create(dir.join("archive")).unwrap();
    save(&[archived()], Output::Writer(&mut file)).unwrap();
    name
}

fn what_is_pulled_and_saved_is_what_was_pushed(_: &Bed) {
    let registry = Distribution::start(Wants::default());
    for image in ["busybox", "layers", "corners"] {
        let dir = room();
        let name = saved(&registry, image, dir.path());
        // skopeo reads the layout, and compares every digest on the way.
        let copy = dir.path().join("copy");
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--quiet"]);
        skopeo.arg(format!("oci:{}:{name}", dir.path().join("layout").display()));
        skopeo.arg(format!("dir:{}", copy.display()));
        good(Ran::from(skopeo.output().unwrap()));
        let mut inspect = Command::new("skopeo");
        inspect.args(["inspect", "--raw", "--tls-verify=false"]).arg(format!("docker://{name}"));
        let pushed = inspect.output().unwrap();
        assert!(pushed.status.success(), "{pushed:?}");
        assert_eq!(std::fs::read(copy.join("manifest.json")).unwrap(), pushed.stdout);
    }
}

fn podman_runs_on_what_is_pulled_and_saved(bed: &Bed) {
    let registry = Distribution::start(Wants::default());
    let dir = room();
    let name = saved(&registry, "busybox", dir.path());
    Podman::with(bed, |podman| {
        let archive = dir.path().join("archive");
        let loaded = podman.good(&["load", "--input", archive.to_str().unwrap()]);
        assert!(loaded.contains(&name.to_string()), "{loaded}");
        let out =
            podman.good(&["run", "--rm", "--network", "none", &name.to_string(), "echo", "in"]);
        assert_eq!(out, "in");
    });
}

fn a_password_opens_a_registry_and_nothing_else_does(_: &Bed) {
    let registry = Distribution::start(Wants { password: true, ..Wants::default() });
    let name = registry.push(&image("busybox", "oci"), "busybox");
    let dir = room();
    let mut order = order(&name);
    order.who = Who::Basic(USER.to_owned(), PASSWORD.to_owned());
    pulled(&order, &dir.path().join("right"));
    for (number, who) in [
        Who::Nobody,
        Who::Basic(USER.to_owned(), "another".to_owned()),
        Who::Basic("another".to_owned(), PASSWORD.to_owned()),
        Who::Token(PASSWORD.to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        order.who = who;
        let played = play(&order, &dir.path().join(number.to_string())).unwrap().played;
        assert_eq!(played.error.unwrap().status, Some(401), "{:?}", order.who);
    }
}

fn a_registry_is_believed_if_its_authority_is(_: &Bed) {
    let dir = room();
    let authority = Authority::new(&dir.path().join("authority"));
    let wants = Wants { password: true, authority: Some(&authority) };
    let registry = Distribution::start(wants);
    let name = registry.push(&image("busybox", "oci"), "busybox");
    let mut order = order(&name);
    order.who = Who::Basic(USER.to_owned(), PASSWORD.to_owned());
    // A directory of its own says that a registry on this host has TLS, whoever is to be believed.
    let certs = dir.path().join("certs");
    std::fs::create_dir_all(certs.join(registry.host())).unwrap();
    order.certs_dirs = vec![certs.clone()];
    let refused = play(&order, &dir.path().join("unknown")).unwrap().played.error.unwrap();
    assert!(refused.text.contains("no TLS with 127.0.0.1"), "{}", refused.text);
    // By the settings, by the host's own authorities, by that directory.
    let mut named = order.clone();
    named.certs_dirs = Vec::new();
    let special = named.registries.entry(registry.host()).or_default();
    special.ca = vec![authority.certificate()];
    let mut trusted = order.clone();
    trusted.trusts = Some(authority.certificate());
    for (number, order) in [named, trusted, order].iter().enumerate() {
        if number == 2 {
            let at = certs.join(registry.host()).join("ca.crt");
            std::fs::copy(authority.certificate(), at).unwrap();
        }
        let played = pulled(order, &dir.path().join(number.to_string()));
        assert_eq!(played.id.unwrap(), id("busybox"));
    }
}
