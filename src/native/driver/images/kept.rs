//! A store of images, opened when it is first needed: what containers use of it, and its cleaner.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::shelf::{StoreShelf, cached};
use crate::bundle::{CellConfig, ImageDefaults};
use crate::contract::{
    BackOffConfig, Config, ContainerTask, Context, Error, ErrorKind, Result, RetryErrorChecker,
};
use crate::image::archive::Input;
use crate::image::cleaner::{Cleaner, ImageCache};
use crate::image::load::LoadOptions;
use crate::image::store::{Image, Store, StoreOptions, Taken};
use crate::image::unpack::Unpacker;
use crate::native::Options;
use crate::unpoisoned::lock;

/// A driver's images.
pub(in crate::native::driver) struct Images {
    dir: PathBuf,
    unpacker: Unpacker,
    volumes_allowed: bool,
    store: Mutex<Option<Store>>,
    #[cfg(feature = "pull")]
    pulls: super::pull::Pulls,
    cleaner: Mutex<Option<Cleaner>>,
}

/// An image that a container uses: it stays as long as this lives.
pub(in crate::native::driver) struct ImageInUse {
    name: String,
    image: Image,
    images: Arc<Images>,
}

/// An image that was pulled, and not yet found to be there.
pub(in crate::native::driver) struct Pulled {
    _image: Image,
}

impl Images {
    /// Loads the archive that the configuration names, and starts the cleaner if it asks for one.
    pub(in crate::native::driver) fn open(
        options: &Options,
        config: &Config,
    ) -> Result<Arc<Images>> {
        let images = Images {
            dir: options.image_dir.clone(),
            unpacker: options.unpacker.clone(),
            volumes_allowed: config.image_enable_volume,
            store: Mutex::new(None),
            #[cfg(feature = "pull")]
            pulls: super::pull::Pulls::new(options.registries.clone()),
            cleaner: Mutex::new(None),
        };
        if !config.docker_load_file.is_empty() {
            images.load(&config.docker_load_file)?;
        }
        if config.image_clean_max_size != 0 {
            let exempt = config.image_clean_exempt_tags.split_whitespace();
            let cache = ImageCache::new(config.image_clean_max_size, exempt);
            let cleaner = Cleaner::start(cache, StoreShelf(images.store()?));
            let cleaner = cleaner.map_err(|error| host("starting the image cleaner", error))?;
            *lock(&images.cleaner) = Some(cleaner);
        }
        Ok(Arc::new(images))
    }

    fn store(&self) -> Result<Store> {
        let mut store = lock(&self.store);
        if let Some(store) = &*store {
            return Ok(store.clone());
        }
        let unpacker = self.unpacker.clone();
        let opened = Store::open(&self.dir, StoreOptions { unpacker, ..StoreOptions::default() });
        let opened = opened.map_err(|error| host("opening the image store", error))?;
        Ok(store.insert(opened).clone())
    }

    /// Loads all images of an archive or a layout. Names that are others' move to them, as with a
    /// daemon's load.
    fn load(&self, path: &str) -> Result<()> {
        let options = LoadOptions { taken: Taken::Replaced, ..LoadOptions::default() };
        let loaded = self.store()?.load(Input::path(path), &options);
        loaded.map(drop).map_err(|error| {
            let what = format!("docker_load_file: {path}");
            Error::caused(ErrorKind::InvalidConfig, what, error)
        })
    }

    /// The image of this name, from now on in use; `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::ImageWithVolume`], every time; [`ErrorKind::InvalidTask`] when it can be no name.
    pub(in crate::native::driver) fn find(
        self: &Arc<Self>,
        name: &str,
    ) -> Result<Option<ImageInUse>> {
        let op = "validate_image";
        // A task whose name means nothing must not make a store.
        let found = self.store()?.resolve(name).map_err(|error| match &error {
            crate::image::store::Error::Reference(_) => {
                Error::caused(ErrorKind::InvalidTask, op, error)
            }
            _ => host(op, error),
        })?;
        let Some(image) = found else { return Ok(None) };
        let config = image.config();
        if let Some(volume) = config.volumes.first().filter(|_| !self.volumes_allowed) {
            let what = format!("image {name:?} declares the volume {volume:?}");
            return Err(Error::new(ErrorKind::ImageWithVolume, what));
        }
        if let Some(cleaner) = &*lock(&self.cleaner) {
            cleaner.mark_busy(&cached(&image).map_err(|error| host(op, error))?);
        }
        Ok(Some(ImageInUse { name: name.to_owned(), image, images: Arc::clone(self) }))
    }

    /// Pulls the image, which stays until what is returned goes.
    #[cfg(feature = "pull")]
    pub(in crate::native::driver) async fn pull(
        self: &Arc<Self>,
        task: &dyn ContainerTask,
        name: &str,
        retry: &(BackOffConfig, RetryErrorChecker),
        context: &Context,
    ) -> Result<Pulled> {
        // Opening a store deletes what killed loads have left: that blocks.
        let images = Arc::clone(self);
        let opened = context.run(tokio::task::spawn_blocking(move || images.store())).await?;
        let store = opened.map_err(|error| host("opening the image store", error))??;
        let pulled = self.pulls.pull(store, task, name, retry, context).await;
        pulled.map(|image| Pulled { _image: image })
    }

    /// Nobody pulls.
    #[cfg(not(feature = "pull"))]
    pub(in crate::native::driver) async fn pull(
        self: &Arc<Self>,
        _task: &dyn ContainerTask,
        name: &str,
        _retry: &(BackOffConfig, RetryErrorChecker),
        _context: &Context,
    ) -> Result<Pulled> {
        Err(super::no_pull(name))
    }

    /// Ends what works in the background.
    pub(in crate::native::driver) fn stop(&self) {
        *lock(&self.cleaner) = None;
    }
}

impl ImageInUse {
    /// Whether nobody has taken its name away, or its files from under the store.
    pub(in crate::native::driver) fn is_there(&self) -> bool {
        let named = self
            .images
            .store()
            .is_ok_and(|store| store.resolve(&self.name).is_ok_and(|found| found.is_some()));
        let lowers = self.image.lowers();
        named && lowers.names.iter().all(|name| lowers.dir.join(name).is_dir())
    }

    /// What the image says of its containers.
    pub(in crate::native::driver) fn defaults(&self) -> ImageDefaults {
        ImageDefaults::from(&*self.image.config())
    }

    /// Makes its layers the root of a cell.
    pub(in crate::native::driver) fn be_root_of(&self, config: &mut CellConfig) {
        let lowers = self.image.lowers();
        config.stack(&lowers.dir, lowers.names);
    }
}

impl Drop for ImageInUse {
    fn drop(&mut self) {
        if let Some(cleaner) = &*lock(&self.images.cleaner) {
            cleaner.mark_free(&self.image.id().to_string());
        }
    }
}

fn host(op: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::caused(ErrorKind::Host, op, error)
}
