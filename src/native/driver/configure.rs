//! From a task to a container, with the defaults of fn's agent. Pure: nothing is made, and of the
//! host only its name is known.

use std::path::PathBuf;

use oci_spec::runtime::{PosixRlimitType, Spec};

use crate::bundle::{
    self, Bytes, CellConfig, CellName, MilliCpu, Network, Rlimit, Tmpfs, Upper, User, Volume,
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
}

/// Where the root file system comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Image {
    /// A directory of the host.
    Rootfs(PathBuf),
    /// Something that would have to be pulled.
    Named(String),
}

/// A container, worked out.
pub(super) struct Configured {
    /// `None`: the task has no id, the driver makes one up.
    pub(super) name: Option<CellName>,
    pub(super) image: Image,
    pub(super) spec: Spec,
    pub(super) streams: TaskStreams,
}

/// What a task brought along for its standard streams; `None` is the null device.
#[derive(Default)]
pub(super) struct TaskStreams {
    pub(super) stdin: Option<Input>,
    pub(super) stdout: Option<Output>,
    pub(super) stderr: Option<Output>,
}

/// Asks the task everything, once.
pub(super) fn configure(task: &dyn ContainerTask, around: &Surroundings) -> Result<Configured> {
    let id = task.id();
    let name = match id.is_empty() {
        true => None,
        false => Some(id.parse::<CellName>().map_err(|error| refuse(&error))?),
    };
    let image = image(&task.image())?;
    if !task.logger_config().url.is_empty() {
        let what = format!("log sink {:?}: syslog is not supported", task.logger_config().url);
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let config = cell_config(task, around, name.as_ref(), &image)?;
    let spec = bundle::spec(&config).map_err(|error| refuse(&error))?;
    let stdin = task.input();
    let (stdout, stderr) = task.logger();
    let streams = TaskStreams { stdin, stdout, stderr };
    Ok(Configured { name, image, spec, streams })
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
    if !task.work_dir().is_empty() {
        config.cwd = task.work_dir();
    }
    if !settings.disable_unprivileged_containers {
        config.user = UNPRIVILEGED;
        config.capabilities.clear();
    }
    limits(task, &mut config)?;
    config.tmpfs.extend(tmp(task, settings)?);
    config.volumes = volumes(task);
    config.network = match settings.docker_networks.trim() {
        "host" if !task.disable_net() => Network::Host,
        _ => Network::None,
    };
    // As under Docker: who shares the host's network, or was given no say, has the host's name.
    config.hostname = match (task.disable_net(), settings.docker_networks.trim()) {
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

fn environment(task: &dyn ContainerTask) -> Result<Vec<String>> {
    let variable = |(name, value): (String, String)| match name.is_empty() || name.contains('=') {
        true => Err(invalid("environment variable", format!("{name:?}"), "is no name")),
        false => Ok(format!("{name}={value}")),
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
    if !task.uds_docker_path().is_empty() {
        pairs.push((task.uds_docker_path(), task.uds_docker_dest()));
    }
    let volume = |(source, target): (String, String)| Volume {
        source: source.into(),
        target,
        writable: true,
    };
    pairs.into_iter().map(volume).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{LoggerConfig, Task, TaskBuilder};

    fn around(config: Config) -> Surroundings {
        Surroundings { config, hostname: "node-7".to_owned() }
    }

    fn task() -> TaskBuilder {
        Task::builder("rootfs:/srv/rootfs").id("t1").command("run  it\tnow ")
    }

    fn config(task: TaskBuilder, settings: Config) -> Result<CellConfig> {
        let task = task.build();
        let name = "t1".parse().unwrap();
        let image = image(&task.image()).unwrap();
        cell_config(&task, &around(settings), Some(&name), &image)
    }

    #[test]
    fn fns_defaults_are_unprivileged_with_a_read_only_root() {
        let config = config(task(), Config::default()).unwrap();
        assert_eq!(config.args, ["run", "it", "now"], "any white space separates, none is kept");
        assert_eq!((config.user, config.upper), (UNPRIVILEGED, Upper::ReadOnly));
        assert!(config.capabilities.is_empty() && config.init);
        assert_eq!(config.tmpfs, [Tmpfs::new("/tmp")], "an unsized /tmp to write to");
        assert_eq!(config.hostname.as_deref(), Some("node-7"));
        assert_eq!(
            (config.limits.memory, config.limits.cpu, config.limits.pids),
            (None, None, None)
        );
        assert!(config.limits.rlimits.is_empty() && config.annotations.is_empty());
    }

    #[test]
    fn the_off_switches_restore_the_images_user_and_root() {
        let settings = Config {
            enable_readonly_rootfs: false,
            disable_unprivileged_containers: true,
            ..Config::default()
        };
        let config = config(task(), settings).unwrap();
        assert_eq!((config.user.uid, config.capabilities.len()), (0, 14));
        assert_eq!(config.upper, Upper::Disk);
        assert!(config.tmpfs.is_empty(), "the image's own /tmp");
    }

    #[test]
    fn a_sized_tmp_has_its_size_and_the_configured_inodes() {
        let settings = Config { max_tmpfs_inodes: 1025, ..Config::default() };
        let sized = config(task().tmp_fs_size(1), settings.clone()).unwrap();
        assert_eq!(
            (sized.tmpfs[0].size, sized.tmpfs[0].inodes),
            (Some(Bytes(1 << 20)), Some(1025))
        );
        let unsized_tmp = config(task(), settings).unwrap();
        assert_eq!(unsized_tmp.tmpfs[0].inodes, None, "inodes only with a size");
        assert!(config(task().tmp_fs_size(u64::MAX), Config::default()).is_err());
    }

    #[test]
    fn limits_keep_their_units() {
        let task = task().memory(64 << 20).cpus(500).pids(50).open_files(350);
        let limits = config(task.locked_memory(u64::MAX), Config::default()).unwrap().limits;
        assert_eq!(limits.memory, Some(Bytes(64 << 20)));
        assert_eq!((limits.cpu, limits.pids), (Some(MilliCpu(500)), Some(50)));
        let nofile = Rlimit { resource: PosixRlimitType::RlimitNofile, soft: 350, hard: 350 };
        assert_eq!(limits.rlimits, [nofile], "one above 2^63-1 is left out");
    }

    #[test]
    fn the_host_name_follows_the_network() {
        let on = |networks: &str| Config { docker_networks: networks.into(), ..Config::default() };
        for (disabled, networks, hostname, network) in [
            (false, "", "node-7", Network::None),
            (false, "host", "node-7", Network::Host),
            (false, "none", "t1", Network::None),
            (true, "", "t1", Network::None),
            (true, "host", "t1", Network::None),
        ] {
            let config = config(task().disable_net(disabled), on(networks)).unwrap();
            assert_eq!(config.hostname.as_deref(), Some(hostname), "{disabled} {networks:?}");
            assert_eq!(config.network, network, "{disabled} {networks:?}");
        }
    }

    #[test]
    fn labels_come_only_with_a_tag() {
        let settings = Config {
            container_label_tag: "blue".into(),
            instance_id: "i1".into(),
            ..Config::default()
        };
        let labels = config(task(), settings).unwrap().annotations;
        assert_eq!(labels["fn-agent-classifier"], "blue");
        assert_eq!(labels["fn-agent-instance"], "i1");
    }

    #[test]
    fn what_is_not_done_is_refused_and_what_makes_no_sense_too() {
        let writable = Config { enable_readonly_rootfs: false, ..Config::default() };
        let refused = config(task().fs_size(10), writable).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        assert!(config(task().fs_size(10), Config::default()).is_ok());
        let url = LoggerConfig { url: "tcp://log:514".into(), tags: Vec::new() };
        let task = |builder: TaskBuilder| configure(&builder.build(), &around(Config::default()));
        let kind = |builder: TaskBuilder| task(builder).err().map(|error| error.kind());
        let rootfs = || Task::builder("rootfs:/srv").command("x");
        assert_eq!(kind(rootfs().logger_config(url)), Some(ErrorKind::Unsupported));
        for bad in [
            rootfs().id("../x"),
            rootfs().env("", "v"),
            rootfs().env("a=b", "v"),
            rootfs().cpus(u64::MAX),
            rootfs().memory(u64::MAX),
            rootfs().work_dir("relative"),
            rootfs().volume("relative", "/x"),
            rootfs().volume("/x", "relative"),
            Task::builder(""),
            Task::builder("rootfs:srv"),
        ] {
            let task = bad.build();
            let error = configure(&task, &around(Config::default())).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidTask, "{error}");
        }
        assert_eq!(kind(rootfs()), None);
    }

    #[test]
    fn the_socket_directory_comes_after_the_volumes() {
        let task = task().volume("/data", "/data").uds("/a", "/host/iofs", "/tmp/iofs");
        let volumes = config(task, Config::default()).unwrap().volumes;
        assert_eq!(volumes.len(), 2);
        assert_eq!(volumes[1].source, PathBuf::from("/host/iofs"));
        assert!(volumes[1].writable && volumes[1].target == "/tmp/iofs");
    }
}
