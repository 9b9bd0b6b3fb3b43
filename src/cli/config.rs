//! Flags become a cell: files are read, paths made absolute.

use std::path::Path;

use oci_spec::runtime::Capability;

use super::Failure;
use super::args::{CellArgs, UpperArg};
use super::root::Root;
use crate::bundle::{
    Account, CAPABILITIES, CapabilityName, CellConfig, DeviceFlag, MountFlag, Upper,
    adjust_capabilities,
};
use crate::launch::held_capabilities;

/// What the flags ask for, upon what the root brings along.
pub(super) fn config(
    args: &CellArgs,
    root: &Root<'_>,
    command: &[String],
) -> Result<CellConfig, Failure> {
    let mut config = root.cell()?;
    let entrypoint = args.entrypoint.iter().filter(|program| !program.is_empty());
    config.args = entrypoint.chain(command).cloned().collect();
    config.env = environment(args)?;
    config.upper = match args.upper {
        _ if args.read_only => Upper::ReadOnly,
        Some(UpperArg::Tmpfs) => Upper::Tmpfs,
        Some(UpperArg::Disk) => Upper::Disk,
        // An upper directory on the host's own root would lie inside its lower one.
        None if config.rootfs == Path::new("/") => Upper::Tmpfs,
        None => Upper::Disk,
    };
    config.cwd = args.workdir.clone().unwrap_or_else(|| "/".to_owned());
    config.user_namespace = args.userns;
    config.capabilities = capabilities(args);
    config.umask = args.umask;
    config.oom_score_adj = args.oom_score_adj;
    config.hostname = args.hostname.clone();
    config.limits.memory = args.memory;
    config.limits.cpu = args.cpus;
    config.limits.pids = args.pids_limit;
    config.limits.rlimits = args.ulimit.clone();
    mounts(args, &mut config)?;
    root.fill_in(&mut config, args)?;
    let user = args.user.clone().map_or_else(|| root.user(), Ok)?;
    config.run_as(Account::look_up_in_layers(&config.layer_dirs()?, &user, &args.group_add)?);
    config.devices = args.device.iter().map(DeviceFlag::look_up).collect::<Result<_, _>>()?;
    config.device_rules = args.device_cgroup_rule.clone();
    config.network = args.network;
    config.init = args.init;
    for option in &args.security_opt {
        option.apply(&mut config)?;
    }
    Ok(config)
}

/// Docker's, adjusted. All there are: all that this process has.
fn capabilities(args: &CellArgs) -> Vec<Capability> {
    let all = match args.cap_add.contains(&CapabilityName::All) {
        true => held_capabilities(),
        false => Vec::new(),
    };
    adjust_capabilities(&CAPABILITIES, &args.cap_add, &args.cap_drop, &all)
}

pub(super) fn about(flag: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::refused(format!("{flag} {}: {error}", path.display()))
}

/// Files first, flags over them; a bare name is taken from here, and left out when it isn't set.
fn environment(args: &CellArgs) -> Result<Vec<String>, Failure> {
    let mut given = Vec::new();
    for path in &args.env_file {
        let text = std::fs::read_to_string(path).map_err(|e| about("--env-file", path, &e))?;
        let lines = text.lines().map(str::trim_start);
        given.extend(
            lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned),
        );
    }
    given.extend(args.env.iter().cloned());
    let here = |name: &str| std::env::var(name).ok().map(|value| format!("{name}={value}"));
    Ok(given
        .into_iter()
        .filter_map(|variable| match variable.contains('=') {
            true => Some(variable),
            false => here(&variable),
        })
        .collect())
}

/// Volumes and memory file systems. A source that starts with a dot is relative to here.
fn mounts(args: &CellArgs, config: &mut CellConfig) -> Result<(), Failure> {
    config.tmpfs = args.tmpfs.clone();
    let mut volumes: Vec<_> = args.volume.iter().map(|volume| ("--volume", volume)).collect();
    for mount in &args.mount {
        match mount {
            MountFlag::Bind(volume) => volumes.push(("--mount", volume)),
            MountFlag::Tmpfs(tmpfs) => config.tmpfs.push(tmpfs.clone()),
        }
    }
    for (flag, volume) in volumes {
        let mut volume = volume.clone();
        volume.source = std::path::absolute(&volume.source)?;
        let source = volume.source.metadata();
        source.map_err(|error| about(&format!("{flag} source"), &volume.source, &error))?;
        config.volumes.push(volume);
    }
    Ok(())
}
