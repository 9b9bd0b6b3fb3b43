//! The same where this crate was built without its feature `image`: there are no images.

use std::sync::Arc;

use crate::bundle::{CellConfig, ImageDefaults};
use crate::contract::{
    BackOffConfig, Config, ContainerTask, Context, Error, ErrorKind, Result, RetryErrorChecker,
};
use crate::native::Options;

/// No images.
pub(in crate::native::driver) struct Images;

/// Nobody has pulled one.
pub(in crate::native::driver) enum Pulled {}

/// Nobody has one.
pub(in crate::native::driver) enum ImageInUse {}

impl Images {
    pub(in crate::native::driver) fn open(
        _options: &Options,
        config: &Config,
    ) -> Result<Arc<Images>> {
        match config.docker_load_file.is_empty() {
            true => Ok(Arc::new(Images)),
            false => {
                let what = "docker_load_file: is not supported without the feature \"image\"";
                Err(Error::new(ErrorKind::Unsupported, what))
            }
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "with the feature it can fail")]
    pub(in crate::native::driver) fn find(
        self: &Arc<Self>,
        _name: &str,
    ) -> Result<Option<ImageInUse>> {
        Ok(None)
    }

    #[allow(clippy::unused_async, reason = "with the feature it waits")]
    pub(in crate::native::driver) async fn pull(
        self: &Arc<Self>,
        _task: &dyn ContainerTask,
        name: &str,
        _retry: &(BackOffConfig, RetryErrorChecker),
        _context: &Context,
    ) -> Result<Pulled> {
        Err(super::no_pull(name))
    }

    pub(in crate::native::driver) fn stop(&self) {}
}

impl ImageInUse {
    pub(in crate::native::driver) fn is_there(&self) -> bool {
        match *self {}
    }

    pub(in crate::native::driver) fn defaults(&self) -> ImageDefaults {
        match *self {}
    }

    pub(in crate::native::driver) fn be_root_of(&self, _config: &mut CellConfig) {
        match *self {}
    }
}
