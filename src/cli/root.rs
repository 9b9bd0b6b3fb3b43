//! What a cell sees as its root: a directory, or an image that says how it wants to be run.

use std::path::{Path, PathBuf};

use super::Failure;
use super::args::CellArgs;
use super::config::about;
use crate::bundle::{CellConfig, ImageDefaults, LeftOpen, UserSpec};
use crate::image::store::Image;

/// The root before the cell writes to it.
#[derive(Debug)]
pub(super) enum Root<'a> {
    /// A directory. It asks for nothing.
    Dir(&'a Path),
    /// An image. Its configuration holds where no flag does.
    Image(&'a Image),
}

impl Root<'_> {
    /// A cell on this root, still without a command.
    pub(super) fn cell(&self) -> Result<CellConfig, Failure> {
        match self {
            Root::Dir(dir) => Ok(CellConfig::new(directory(dir)?, [""; 0])),
            Root::Image(image) => {
                let mut config = CellConfig::new("", [""; 0]);
                let lowers = image.lowers();
                config.stack(lowers.dir, lowers.names);
                Ok(config)
            }
        }
    }

    /// Fills in what the flags leave to the image, all but the user.
    pub(super) fn fill_in(&self, config: &mut CellConfig, args: &CellArgs) -> Result<(), Failure> {
        let without = match self {
            Root::Dir(_) => "the command to run is missing",
            Root::Image(image) => {
                let (entrypoint, cwd) = (args.entrypoint.is_none(), args.workdir.is_none());
                let open = LeftOpen { entrypoint, cwd, user: false };
                ImageDefaults::from(&*image.config()).fill_in(config, open)?;
                "the command to run is missing: the image has none"
            }
        };
        match config.args.is_empty() {
            true => Err(Failure::refused(without)),
            false => Ok(()),
        }
    }

    /// Who the command runs as.
    pub(super) fn user(&self) -> Result<UserSpec, Failure> {
        let user = match self {
            Root::Dir(_) => String::new(),
            Root::Image(image) => image.config().user.clone(),
        };
        let user = if user.is_empty() { "0" } else { &user };
        user.parse().map_err(|error| Failure::refused(format!("the image's user: {error}")))
    }
}

fn directory(path: &Path) -> Result<PathBuf, Failure> {
    let rootfs = std::path::absolute(path)
        .and_then(|path| path.canonicalize())
        .map_err(|error| about("--rootfs", path, &error))?;
    match rootfs.is_dir() {
        true => Ok(rootfs),
        false => Err(Failure::refused(format!("--rootfs {}: is not a directory", path.display()))),
    }
}
