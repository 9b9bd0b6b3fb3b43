//! Several processes on one store.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;

use hotcell::image::store::{Error, Prune, Removal};

use super::{disk, entries, open, player, whole};
use crate::bed::Bed;
use crate::host::image;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(what_another_process_uses_stays_until_it_ends_however_it_does, Images),
        test!(processes_that_load_the_same_at_once_make_one_image, Images),
        test!(a_store_is_closed_to_others_under_any_umask, Images),
    ]
}

fn what_another_process_uses_stays_until_it_ends_however_it_does(_: &Bed) {
    let at = disk();
    let dir = at.path().join("store");
    let mut user = player("hold", &dir, &image("busybox", "oci")).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(user.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (id, store) = (line.trim(), open(&dir));
    let refused = store.remove(id, Removal::Careful);
    assert!(matches!(refused, Err(Error::InUse(_))), "{refused:?}");
    assert_eq!(store.prune(Prune::Unused).unwrap().deleted, []);
    drop(store.resolve(id).unwrap().unwrap());
    user.kill().unwrap();
    user.wait().unwrap();
    let removed = store.prune(Prune::Unused).unwrap().deleted;
    assert_eq!(removed.iter().map(ToString::to_string).collect::<Vec<_>>(), [id]);
    assert_eq!(entries(&dir.join("layers")), [""; 0]);
}

fn processes_that_load_the_same_at_once_make_one_image(_: &Bed) {
    let at = disk();
    let dir = at.path().join("store");
    // The store itself does not exist yet, either.
    let forms = ["docker.tar", "oci", "oci-zstd", "docker.tar"];
    let players = forms.map(|form| player("load", &dir, &image("layers", form)).spawn().unwrap());
    // All are waited for: one that fails must not leave the others to the next test.
    for output in players.map(|player| player.wait_with_output().unwrap()) {
        assert!(output.status.success(), "{output:?}");
    }
    whole(&open(&dir));
}

fn a_store_is_closed_to_others_under_any_umask(_: &Bed) {
    for umask in ["000", "077", "777"] {
        let at = disk();
        let dir = at.path().join("store");
        let mut player = player(umask, &dir, &image("busybox", "oci"));
        let output = player.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut dirs = vec![dir.clone()];
        while let Some(dir) = dirs.pop() {
            let mode = |path: &std::path::Path| path.symlink_metadata().unwrap().mode() & 0o7777;
            assert_eq!(mode(&dir), 0o700, "{} under {umask}", dir.display());
            for name in entries(&dir) {
                let path = dir.join(&name);
                match path.is_dir() {
                    true if name == "fs" => assert_eq!(mode(&path), 0o755, "under {umask}"),
                    true => dirs.push(path),
                    false => assert_eq!(mode(&path), 0o600, "{} under {umask}", path.display()),
                }
            }
        }
        whole(&open(&dir));
    }
}
