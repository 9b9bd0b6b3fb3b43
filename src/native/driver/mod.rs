//! The contract's driver on real cells: the synchronous core lifted into tokio.
//!
//! ```text
//! configure   task ──► container, with fn's defaults     live      a running cell
//! cookie      the contract's calls                       attend    its end, and the verdict
//! stage       where it stands, what leads to the next    streams   what it reads and writes
//! images      the store, what is in use, the cleaner     changes   what an embedder changed
//! remove      how it goes                                freeze, measure
//! ```

mod attend;
mod changes;
mod configure;
mod cookie;
mod freeze;
mod images;
mod live;
mod measure;
mod remove;
mod stage;
mod streams;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::runtime::Handle;

use self::configure::{Surroundings, configure};
use self::cookie::{NativeCookie, Retry};
use self::images::Images;
use self::live::given_up;
use crate::contract::{
    BackOffConfig, Config, ContainerTask, Context, Cookie, Driver, Error, ErrorKind, Result,
    RetryErrorChecker, never_retry,
};
use crate::native::error::lift;
use crate::native::{Instance, Options, hidden, state};
use crate::unpoisoned::lock;

/// Runs tasks as cells of this host, straight from this process.
///
/// ```no_run
/// use std::sync::Arc;
/// use hotcell::contract::{Config, Context, Driver, Status, Task};
/// use hotcell::native::{NativeDriver, Options};
///
/// # async fn example() -> hotcell::contract::Result<()> {
/// let driver = NativeDriver::open(Config::default(), Options::default())?;
/// let context = Context::background();
/// let task = Task::builder("rootfs:/srv/rootfs").command("echo hello").stdout(tokio::io::sink());
/// let cookie = driver.create_cookie(&context, Arc::new(task.build())).await?;
/// if cookie.validate_image(&context).await? {
///     cookie.pull_image(&context).await?;
///     cookie.validate_image(&context).await?;
/// }
/// cookie.create_container(&context).await?;
/// let result = cookie.run(&context).await?.wait(&context).await;
/// assert_eq!(result.status(), Status::Success);
/// cookie.close(&context).await?;
/// driver.close().await
/// # }
/// ```
pub struct NativeDriver {
    around: Surroundings,
    images: Arc<Images>,
    /// Gone when the driver has been closed; each cookie has its own hold on it.
    instance: Mutex<Option<Instance>>,
    retry: Retry,
}

impl NativeDriver {
    /// Removes what killed drivers left behind, then opens a new driver. Blocks while it sweeps.
    ///
    /// # Errors
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) and [`Unsupported`](ErrorKind::Unsupported) with
    /// the key; [`Denied`](ErrorKind::Denied) without privilege; [`Host`](ErrorKind::Host).
    pub fn open(mut config: Config, options: Options) -> Result<NativeDriver> {
        check(&config)?;
        if config.instance_id.is_empty() {
            config.instance_id = state::random_id().map_err(|error| lift("open", error))?;
        }
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let user_namespace = options.user_namespace;
        let instance = Instance::open(options.clone()).map_err(|error| lift("open", error))?;
        let images = Images::open(&options, &config)?;
        Ok(NativeDriver {
            images,
            around: Surroundings {
                config,
                hostname,
                user_namespace,
                masked_paths: hidden::paths(),
            },
            instance: Mutex::new(Some(instance)),
            retry: Arc::new(Mutex::new((BackOffConfig::default(), never_retry()))),
        })
    }
}

/// A key that would have to be ignored is refused. Those about a daemon mean nothing here.
fn check(config: &Config) -> Result<()> {
    let unsupported = |key: &str, value: &dyn fmt::Debug| {
        Err(Error::new(ErrorKind::Unsupported, format!("{key}: {value:?} is not supported")))
    };
    if !matches!(config.docker_networks.trim(), "" | "none" | "host") {
        return unsupported("docker_networks", &config.docker_networks);
    }
    if config.pre_fork_pool_size != 0 {
        return unsupported("pre_fork_pool_size", &config.pre_fork_pool_size);
    }
    Ok(())
}

#[async_trait]
impl Driver for NativeDriver {
    async fn create_cookie(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Box<dyn Cookie>> {
        let instance = lock(&self.instance).clone();
        let Some(instance) = instance else {
            return Err(Error::new(ErrorKind::Closed, "create_cookie: the driver is closed"));
        };
        if let Some(end) = context.ended() {
            return Err(end.into());
        }
        let configured = configure(&*task, &self.around)?;
        let images = Arc::clone(&self.images);
        let retry = Arc::clone(&self.retry);
        Ok(Box::new(NativeCookie::new(instance, images, retry, task, configured)))
    }

    fn set_pull_image_retry_policy(
        &self,
        policy: BackOffConfig,
        checker: RetryErrorChecker,
    ) -> Result<()> {
        policy.check()?;
        *lock(&self.retry) = (policy, checker);
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        let instance = lock(&self.instance).take();
        let Some(instance) = instance else {
            return Ok(());
        };
        let images = Arc::clone(&self.images);
        // Its last hold removes directories, and the cleaner may be at work: both block.
        let closed = tokio::task::spawn_blocking(move || {
            images.stop();
            instance.close()
        })
        .await;
        closed.map_err(|error| given_up(&error))?.map_err(|error| lift("close", error))
    }
}

impl Drop for NativeDriver {
    /// Removing directories blocks: not on a runtime's own thread.
    fn drop(&mut self) {
        let instance = self.instance.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let images = Arc::clone(&self.images);
        let end = move || {
            images.stop();
            drop(instance);
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(end)),
            Err(_) => end(),
        }
    }
}

impl fmt::Debug for NativeDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instance = lock(&self.instance);
        f.debug_struct("NativeDriver")
            .field("config", &self.around.config)
            .field("instance", &instance.as_ref().map(Instance::id))
            .finish_non_exhaustive()
    }
}
