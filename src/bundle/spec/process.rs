//! The process of a specification: command, user, capabilities, environment, resource limits.

use std::collections::{HashMap, HashSet};

use oci_spec::runtime::{
    LinuxCapabilitiesBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process,
    ProcessBuilder, User, UserBuilder,
};

use super::super::config::CellConfig;
use super::super::limits::{Limits, Rlimit};
use super::super::{Error, defaults};

/// The kernel takes 65536, the user's own included.
const MOST_GROUPS: usize = 65535;

pub(super) fn process(config: &CellConfig, hostname: &str) -> Result<Process, Error> {
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
