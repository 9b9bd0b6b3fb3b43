//! The process: limits, capabilities, user, directory, and which files to try to execute.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::OnceLock;

use oci_spec::runtime::{Capability, LinuxCapabilities, PosixRlimitType, Process, Spec};

use super::super::{Error, Plan, Step, filter};
use super::clean;
use crate::bundle::PATH;

/// Adds the steps for `process` and says what to execute.
pub(super) fn compile(spec: &Spec, mut steps: Vec<Step>) -> Result<Plan, Error> {
    let invalid = |field: &str, why: &str| Error::Invalid { field: field.into(), why: why.into() };
    let process = spec.process().as_ref().ok_or_else(|| invalid("process", "is missing"))?;
    let argv = process.args().clone().unwrap_or_default();
    let command = argv.first().filter(|command| !command.is_empty());
    let command = command.ok_or_else(|| invalid("process.args", "names no command"))?;
    let envp = process.env().clone().unwrap_or_default();
    let paths = candidates(command, &envp);

    privilege(process, &mut steps)?;
    // Without no_new_privs an unprivileged task may not filter itself, and set-uid programs may not
    // be filtered.
    let bound = process.no_new_privileges().unwrap_or(false);
    let filter = if bound { filter::baseline() } else { Vec::new() };
    Ok(Plan { steps, paths, argv, envp, filter, stay: false, ids: None })
}

/// Where a shell would look: the command itself if it holds a slash, else each part of `PATH`.
fn candidates(command: &str, envp: &[String]) -> Vec<String> {
    if command.contains('/') {
        return vec![command.to_owned()];
    }
    let path = envp.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
    let part = |dir: &str| match dir {
        "" => format!("./{command}"),
        dir => format!("{}/{command}", dir.trim_end_matches('/')),
    };
    path.unwrap_or(PATH).split(':').map(part).collect()
}

/// The order matters: directory and bounding set need the privilege that the rest gives up.
fn privilege(process: &Process, steps: &mut Vec<Step>) -> Result<(), Error> {
    let user = process.user();
    let cwd = process.cwd();
    if !cwd.is_absolute() {
        let why = format!("{} is not an absolute path", cwd.display());
        return Err(Error::Invalid { field: "process.cwd".to_owned(), why });
    }
    let cwd = clean(&format!("process.cwd {}", cwd.display()), cwd)?;
    let sets = process.capabilities().as_ref();
    let set = |which: fn(&LinuxCapabilities) -> &Option<HashSet<Capability>>| {
        sets.and_then(|sets| which(sets).as_ref()).map_or(Ok(0), bits)
    };
    let permitted = set(LinuxCapabilities::permitted)?;
    let inheritable = set(LinuxCapabilities::inheritable)?;
    steps.push(Step::WorkingDir(if cwd.is_empty() { "/".to_owned() } else { cwd }));
    // No descriptor is opened after this, so a small limit on them harms nobody but the task.
    for limit in process.rlimits().as_deref().unwrap_or_default() {
        let (name, resource) = resource(limit.typ());
        steps.push(Step::Rlimit { name, resource, soft: limit.soft(), hard: limit.hard() });
    }
    steps.push(Step::Bounding { keep: set(LinuxCapabilities::bounding)?, last: last_capability() });
    steps.push(Step::Umask(user.umask().unwrap_or(0o022)));
    steps.push(Step::Identity {
        uid: user.uid(),
        gid: user.gid(),
        groups: user.additional_gids().clone().unwrap_or_default(),
    });
    let effective = set(LinuxCapabilities::effective)?;
    steps.push(Step::Capabilities { effective, permitted, inheritable });
    steps.push(Step::Ambient(set(LinuxCapabilities::ambient)?));
    if process.no_new_privileges().unwrap_or(false) {
        steps.push(Step::NoNewPrivileges);
    }
    Ok(())
}

/// A set of capabilities as the kernel's bits.
fn bits(set: &HashSet<Capability>) -> Result<u64, Error> {
    set.iter().try_fold(0, |bits, capability| {
        let name = capability.to_string();
        let name = if name.starts_with("CAP_") { name } else { format!("CAP_{name}") };
        let unknown =
            |_| Error::Unsupported { field: format!("capability {name}"), detail: String::new() };
        let known = caps::Capability::from_str(&name).map_err(unknown)?;
        Ok(bits | 1 << known.index())
    })
}

/// The highest capability this kernel knows.
fn last_capability() -> u32 {
    static LAST: OnceLock<u32> = OnceLock::new();
    *LAST.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap");
        // 40 is CAP_CHECKPOINT_RESTORE, the last one since 5.9, which is older than our floor.
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(40)
    })
}

/// A resource's name and the kernel's number for it.
fn resource(kind: PosixRlimitType) -> (&'static str, u64) {
    use PosixRlimitType as R;
    match kind {
        R::RlimitCpu => ("RLIMIT_CPU", 0),
        R::RlimitFsize => ("RLIMIT_FSIZE", 1),
        R::RlimitData => ("RLIMIT_DATA", 2),
        R::RlimitStack => ("RLIMIT_STACK", 3),
        R::RlimitCore => ("RLIMIT_CORE", 4),
        R::RlimitRss => ("RLIMIT_RSS", 5),
        R::RlimitNproc => ("RLIMIT_NPROC", 6),
        R::RlimitNofile => ("RLIMIT_NOFILE", 7),
        R::RlimitMemlock => ("RLIMIT_MEMLOCK", 8),
        R::RlimitAs => ("RLIMIT_AS", 9),
        R::RlimitLocks => ("RLIMIT_LOCKS", 10),
        R::RlimitSigpending => ("RLIMIT_SIGPENDING", 11),
        R::RlimitMsgqueue => ("RLIMIT_MSGQUEUE", 12),
        R::RlimitNice => ("RLIMIT_NICE", 13),
        R::RlimitRtprio => ("RLIMIT_RTPRIO", 14),
        R::RlimitRttime => ("RLIMIT_RTTIME", 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_looked_up_as_a_shell_would() {
        let env = ["PATH=/a:/b/::".to_owned()];
        assert_eq!(candidates("x", &env), ["/a/x", "/b/x", "./x", "./x"]);
        assert_eq!(candidates("./x", &env), ["./x"]);
        assert!(candidates("x", &[]).contains(&"/usr/bin/x".to_owned()));
    }

    #[test]
    fn dockers_set_is_the_well_known_number() {
        let set = crate::bundle::CAPABILITIES.into();
        assert_eq!(bits(&set).unwrap(), 0xa804_25fb);
    }
}
