//! A wish becomes an OCI specification. The host is not looked at, but for the kernel's version when
//! a system call profile asks for one.

mod mounts;
mod process;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use oci_spec::runtime::{
    LinuxBuilder, LinuxDevice, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType,
    LinuxResources, LinuxSeccomp, LinuxSeccompFilterFlag, RootBuilder, Spec, SpecBuilder,
};

use super::config::{CellConfig, Network, Seccomp, Upper};
use super::device::Device;
use super::user_namespace::{self, IdRange, UserNamespace};
use super::{Error, annotation, defaults, layers, path};
use crate::seccomp;

/// The version of the runtime specification that is written.
const OCI_VERSION: &str = "1.0.2";

/// Without one the cell would see the host's.
const DEFAULT_HOSTNAME: &str = "cell";

/// Turns a wish into the specification of a cell.
///
/// # Errors
/// [`Error::Invalid`] with the value that makes no sense.
pub fn spec(config: &CellConfig) -> Result<Spec, Error> {
    let (mut spec, rules) = spec_and_rules(config)?;
    set_rules(&mut spec, rules);
    Ok(spec)
}

/// Puts the system call rules where every runtime looks for them.
pub(super) fn set_rules(spec: &mut Spec, rules: Option<Arc<LinuxSeccomp>>) {
    if let (Some(rules), Some(linux)) = (rules, spec.linux_mut()) {
        linux.set_seccomp(Some(Arc::unwrap_or_clone(rules)));
    }
}

/// The specification without its system call rules, and those: five hundred words that cells of the
/// same kind share.
pub(super) fn spec_and_rules(
    config: &CellConfig,
) -> Result<(Spec, Option<Arc<LinuxSeccomp>>), Error> {
    let Some(rootfs) = config.rootfs.to_str().filter(|path| path.starts_with('/')) else {
        let path = config.rootfs.to_string_lossy();
        return Err(Error::invalid("rootfs", path, "must be an absolute path in UTF-8"));
    };
    config.layer_dirs()?;
    if let Some(name) = &config.hostname
        && (name.is_empty() || name.len() > 64 || name.contains(char::is_control))
    {
        let why = "must have 1 to 64 bytes, none of them a control character";
        return Err(Error::invalid("hostname", name, why));
    }
    let hostname = config.hostname.clone().unwrap_or_else(|| DEFAULT_HOSTNAME.to_owned());
    let mut masked: Vec<String> = defaults::MASKED_PATHS.map(str::to_owned).into();
    masked.push(defaults::MASKED_POWER.to_owned());
    for path in &config.masked_paths {
        masked.push(path::absolute("masked path", path)?);
    }
    let linux = LinuxBuilder::default()
        .namespaces(namespaces(config)?)
        .resources(resources(config)?)
        .devices(devices(config)?)
        .masked_paths(masked)
        .readonly_paths(defaults::READONLY_PATHS.map(str::to_owned).to_vec())
        .build()?;
    let mut spec = SpecBuilder::default()
        .version(OCI_VERSION)
        // Shared by many cells: no other runtime may write there either.
        .root(RootBuilder::default().path(rootfs).readonly(true).build()?)
        .process(process::process(config, &hostname)?)
        .mounts(mounts::mounts(config)?)
        .annotations(annotations(config))
        .linux(linux)
        .build()?;
    spec.set_hostname(Some(hostname));
    if let UserNamespace::Range(range) = config.user_namespace {
        user_namespace::map_ids(&mut spec, IdRange::new(range.first, range.count)?)?;
    }
    Ok((spec, seccomp(config)))
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
fn seccomp(config: &CellConfig) -> Option<Arc<LinuxSeccomp>> {
    let profile = match &config.seccomp {
        Seccomp::Default => None,
        Seccomp::Unconfined => return None,
        Seccomp::Profile(profile) => Some(profile),
    };
    let mut rules = seccomp::resolved(profile, &config.capabilities);
    let log = LinuxSeccompFilterFlag::SeccompFilterFlagLog;
    let mut flags = rules.flags().clone().unwrap_or_default();
    if config.seccomp_log && !flags.contains(&log) {
        flags.push(log);
        Arc::make_mut(&mut rules).set_flags(Some(flags));
    }
    Some(rules)
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
    all.remove(annotation::LAYERS);
    if !config.layers.is_empty() {
        all.insert(annotation::LAYERS.to_owned(), layers::join(&config.layers));
    }
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
