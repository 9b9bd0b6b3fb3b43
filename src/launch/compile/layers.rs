//! What lies below a cell's own layer: one directory, or several below one.

use std::path::Path;

use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use super::super::Error;
use super::annotated;
use crate::bundle::{annotation, dir_of_layers, layer_names};

/// The most bytes of options that mount(2) takes: a page with a null byte at its end. What else an
/// overlay is told needs less than this leaves.
const MOST_OPTIONS: usize = 4096 - 128;

/// One part of the host's tree, whatever is in it.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Lower {
    /// What is sent along: the directory itself, or the one that all layers are below.
    pub(super) tree: String,
    /// The overlay's `lowerdir`, where the tree is "lower".
    pub(super) dirs: String,
    /// Whether it takes an overlay to see the root at all.
    pub(super) layered: bool,
}

impl Lower {
    /// What the specification names, if it is there.
    pub(super) fn of(spec: &Spec, rootfs: &Path) -> Result<Lower, Error> {
        match annotated(spec, annotation::LAYERS) {
            Some(names) => Lower::layered(rootfs, &layer_names(names).collect::<Vec<_>>()),
            None => {
                let tree = rootfs.to_string_lossy().into_owned();
                Ok(Lower { tree, dirs: "lower".to_owned(), layered: false })
            }
        }
    }

    fn layered(rootfs: &Path, names: &[&str]) -> Result<Lower, Error> {
        let invalid = |why: String| {
            let field = format!("annotation {}", annotation::LAYERS);
            Error::Invalid { field, why }
        };
        let dir = dir_of_layers(rootfs, names).map_err(|error| invalid(error.to_string()))?;
        if dir == Path::new("/") {
            return Err(invalid("the layers must be below a directory of their own".to_owned()));
        }
        check(dir, names)?;
        let dirs: Vec<_> = names.iter().map(|name| format!("lower/{name}")).collect();
        let dirs = dirs.join(":");
        if dirs.len() > MOST_OPTIONS {
            let why = format!("{} layers are more than mount(2) takes at once", names.len());
            return Err(invalid(why));
        }
        Ok(Lower { tree: dir.to_string_lossy().into_owned(), dirs, layered: true })
    }
}

/// Each layer is a directory. A link could lead elsewhere where the init looks than it does here.
fn check(dir: &Path, names: &[&str]) -> Result<(), Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let missing = |path: &Path, source| {
        let path = path.to_string_lossy().into_owned();
        Error::Missing { what: "layer of the root", path, source }
    };
    let opened = open(dir, flags, Mode::empty()).map_err(|errno| missing(dir, errno.into()))?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    for name in names {
        openat2(&opened, *name, flags, Mode::empty(), resolve)
            .map_err(|errno| missing(&dir.join(name), errno.into()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lower(rootfs: &Path, names: &[&str]) -> Result<Lower, String> {
        Lower::layered(rootfs, names).map_err(|error| error.to_string())
    }

    #[test]
    fn all_layers_take_one_tree() {
        let at = tempfile::tempdir().unwrap();
        for name in ["a/fs", "b/fs", "c"] {
            std::fs::create_dir_all(at.path().join(name)).unwrap();
        }
        let top = at.path().join("a/fs");
        let found = lower(&top, &["a/fs", "b/fs", "c"]).unwrap();
        assert_eq!(found.tree, at.path().to_str().unwrap());
        assert_eq!(found.dirs, "lower/a/fs:lower/b/fs:lower/c");
        std::fs::write(at.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("c", at.path().join("link")).unwrap();
        std::os::unix::fs::symlink("b", at.path().join("way")).unwrap();
        for (name, why) in [
            ("", "\"\": must have 1 to 255 characters"),
            ("..", "\"..\": must start with a letter or digit"),
            ("b/../c", "must start with a letter or digit"),
            ("c,upperdir=b", "may hold only letters"),
            ("c\\", "may hold only letters"),
            ("a/fs", "\"a/fs\": is there twice"),
            ("missing", "layer of the root"),
            ("file", "layer of the root"),
            ("link", "layer of the root"),
            ("way/fs", "layer of the root"),
        ] {
            let error = lower(&top, &["a/fs", name]).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
        let error = lower(&top, &["b/fs", "c"]).unwrap_err();
        assert!(error.contains("is not where the root's path ends"), "{error}");
        let error = lower(Path::new("/usr"), &["usr", "etc"]).unwrap_err();
        assert!(error.contains("must be below a directory of their own"), "{error}");
    }

    #[test]
    fn more_than_a_page_of_names_is_refused() {
        let at = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..100).map(|at| format!("{at:064}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for name in &names {
            std::fs::create_dir(at.path().join(name)).unwrap();
        }
        let error = lower(&at.path().join(names[0]), &names).unwrap_err();
        assert!(error.contains("100 layers are more than mount(2) takes"), "{error}");
        assert!(lower(&at.path().join(names[0]), &names[..50]).is_ok());
    }
}
