//! The contract's driver on real cells: the synchronous core lifted into tokio.
//!
//! ```text
//! configure   task ──► container, with fn's defaults     live      a running cell
//! cookie      the contract's calls                       attend    its end, and the verdict
//! stage       where it stands, what leads to the next    streams   what it reads and writes
//! remove      how it goes                                freeze, measure
//! ```

mod attend;
mod configure;
mod cookie;
mod freeze;
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
use self::cookie::NativeCookie;
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
    /// Gone when the driver has been closed; each cookie has its own hold on it.
    instance: Mutex<Option<Instance>>,
    retry: Mutex<(BackOffConfig, RetryErrorChecker)>,
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
        let instance = Instance::open(options).map_err(|error| lift("open", error))?;
        Ok(NativeDriver {
            around: Surroundings {
                config,
                hostname,
                user_namespace,
                masked_paths: hidden::paths(),
            },
            instance: Mutex::new(Some(instance)),
            retry: Mutex::new((BackOffConfig::default(), never_retry())),
        })
    }
}

/// A key that would have to be ignored is refused. Those about a daemon mean nothing here, and those
/// about kept images hold while there are none.
fn check(config: &Config) -> Result<()> {
    let unsupported = |key: &str, value: &dyn fmt::Debug| {
        Err(Error::new(ErrorKind::Unsupported, format!("{key}: {value:?} is not supported")))
    };
    if !matches!(config.docker_networks.trim(), "" | "none" | "host") {
        return unsupported("docker_networks", &config.docker_networks);
    }
    if !config.docker_load_file.is_empty() {
        return unsupported("docker_load_file", &config.docker_load_file);
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
        Ok(Box::new(NativeCookie::new(instance, task, configured)))
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
        // Its last hold removes directories, which blocks.
        let closed = tokio::task::spawn_blocking(move || instance.close()).await;
        closed.map_err(|error| given_up(&error))?.map_err(|error| lift("close", error))
    }
}

impl Drop for NativeDriver {
    /// Removing directories blocks: not on a runtime's own thread.
    fn drop(&mut self) {
        let instance = self.instance.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(instance), Ok(runtime)) = (instance, Handle::try_current()) {
            runtime.spawn_blocking(move || drop(instance));
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
