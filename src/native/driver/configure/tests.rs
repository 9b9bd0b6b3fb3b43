//! What becomes of a task under which settings.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::contract::{Auther, CallExtensions, LoggerConfig, Task, TaskBuilder};

fn around(config: Config) -> Surroundings {
    Surroundings {
        config,
        hostname: "node-7".to_owned(),
        user_namespace: UserNamespace::Host,
        masked_paths: &[],
    }
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
    assert_eq!((config.limits.memory, config.limits.cpu, config.limits.pids), (None, None, None));
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
    assert_eq!((sized.tmpfs[0].size, sized.tmpfs[0].inodes), (Some(Bytes(1 << 20)), Some(1025)));
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
        rootfs().env("a\0b", "v"),
        rootfs().env("a", "v\0"),
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

#[test]
fn an_error_holds_neither_a_variables_value_nor_the_log_sinks_address() {
    let rootfs = || Task::builder("rootfs:/srv").command("x");
    let url = LoggerConfig { url: "tcp://u:secret@log:514".into(), tags: Vec::new() };
    for (task, text) in [
        (
            rootfs().env("TOKEN", "secret\0"),
            "environment variable \"TOKEN\": must not hold a NUL byte",
        ),
        (rootfs().env("", "secret"), "environment variable \"\": is no name"),
        (rootfs().logger_config(url), "log sink: syslog is not supported"),
    ] {
        let error = configure(&task.build(), &around(Config::default())).err().unwrap();
        assert_eq!(error.chain(), text);
    }
}

/// Counts how often each question is asked.
struct Asked {
    task: Task,
    counts: Mutex<BTreeMap<&'static str, u32>>,
}

macro_rules! counted {
    ($($name:ident: $kind:ty,)*) => {
        impl ContainerTask for Asked {
            $(fn $name(&self) -> $kind {
                *self.counts.lock().unwrap().entry(stringify!($name)).or_default() += 1;
                self.task.$name()
            })*
        }
    };
}

counted! {
    id: String,
    command: String,
    env_vars: BTreeMap<String, String>,
    input: Option<Input>,
    logger: (Option<Output>, Option<Output>),
    image: String,
    volumes: Vec<(String, String)>,
    memory: u64,
    cpus: u64,
    fs_size: u64,
    tmp_fs_size: u64,
    pids: u64,
    open_files: Option<u64>,
    locked_memory: Option<u64>,
    pending_signals: Option<u64>,
    message_queue: Option<u64>,
    work_dir: String,
    logger_config: LoggerConfig,
    extensions: CallExtensions,
    uds_agent_path: String,
    uds_docker_path: String,
    uds_docker_dest: String,
    disable_net: bool,
    labels: BTreeMap<String, String>,
    timeout: Option<Duration>,
    auther: Option<&dyn Auther>,
}

#[test]
fn no_question_is_asked_twice() {
    let task = task().work_dir("/work").uds("/a", "/host/iofs", "/tmp/iofs").tmp_fs_size(1).build();
    let task = Asked { task, counts: Mutex::default() };
    let host = Config { docker_networks: "host".into(), ..Config::default() };
    configure(&task, &around(host)).map(drop).unwrap();
    let counts = task.counts.into_inner().unwrap();
    assert!(counts.len() > 15 && counts.values().all(|count| *count == 1), "{counts:?}");
}
