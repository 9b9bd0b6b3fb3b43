//! Preparing a cell: its directories, and what its specification learns of where it will run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::Spec;

use super::instance::Shared;
use super::undo::{Made, Undo};
use super::{Error, state};
use crate::bundle::{self, CellName};
use crate::fault::{self, Point};

pub(super) fn make_dir(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let make = || std::fs::DirBuilder::new().mode(0o700).create(dir);
    let made = fault::at(Point::LayerDirectory, make);
    made.map_err(|source| Error::io("make", dir, source))
}

/// The directories of a writable layer on disk. The upper one's mode is what the cell sees as the
/// mode of "/".
pub(super) fn make_layer(
    shared: &Shared,
    name: &CellName,
    rootfs: &Path,
    undo: &mut Undo,
) -> Result<PathBuf, Error> {
    state::private_dir(&shared.options.data_dir)?;
    state::private_dir(&shared.data_dir())?;
    let layer = shared.data_dir().join(name.as_str());
    make_dir(&layer)?;
    undo.push(Made::DiskDir(layer.clone(), Arc::clone(&shared.trash)));
    for part in ["upper", "work", "root"] {
        make_dir(&layer.join(part))?;
    }
    let upper = layer.join("upper");
    std::fs::metadata(rootfs)
        .and_then(|root| {
            fault::at(Point::LayerMode, || std::fs::set_permissions(&upper, root.permissions()))
        })
        .map_err(|source| Error::io("take the mode of", rootfs, source))?;
    Ok(layer)
}

/// What of a specification can be missing until someone wants to launch it.
pub(super) fn rootfs_to_launch(spec: &Spec) -> Result<PathBuf, Error> {
    let process = spec.process().as_ref();
    let args = process.and_then(|process| process.args().as_ref());
    if args.is_none_or(Vec::is_empty) {
        return Err(bundle::Error::invalid("command", "", "is missing").into());
    }
    match spec.root().as_ref().map(|root| root.path().clone()) {
        Some(path) if path.is_absolute() => Ok(path),
        path => {
            let path = path.unwrap_or_default().to_string_lossy().into_owned();
            Err(bundle::Error::invalid("rootfs", path, "must be an absolute path").into())
        }
    }
}

/// A cell whose root is the host's own must not read other cells' bundles there, nor their images.
pub(super) fn hide_state(spec: &mut Spec, rootfs: &Path, shared: &Shared) {
    let (data, images) = (&shared.options.data_dir, &shared.options.image_dir);
    // Mostly images lie where data does.
    let images = Some(images).filter(|images| !images.starts_with(data));
    let dirs = [Some(&shared.options.state_dir), Some(data), images].into_iter().flatten();
    if shared.options.data_dir.starts_with(rootfs) {
        // There to be hidden, before another cell makes it. Where it can't be made, nothing will
        // ever lie in it.
        let _ = state::private_dir(&shared.options.data_dir);
    }
    let inside = dirs.filter_map(|dir| dir.strip_prefix(rootfs).ok());
    let hidden = inside.map(|dir| format!("/{}", dir.display()));
    if let Some(linux) = spec.linux_mut() {
        let mut masked = linux.masked_paths().clone().unwrap_or_default();
        masked.extend(hidden);
        linux.set_masked_paths(Some(masked));
    }
}

/// Says in the bundle where the cell lives, as other runtimes read it.
pub(super) fn place_in_cgroup(spec: &mut Spec, parent: &str, leaf: &str) {
    if let Some(linux) = spec.linux_mut() {
        linux.set_cgroups_path(Some(format!("/{parent}/{leaf}").into()));
    }
}
