//! From a task to a container, with the defaults of fn's agent. Pure: nothing is made, and of the
//! host only what it is told is known.

use std::fmt;
use std::path::PathBuf;

use oci_spec::runtime::{PosixRlimitType, Spec};

use super::changes;
use super::images::ImageInUse;
use crate::bundle::{
    self, Bytes, CellConfig, CellName, LeftOpen, MilliCpu, Network, Rlimit, Tmpfs, Upper, User,
    UserNamespace, Volume,
};
use crate::contract::{Config, ContainerTask, Error, ErrorKind, Input, Output, Result};

/// Who a container runs as unless the configuration says otherwise.
const UNPRIVILEGED: User = User { uid: 1000, gid: 1000 };

/// What a `rootfs:DIR` image name starts with.
const ROOTFS_SCHEME: &str = "rootfs:";

/// The labels by which fn's agent finds its containers.
const LABELS: [&str; 2] = ["fn-agent-classifier", "fn-agent-instance"];

/// What the driver knows of itself and its host.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    /// The contract's configuration, its instance id filled in.
    pub(super) config: Config,
    /// The host's own name.
    pub(super) hostname: String,
    /// Whose ids a container's are.
    pub(super) user_namespace: UserNamespace,
    /// What this host has to hide beyond what every host has.
    pub(super) masked_paths: &'static [String],
}

/// Where the root file system comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Image {
    /// A directory of the host.
    Rootfs(PathBuf),
    /// An image of this name.
    Named(String),
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Image::Rootfs(dir) => dir.display().fmt(f),
            Image::Named(name) => name.fmt(f),
        }
    }
}

/// What is wanted of a container whose image is not known yet.
pub(super) struct Wish {
    config: CellConfig,
    /// What the image decides.
    open: LeftOpen,
    /// The specification that the embedder was given to change.
    base: Spec,
}

impl Wish {
    /// The specification of a container of this image, with what was `changed` in the one that the
    /// embedder was given.
    pub(super) fn with(&self, image: &ImageInUse, changed: &Spec) -> Result<Spec> {
        let mut config = self.config.clone();
        image.be_root_of(&mut config);
        let filled = image.defaults().fill_in(&mut config, self.open);
        let spec = filled.and_then(|()| bundle::spec(&config)).map_err(|error| refuse(&error))?;
        changes::replay(&self.base, changed, spec).map_err(|error| {
            let what = "container options: what was changed there does not go with the image";
            Error::caused(ErrorKind::InvalidTask, what, error)
        })
    }
}

/// A container, worked out.
pub(super) struct Configured {
    /// `None`: the task has no id, the driver makes one up.
    pub(super) name: Option<CellName>,
    pub(super) image: Image,
    pub(super) spec: Spec,
    /// For an image that is known later.
    pub(super) wish: Option<Wish>,
    pub(super) streams: TaskStreams,
}

/// What a task brought along for its standard streams; `None` is the null device.
#[derive(Default)]
pub(super) struct TaskStreams {
    pub(super) stdin: Option<Input>,
    pub(super) stdout: Option<Output>,
    pub(super) stderr: Option<Output>,
}

/// Asks the task everything, each question at most once.
pub(super) fn configure(task: &dyn ContainerTask, around: &Surroundings) -> Result<Configured> {
    let id = task.id();
    let name = match id.is_empty() {
        true => None,
        false => Some(id.parse::<CellName>().map_err(|error| refuse(&error))?),
    };
    let image = image(&task.image())?;
    if !task.logger_config().url.is_empty() {
        // Not which: the address may hold a password.
        let what = "log sink: syslog is not supported";
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let config = cell_config(task, around, name.as_ref(), &image)?;
    let spec = bundle::spec(&config).map_err(|error| refuse(&error))?;
    let wish = match &image {
        Image::Rootfs(_) => None,
        Image::Named(_) => {
            let user = around.config.disable_unprivileged_containers;
            let open = LeftOpen { entrypoint: true, user, cwd: task.work_dir().is_empty() };
            Some(Wish { config, open, base: spec.clone() })
        }
    };
    let stdin = task.input();
    let (stdout, stderr) = task.logger();
    let streams = TaskStreams { stdin, stdout, stderr };
    Ok(Configured { name, image, spec, wish, streams })
}

fn cell_config(
    task: &dyn ContainerTask,
    around: &Surroundings,
    name: Option<&CellName>,
    image: &Image,
) -> Result<CellConfig> {
    let settings = &around.config;
    let rootfs = match image {
        Image::Rootfs(dir) => dir.clone(),
        // Known when the image is.
        Image::Named(_) => PathBuf::from("/"),
    };
    let command = task.command();
    let mut config = CellConfig::new(rootfs, command.split_whitespace());
    config.upper = upper(task, settings)?;
    config.env = environment(task)?;
    let work_dir = task.work_dir();
    if !work_dir.is_empty() {
        config.cwd = work_dir;
    }
    if !settings.disable_unprivileged_containers {
        config.user = UNPRIVILEGED;
        config.capabilities.clear();
    }
    config.user_namespace = around.user_namespace;
    limits(task, &mut config)?;
    config.tmpfs.extend(tmp(task, settings)?);
    config.volumes = volumes(task);
    config.masked_paths = around.masked_paths.to_vec();
    let networks = (task.disable_net(), settings.docker_networks.trim());
    config.network = match networks {
        (false, "host") => Network::Host,
        _ => Network::None,
    };
    // As under Docker: who shares the host's network, or was given no say, has the host's name.
    config.hostname = match networks {
        (false, "" | "host") => Some(around.hostname.clone()),
        _ => name.map(ToString::to_string),
    };
    config.annotations = task.labels();
    if !settings.container_label_tag.is_empty() {
        let values = [&settings.container_label_tag, &settings.instance_id];
        let labels = LABELS.into_iter().zip(values);
        config.annotations.extend(labels.map(|(name, value)| (name.to_owned(), value.clone())));
    }
    Ok(config)
}

fn refuse(error: &bundle::Error) -> Error {
    Error::new(ErrorKind::InvalidTask, error.to_string())
}

fn invalid(what: &str, value: impl std::fmt::Display, why: &str) -> Error {
    Error::new(ErrorKind::InvalidTask, format!("{what} {value}: {why}"))
}

fn image(name: &str) -> Result<Image> {
    let Some(dir) = name.strip_prefix(ROOTFS_SCHEME) else {
        return match name.is_empty() {
            true => Err(invalid("image", "\"\"", "is missing")),
            false => Ok(Image::Named(name.to_owned())),
        };
    };
    match dir.starts_with('/') {
        true => Ok(Image::Rootfs(dir.into())),
        false => Err(invalid("image", name, "must name an absolute path after rootfs:")),
    }
}

/// A root on disk can't be limited without project quotas; saying so beats not doing it.
fn upper(task: &dyn ContainerTask, settings: &Config) -> Result<Upper> {
    match (settings.enable_readonly_rootfs, task.fs_size()) {
        // Nothing can be written, so any limit holds.
        (true, _) => Ok(Upper::ReadOnly),
        (false, 0) => Ok(Upper::Disk),
        (false, size) => {
            let what = format!("fs size {size} MB: a limit on a writable root is not supported");
            Err(Error::new(ErrorKind::Unsupported, what))
        }
    }
}

/// An error tells the name alone: the value may be a secret.
fn environment(task: &dyn ContainerTask) -> Result<Vec<String>> {
    let variable = |(name, value): (String, String)| {
        let refuse = |why| Err(invalid("environment variable", format!("{name:?}"), why));
        match (name.is_empty() || name.contains(['=', '\0']), value.contains('\0')) {
            (true, _) => refuse("is no name"),
            (false, true) => refuse("must not hold a NUL byte"),
            (false, false) => Ok(format!("{name}={value}")),
        }
    };
    task.env_vars().into_iter().map(variable).collect()
}

fn limits(task: &dyn ContainerTask, config: &mut CellConfig) -> Result<()> {
    let some = |value: u64| Some(value).filter(|value| *value != 0);
    let small = |what, value: u64| {
        u32::try_from(value).map_err(|_| invalid(what, value, "must be below 2^32"))
    };
    let limits = &mut config.limits;
    limits.memory = some(task.memory()).map(Bytes);
    limits.cpu =
        some(task.cpus()).map(|milli| small("milli-CPU", milli)).transpose()?.map(MilliCpu);
    limits.pids = some(task.pids()).map(|count| small("pids limit", count)).transpose()?;
    if limits.pids == Some(1) {
        return Err(invalid("pids limit", 1, "must leave room for the init and the task"));
    }
    let rlimits = [
        (PosixRlimitType::RlimitNofile, task.open_files()),
        (PosixRlimitType::RlimitMemlock, task.locked_memory()),
        (PosixRlimitType::RlimitSigpending, task.pending_signals()),
        (PosixRlimitType::RlimitMsgqueue, task.message_queue()),
    ];
    for (resource, value) in rlimits {
        match value {
            Some(value) if i64::try_from(value).is_err() => {
                tracing::warn!(?resource, value, "an rlimit above 2^63-1 is ignored");
            }
            Some(value) => limits.rlimits.push(Rlimit { resource, soft: value, hard: value }),
            None => {}
        }
    }
    Ok(())
}

/// `/tmp` has a size of its own if the task says so, and is there whenever the root is read-only.
fn tmp(task: &dyn ContainerTask, settings: &Config) -> Result<Option<Tmpfs>> {
    let megabytes = task.tmp_fs_size();
    if megabytes == 0 {
        return Ok(settings.enable_readonly_rootfs.then(|| Tmpfs::new("/tmp")));
    }
    let bytes = megabytes.checked_mul(1 << 20);
    let bytes = bytes.ok_or_else(|| invalid("tmpfs size", megabytes, "MB is too much"))?;
    let mut tmp = Tmpfs::new("/tmp");
    tmp.size = Some(Bytes(bytes));
    tmp.inodes = Some(settings.max_tmpfs_inodes).filter(|count| *count != 0);
    Ok(Some(tmp))
}

/// The socket's directory comes last, as in fn; both are writable.
fn volumes(task: &dyn ContainerTask) -> Vec<Volume> {
    let mut pairs = task.volumes();
    let socket_dir = task.uds_docker_path();
    if !socket_dir.is_empty() {
        pairs.push((socket_dir, task.uds_docker_dest()));
    }
    pairs.into_iter().map(|(source, target)| Volume::new(source, target)).collect()
}

#[cfg(test)]
mod tests;
