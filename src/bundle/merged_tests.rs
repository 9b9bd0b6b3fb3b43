//! Who is who in a root of several layers, as overlayfs would show it.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, XattrFlags, mknodat, setxattr};

use crate::bundle::{Account, Error};

/// Three layers, the first on top, with nothing in them.
struct Layers(tempfile::TempDir);

impl Layers {
    fn new() -> Layers {
        let layers = Layers(tempfile::tempdir().unwrap());
        for number in 0..3 {
            std::fs::create_dir(layers.layer(number)).unwrap();
        }
        layers
    }

    fn layer(&self, number: usize) -> PathBuf {
        self.0.path().join(number.to_string())
    }

    /// A path in a layer whose directories are made.
    fn path(&self, number: usize, path: &str) -> PathBuf {
        let path = self.layer(number).join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// A file of accounts in which `bob` has this number.
    fn accounts(&self, number: usize, path: &str, uid: u32) {
        std::fs::write(self.path(number, path), format!("bob:x:{uid}:7::/:/\n")).unwrap();
    }

    fn whiteout(&self, number: usize, path: &str) {
        let (mode, path) = (Mode::empty(), self.path(number, path));
        mknodat(rustix::fs::CWD, path, FileType::CharacterDevice, mode, 0).unwrap();
    }

    fn opaque(&self, number: usize, path: &str) {
        let path = self.path(number, path);
        std::fs::create_dir_all(&path).unwrap();
        let set = |name: &str| setxattr(&path, name, b"y", XattrFlags::empty());
        // A tmpfs before Linux 6.6 takes the second alone, and that from root.
        set("user.overlay.opaque").or_else(|_| set("trusted.overlay.opaque")).unwrap();
    }

    fn bob(&self) -> Result<u32, Error> {
        let layers: Vec<PathBuf> = (0..3).map(|number| self.layer(number)).collect();
        let who = "bob".parse().unwrap();
        Account::look_up_in_layers(&layers, &who, &[]).map(|account| account.user.uid)
    }

    #[track_caller]
    fn is_unknown(&self) {
        let error = self.bob().unwrap_err().to_string();
        assert!(error.contains("is not in the root's /etc/passwd"), "{error}");
    }
}

#[test]
fn the_topmost_file_counts() {
    let layers = Layers::new();
    layers.is_unknown();
    layers.accounts(2, "etc/passwd", 2);
    assert_eq!(layers.bob().unwrap(), 2);
    // A directory above adds to the one below.
    std::fs::create_dir(layers.layer(0).join("etc")).unwrap();
    assert_eq!(layers.bob().unwrap(), 2);
    layers.accounts(1, "etc/passwd", 1);
    assert_eq!(layers.bob().unwrap(), 1);
}

#[test]
fn what_a_layer_hides_is_not_there() {
    let layers = Layers::new();
    layers.accounts(2, "etc/passwd", 2);
    layers.whiteout(1, "etc/passwd");
    layers.is_unknown();
    layers.accounts(0, "etc/passwd", 0);
    assert_eq!(layers.bob().unwrap(), 0);

    let layers = Layers::new();
    layers.accounts(2, "etc/passwd", 2);
    layers.opaque(1, "etc");
    layers.is_unknown();
    layers.accounts(1, "etc/passwd", 1);
    assert_eq!(layers.bob().unwrap(), 1);

    // A file hides a directory, and what comes below that.
    let layers = Layers::new();
    layers.accounts(2, "etc/passwd", 2);
    std::fs::write(layers.path(1, "etc"), "").unwrap();
    let error = layers.bob().unwrap_err().to_string();
    assert!(error.starts_with("read the root's"), "{error}");
    std::fs::create_dir(layers.layer(0).join("etc")).unwrap();
    layers.is_unknown();
}

#[test]
fn links_lead_through_the_layers_and_nowhere_else() {
    let layers = Layers::new();
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("passwd");
    std::fs::write(&file, "bob:x:99:99::/:/\n").unwrap();
    symlink(&file, layers.path(0, "etc/passwd")).unwrap();
    let error = layers.bob().unwrap_err().to_string();
    assert!(error.contains("is a link to nowhere in the root"), "{error}");
    // What has the same name inside is the image's.
    layers.accounts(2, file.strip_prefix("/").unwrap().to_str().unwrap(), 2);
    assert_eq!(layers.bob().unwrap(), 2);

    let layers = Layers::new();
    layers.accounts(2, "usr/share/passwd", 2);
    symlink("../../../usr/lib/../share/passwd", layers.path(1, "etc/passwd")).unwrap();
    std::fs::create_dir_all(layers.layer(1).join("usr/lib")).unwrap();
    assert_eq!(layers.bob().unwrap(), 2);
    // A link for a directory on the way: ".." starts where it led to.
    let layers = Layers::new();
    symlink("usr/etc", layers.path(0, "etc")).unwrap();
    layers.accounts(2, "usr/etc/passwd", 2);
    assert_eq!(layers.bob().unwrap(), 2);
    symlink("../passwd", layers.path(1, "usr/etc/passwd")).unwrap();
    layers.accounts(2, "usr/passwd", 3);
    assert_eq!(layers.bob().unwrap(), 3);
}

#[test]
fn a_ring_of_links_ends() {
    let layers = Layers::new();
    symlink("/etc/passwd", layers.path(1, "etc/passwd")).unwrap();
    let error = layers.bob().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("symbolic links"), "{source}");
    let layers = Layers::new();
    symlink("a/a/a", layers.path(1, "etc")).unwrap();
    symlink("../a", layers.path(1, "a")).unwrap();
    assert!(layers.bob().is_err());
}

#[test]
fn what_is_no_file_is_not_opened() {
    let layers = Layers::new();
    layers.accounts(2, "etc/passwd", 2);
    let fifo = layers.path(0, "etc/passwd");
    mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let error = layers.bob().unwrap_err().to_string();
    assert!(error.contains("is not a regular file"), "{error}");
    std::fs::remove_file(&fifo).unwrap();
    std::fs::create_dir(&fifo).unwrap();
    let error = layers.bob().unwrap_err().to_string();
    assert!(error.contains("is not a regular file"), "{error}");
}

#[test]
fn a_layer_that_is_a_link_or_missing_is_refused() {
    let layers = Layers::new();
    let who = "0".parse().unwrap();
    let link = layers.0.path().join("link");
    symlink("0", &link).unwrap();
    for other in [link.as_path(), Path::new("/missing")] {
        let both = [layers.layer(0), other.to_owned()];
        assert!(Account::look_up_in_layers(&both, &who, &[]).is_err(), "{}", other.display());
    }
}
