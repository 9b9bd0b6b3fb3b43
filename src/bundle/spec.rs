//! A wish becomes an OCI specification. The host is not looked at, but for the kernel's version when
//! a system call profile asks for one.

use oci_spec::runtime::{
    LinuxBuilder, LinuxCapabilitiesBuilder, LinuxDevice, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, LinuxResources, LinuxSeccomp, LinuxSeccompFilterFlag, Mount, MountBuilder,
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec,
    SpecBuilder, User, UserBuilder,
};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::config::{CellConfig, Network, Seccomp, Tmpfs, Upper};
use super::device::Device;
use super::limits::{Limits, Rlimit};
use super::user_namespace::{self, UserNamespace};
use super::volume::Volume;
use super::{Error, annotation, defaults, grammar};
use crate::seccomp::{self, Architecture, Kernel};

/// The version of the runtime specification that is written.
const OCI_VERSION: &str = "1.0.2";

/// Without one the cell would see the host's.
const DEFAULT_HOSTNAME: &str = "cell";

/// The kernel takes 65536, the user's own included.
const MOST_GROUPS: usize = 65535;

/// Turns a wish into the specification of a cell.
///
/// # Errors
/// [`Error::Invalid`] with the value that makes no sense.
pub fn spec(config: &CellConfig) -> Result<Spec, Error> {
    let Some(rootfs) = config.rootfs.to_str().filter(|path| path.starts_with('/')) else {
        let path = config.rootfs.to_string_lossy();
        return Err(Error::invalid("rootfs", path, "must be an absolute path in UTF-8"));
    };
    if let Some(name) = &config.hostname
        && (name.is_empty() || name.len() > 64 || name.contains('\0'))
    {
        let why = "must have 1 to 64 bytes, none of them NUL";
        return Err(Error::invalid("hostname", name, why));
    }
    let hostname = config.hostname.clone().unwrap_or_else(|| DEFAULT_HOSTNAME.to_owned());
    let mut masked: Vec<String> = defaults::MASKED_PATHS.map(str::to_owned).into();
    masked.push(defaults::MASKED_POWER.to_owned());
    for path in &config.masked_paths {
        masked.push(grammar::absolute("masked path", path)?);
    }
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(config)?)
        .resources(resources(config)?)
        .devices(devices(config)?)
        .masked_paths(masked)
        .readonly_paths(defaults::READONLY_PATHS.map(str::to_owned).to_vec())
        .build()?;
    linux.set_seccomp(seccomp(config));
    let mut spec = SpecBuilder::default()
        .version(OCI_VERSION)
        // Shared by many cells: no other runtime may write there either.
        .root(RootBuilder::default().path(rootfs).readonly(true).build()?)
        .process(process(config, &hostname)?)
        .mounts(mounts(config)?)
        .annotations(annotations(config))
        .linux(linux)
        .build()?;
    spec.set_hostname(Some(hostname));
    if let UserNamespace::Range(range) = config.user_namespace {
        user_namespace::map_ids(&mut spec, range)?;
    }
    Ok(spec)
}

/// The limits; the device list denies everything first, then allows.
fn resources(config: &CellConfig) -> Result<LinuxResources, Error> {
    let mut resources = config.limits.to_resources()?;
    let mut list = resources.devices().clone().unwrap_or_default();
    let rules = config.devices.iter().map(Device::rule).chain(config.device_rules.iter().copied());
    for rule in rules {
        list.push(rule.entry()?);
    }
    resources.set_devices(Some(list));
    Ok(resources)
}

fn devices(config: &CellConfig) -> Result<Vec<LinuxDevice>, Error> {
    let mut seen = HashSet::new();
    let node = |device: &Device| {
        let node = device.node()?;
        match seen.insert(node.path().components().collect::<PathBuf>()) {
            true => Ok(node),
            false => Err(Error::invalid("device target", &device.target, "is taken")),
        }
    };
    config.devices.iter().map(node).collect()
}

/// The rules that count for this cell's capabilities.
fn seccomp(config: &CellConfig) -> Option<LinuxSeccomp> {
    let mut seccomp = match &config.seccomp {
        Seccomp::Default => seccomp::default_for(&config.capabilities).as_ref().clone(),
        Seccomp::Unconfined => return None,
        Seccomp::Profile(profile) => {
            profile.resolve(&config.capabilities, Architecture::NATIVE, Kernel::running())
        }
    };
    let log = LinuxSeccompFilterFlag::SeccompFilterFlagLog;
    let mut flags = seccomp.flags().clone().unwrap_or_default();
    if config.seccomp_log && !flags.contains(&log) {
        flags.push(log);
        seccomp.set_flags(Some(flags));
    }
    Some(seccomp)
}

fn annotations(config: &CellConfig) -> HashMap<String, String> {
    let rootfs = match config.upper {
        Upper::ReadOnly => annotation::SHARED,
        Upper::Tmpfs => annotation::COPY_ON_WRITE_TMPFS,
        Upper::Disk => annotation::COPY_ON_WRITE_DISK,
    };
    let given = config.annotations.iter().map(|(name, value)| (name.clone(), value.clone()));
    let mut all: HashMap<_, _> = given.collect();
    all.insert(annotation::ROOTFS.to_owned(), rootfs.to_owned());
    all.remove(annotation::INIT);
    if config.init {
        all.insert(annotation::INIT.to_owned(), "true".to_owned());
    }
    all
}

fn namespaces(config: &CellConfig) -> Result<Vec<LinuxNamespace>, Error> {
    use LinuxNamespaceType as Type;
    let mut kinds = vec![Type::Pid, Type::Mount, Type::Ipc, Type::Uts, Type::Cgroup];
    if config.network == Network::None {
        kinds.push(Type::Network);
    }
    if config.user_namespace != UserNamespace::Host {
        kinds.push(Type::User);
    }
    let namespace = |kind| Ok(LinuxNamespaceBuilder::default().typ(kind).build()?);
    kinds.into_iter().map(namespace).collect()
}

fn process(config: &CellConfig, hostname: &str) -> Result<Process, Error> {
    if config.args.first().is_some_and(String::is_empty) {
        return Err(Error::invalid("command", "", "is empty"));
    }
    if let Some(argument) = config.args.iter().find(|argument| argument.contains('\0')) {
        return Err(Error::invalid("argument", argument, "must not hold a NUL byte"));
    }
    if !config.cwd.starts_with('/') || config.cwd.contains('\0') {
        let cwd = config.cwd.as_str();
        return Err(Error::invalid("working directory", cwd, "must be an absolute path"));
    }
    let capabilities: HashSet<_> = config.capabilities.iter().copied().collect();
    let none = HashSet::new();
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        // As Docker does: another user than root has the bounding set alone.
        .effective(if config.user.uid == 0 { capabilities.clone() } else { none.clone() })
        .permitted(if config.user.uid == 0 { capabilities } else { none.clone() })
        .inheritable(none.clone())
        .ambient(none)
        .build()?;
    let user = user(config)?;
    let mut process = ProcessBuilder::default()
        .terminal(false)
        .user(user)
        .args(config.args.clone())
        .env(environment(config, hostname)?)
        .cwd(config.cwd.clone())
        .capabilities(capabilities)
        .no_new_privileges(config.no_new_privileges)
        .build()?;
    process.set_oom_score_adj(config.oom_score_adj);
    process.set_rlimits(Some(rlimits(&config.limits)?));
    Ok(process)
}

/// The user's own group is always among its supplementary ones: a program that gives up the first
/// keeps what is forbidden to the group forbidden to itself.
fn user(config: &CellConfig) -> Result<User, Error> {
    let CellConfig { user, groups, umask, .. } = config;
    if let Some(id) = [user.uid, user.gid].iter().chain(groups).find(|id| **id == u32::MAX) {
        return Err(Error::invalid("user or group", id.to_string(), "must be below 4294967295"));
    }
    if groups.len() > MOST_GROUPS {
        let count = groups.len().to_string();
        return Err(Error::invalid("number of groups", count, "must be below 65536"));
    }
    if *umask > 0o777 {
        return Err(Error::invalid("umask", format!("{umask:o}"), "must be at most 777"));
    }
    let others = groups.iter().copied().filter(|gid| *gid != user.gid);
    let mut out = UserBuilder::default()
        .uid(user.uid)
        .gid(user.gid)
        .additional_gids(std::iter::once(user.gid).chain(others).collect::<Vec<_>>())
        .build()?;
    out.set_umask(Some(*umask).filter(|umask| *umask != defaults::UMASK));
    Ok(out)
}

/// No core files unless they are asked for: they are as large as a task's memory, and would lie in
/// its root.
fn rlimits(limits: &Limits) -> Result<Vec<PosixRlimit>, Error> {
    let core = PosixRlimitType::RlimitCore;
    let no_core = Rlimit { resource: core, soft: 0, hard: 0 };
    let named = limits.rlimits.iter().any(|limit| limit.resource == core);
    limits.rlimits.iter().chain((!named).then_some(&no_core)).map(rlimit).collect()
}

fn rlimit(limit: &Rlimit) -> Result<PosixRlimit, Error> {
    let rlimit = PosixRlimitBuilder::default().typ(limit.resource).soft(limit.soft);
    Ok(rlimit.hard(limit.hard).build()?)
}

/// The caller's variables, the last one of a name winning, with what every program expects.
fn environment(config: &CellConfig, hostname: &str) -> Result<Vec<String>, Error> {
    let home = if config.user.uid == 0 { "/root" } else { "/" };
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut places = HashMap::new();
    let given = config.env.iter().map(|variable| match variable.split_once('=') {
        Some((name, value)) if !name.is_empty() && !variable.contains('\0') => {
            Ok((name.to_owned(), value.to_owned()))
        }
        // The name alone: the value may be a secret.
        parts => {
            let name = parts.map_or(variable.as_str(), |(name, _)| name);
            Err(Error::invalid("environment variable", name, "must be NAME=VALUE without NUL"))
        }
    });
    let defaults = [("PATH", defaults::PATH), ("HOME", home), ("HOSTNAME", hostname)]
        .map(|(name, value)| Ok((name.to_owned(), value.to_owned())));
    for variable in defaults.into_iter().chain(given) {
        let (name, value) = variable?;
        match places.get(&name) {
            Some(place) => {
                let (_, old): &mut (String, String) = &mut variables[*place];
                *old = value;
            }
            None => {
                places.insert(name.clone(), variables.len());
                variables.push((name, value));
            }
        }
    }
    Ok(variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

/// Docker's mounts, then the caller's; those above come before those below.
fn mounts(config: &CellConfig) -> Result<Vec<Mount>, Error> {
    const NO: [&str; 3] = ["nosuid", "noexec", "nodev"];
    let fixed: [(&str, &str, &str, &[&str]); 7] = [
        ("/proc", "proc", "proc", &NO),
        ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "ro"]),
        ("/dev/mqueue", "mqueue", "mqueue", &NO),
        ("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ];
    let mut mounts = Vec::new();
    for (target, kind, source, options) in fixed {
        if target == "/sys" && borrowed_sys(config) {
            let options = ["rbind", "rprivate", "nosuid", "noexec", "nodev", "rro"];
            mounts.push(mount(target, "bind", target, options.map(str::to_owned).into())?);
            continue;
        }
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        mounts.push(mount(target, kind, source, options)?);
    }
    let mut own = Vec::new();
    for tmpfs in &config.tmpfs {
        own.push(mount(&tmpfs.target, "tmpfs", "tmpfs", tmpfs_options(tmpfs))?);
    }
    for volume in &config.volumes {
        own.push(bind(volume, config.user_namespace)?);
    }
    own.sort_by_key(|mount| mount.destination().components().count());
    let mut seen = HashSet::from(["/proc", "/sys", "/dev"].map(PathBuf::from));
    for mount in &own {
        let target: PathBuf = mount.destination().components().collect();
        let text = target.to_string_lossy().into_owned();
        if !seen.insert(target) {
            return Err(Error::invalid("mount target", text, "is taken"));
        }
    }
    mounts.extend(own);
    Ok(mounts)
}

/// A sysfs of its own needs a network namespace of its own, in the eyes of a user namespace.
fn borrowed_sys(config: &CellConfig) -> bool {
    config.user_namespace != UserNamespace::Host && config.network == Network::Host
}

fn mount(target: &str, kind: &str, source: &str, options: Vec<String>) -> Result<Mount, Error> {
    let target = grammar::absolute("mount target", target)?;
    Ok(MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source(source)
        .options(options)
        .build()?)
}

fn tmpfs_options(tmpfs: &Tmpfs) -> Vec<String> {
    let mut options: Vec<String> = ["nosuid", "nodev"].map(str::to_owned).into();
    options.extend((!tmpfs.exec).then(|| "noexec".to_owned()));
    options.extend(tmpfs.read_only.then(|| "ro".to_owned()));
    options.push(format!("mode={:o}", tmpfs.mode));
    options.extend(tmpfs.size.map(|size| format!("size={}", size.0)));
    options.extend(tmpfs.inodes.map(|count| format!("nr_inodes={count}")));
    options
}

fn bind(volume: &Volume, user_namespace: UserNamespace) -> Result<Mount, Error> {
    let Some(source) = volume.source.to_str().filter(|path| path.starts_with('/')) else {
        let path = volume.source.to_string_lossy();
        return Err(Error::invalid("volume source", path, "must be an absolute path in UTF-8"));
    };
    let mut options = volume.options();
    if user_namespace != UserNamespace::Host {
        // The cell's ids own there what the same ids own on the host.
        options.push("ridmap".to_owned());
    }
    mount(&volume.target, "bind", source, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> CellConfig {
        CellConfig::new("/srv/rootfs", ["true"])
    }

    #[test]
    fn the_shared_root_is_read_only_to_others_and_annotated_for_us() {
        let spec = spec(&config()).unwrap();
        assert_eq!(spec.root().as_ref().unwrap().readonly(), Some(true));
        let annotations = spec.annotations().as_ref().unwrap();
        assert_eq!(annotations[annotation::ROOTFS], annotation::COPY_ON_WRITE_TMPFS);
        assert_eq!(annotations[annotation::INIT], "true");
    }

    #[test]
    fn the_last_variable_of_a_name_wins_over_defaults_too() {
        let mut config = config();
        config.env = ["A=1", "PATH=/x", "A=2=3"].map(str::to_owned).into();
        let spec = spec(&config).unwrap();
        let env = spec.process().as_ref().unwrap().env().clone().unwrap();
        assert_eq!(env, ["PATH=/x", "HOME=/root", "HOSTNAME=cell", "A=2=3"]);
    }

    #[test]
    fn an_unprivileged_user_holds_no_capability() {
        let mut config = config();
        config.user = "1000:1000".parse().unwrap();
        let spec = spec(&config).unwrap();
        let process = spec.process().clone().unwrap();
        let capabilities = process.capabilities().clone().unwrap();
        assert!(capabilities.effective().as_ref().unwrap().is_empty());
        assert_eq!(capabilities.bounding().as_ref().unwrap().len(), 14);
        assert_eq!(process.no_new_privileges(), Some(true));
    }

    #[test]
    fn the_own_group_comes_first_and_once() {
        let mut config = config();
        config.user = "1000:5".parse().unwrap();
        config.groups = vec![7, 5, 6];
        config.umask = 0o077;
        let user = spec(&config).unwrap().process().as_ref().unwrap().user().clone();
        assert_eq!(user.additional_gids().as_deref(), Some(&[5, 7, 6][..]));
        assert_eq!(user.umask(), Some(0o077));
    }

    #[test]
    fn core_files_have_to_be_asked_for() {
        let core = |config: &CellConfig| {
            let limits = spec(config).unwrap().process().as_ref().unwrap().rlimits().clone();
            let limits = limits.unwrap();
            let core = limits.iter().find(|limit| limit.typ() == PosixRlimitType::RlimitCore);
            (limits.len(), core.unwrap().hard())
        };
        let mut config = config();
        config.limits.rlimits.push("nofile=9".parse().unwrap());
        assert_eq!(core(&config), (2, 0));
        config.limits.rlimits.push("core=5".parse().unwrap());
        assert_eq!(core(&config), (2, 5));
    }

    #[test]
    fn outer_mounts_come_before_inner_ones() {
        let mut config = config();
        config.tmpfs = vec![Tmpfs::new("/a/b"), Tmpfs::new("/a")];
        let spec = spec(&config).unwrap();
        let targets: Vec<_> =
            spec.mounts().as_ref().unwrap().iter().map(|m| m.destination().clone()).collect();
        assert!(targets.ends_with(&["/a".into(), "/a/b".into()]));
    }

    #[test]
    fn nonsense_is_refused_with_the_value() {
        type Change = fn(&mut CellConfig);
        let changes: [(Change, &str); 12] = [
            (|c| c.args[0].clear(), "command"),
            (|c| c.args.push("a\0b".into()), "argument"),
            (|c| c.cwd = "relative".into(), "relative"),
            (|c| c.user.uid = u32::MAX, "4294967295"),
            (|c| c.groups.push(u32::MAX), "4294967295"),
            (|c| c.groups = vec![1; 65536], "number of groups"),
            (|c| c.umask = 0o1000, "umask \"1000\""),
            (|c| c.env.push("=x".into()), "environment variable \"\""),
            (|c| c.env.push("A=s\0".into()), "environment variable \"A\": must be"),
            (|c| c.rootfs = "rootfs".into(), "rootfs"),
            (|c| c.hostname = Some("h".repeat(65)), "hostname"),
            (|c| c.tmpfs = vec![Tmpfs::new("/t"), Tmpfs::new("/a"), Tmpfs::new("/t/")], "taken"),
        ];
        for (change, text) in changes {
            let mut config = config();
            change(&mut config);
            let error = spec(&config).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
