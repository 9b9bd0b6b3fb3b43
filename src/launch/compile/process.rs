//! The process: limits, capabilities, user, directory, and which files to try to execute.

use oci_spec::runtime::{PosixRlimitType, Process, Spec, User};

use super::super::{Error, Listener, Plan, Step, filter};
use super::capabilities::Sets;
use super::{clean, standing};
use crate::bundle::{Bundle, PATH};

/// `CAP_SYS_ADMIN` as the kernel's bit.
const SYS_ADMIN: u64 = 1 << 21;

/// Adds the steps for `process` and says what to execute.
pub(super) fn compile(bundle: &Bundle, mut steps: Vec<Step>) -> Result<Plan, Error> {
    let spec = bundle.spec();
    let invalid = |field: &str, why: &str| Error::Invalid { field: field.into(), why: why.into() };
    let process = spec.process().as_ref().ok_or_else(|| invalid("process", "is missing"))?;
    let argv = process.args().clone().unwrap_or_default();
    let command = argv.first().filter(|command| !command.is_empty());
    let command = command.ok_or_else(|| invalid("process.args", "names no command"))?;
    let envp = process.env().clone().unwrap_or_default();
    let paths = candidates(command, &envp);

    let filter = filter::of(bundle)?;
    let listener = Listener::of(spec, filter.as_deref())?;
    // The kernel takes a filter from those who can gain nothing, or from CAP_SYS_ADMIN.
    let borrow = filter.is_some() && !process.no_new_privileges().unwrap_or(false);
    let mut sets = Sets::of(spec)?;
    let borrowed = if borrow { sets.borrow(SYS_ADMIN) } else { 0 };
    standing::compile(spec, process, &mut steps)?;
    privilege(process, sets, &mut steps)?;
    Ok(Plan { steps, paths, argv, envp, filter, listener, borrowed, ..Plan::default() })
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
fn privilege(process: &Process, sets: Sets, steps: &mut Vec<Step>) -> Result<(), Error> {
    let user = process.user();
    let cwd = process.cwd();
    if !cwd.is_absolute() {
        let why = format!("{} is not an absolute path", cwd.display());
        return Err(Error::Invalid { field: "process.cwd".to_owned(), why });
    }
    let cwd = clean("process.cwd", cwd)?;
    let path = if cwd.is_empty() { "/".to_owned() } else { cwd };
    steps.push(Step::WorkingDir { path, make: true });
    // No descriptor is opened after this, so a small limit on them harms nobody but the task.
    let mut seen = 0u32;
    for limit in process.rlimits().as_deref().unwrap_or_default() {
        let (name, resource) = resource(limit.typ());
        if seen & 1 << resource != 0 {
            let why = format!("{name} stands there twice");
            return Err(Error::Invalid { field: "process.rlimits".to_owned(), why });
        }
        seen |= 1 << resource;
        steps.push(Step::Rlimit { name, resource, soft: limit.soft(), hard: limit.hard() });
    }
    steps.push(sets.bound());
    steps.push(Step::Umask(umask(user)?));
    steps.push(identity(user)?);
    steps.extend(sets.set());
    if process.no_new_privileges().unwrap_or(false) {
        steps.push(Step::NoNewPrivileges);
    }
    Ok(())
}

/// To the kernel the highest number means "as before", which here is root.
fn identity(user: &User) -> Result<Step, Error> {
    let (uid, gid) = (user.uid(), user.gid());
    let groups = user.additional_gids().clone().unwrap_or_default();
    if [uid, gid].iter().chain(&groups).any(|id| *id == u32::MAX) {
        let why = format!("{} is no number of a user or group", u32::MAX);
        return Err(Error::Invalid { field: "process.user".to_owned(), why });
    }
    Ok(Step::Identity { uid, gid, groups })
}

/// The kernel takes the permission bits and ignores all others.
fn umask(user: &User) -> Result<u32, Error> {
    match user.umask().unwrap_or(0o022) {
        mask if mask <= 0o777 => Ok(mask),
        mask => Err(Error::Invalid {
            field: "process.user.umask".to_owned(),
            why: format!("{mask:o} is more than 777 (both octal)"),
        }),
    }
}

/// The out-of-memory score: what is asked for or fails, or else 0 unless the kernel refuses. Then
/// the cell goes before the embedder, which harms nobody else.
pub(super) fn oom_score(spec: &Spec) -> Result<Step, Error> {
    match spec.process().as_ref().and_then(Process::oom_score_adj) {
        None => Ok(Step::OomScore { adjust: 0, required: false }),
        Some(adjust @ -1000..=1000) => Ok(Step::OomScore { adjust, required: true }),
        Some(adjust) => Err(Error::Invalid {
            field: "process.oomScoreAdj".to_owned(),
            why: format!("{adjust} is not from -1000 to 1000"),
        }),
    }
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
    fn no_number_stands_for_whoever_we_are() {
        let none = u32::MAX;
        for json in [
            serde_json::json!({"uid": none, "gid": 0}),
            serde_json::json!({"uid": 1, "gid": none}),
            serde_json::json!({"uid": 1, "gid": 1, "additionalGids": [1, none]}),
        ] {
            let user = serde_json::from_value(json).unwrap();
            let error = identity(&user).unwrap_err().to_string();
            assert!(error.starts_with("config.json: process.user: 4294967295"), "{error}");
        }
    }

    #[test]
    fn masks_and_scores_are_within_the_kernels_bounds() {
        let user = |mask: u32| {
            serde_json::from_value(serde_json::json!({"uid": 1, "gid": 1, "umask": mask}))
        };
        assert_eq!(umask(&user(0o777).unwrap()).unwrap(), 0o777);
        assert!(umask(&user(0o1000).unwrap()).unwrap_err().to_string().contains("1000"));
        let score = |score: i32| {
            let mut spec =
                crate::bundle::spec(&crate::bundle::CellConfig::new("/", ["x"])).unwrap();
            spec.process_mut().as_mut().unwrap().set_oom_score_adj(Some(score));
            oom_score(&spec)
        };
        assert_eq!(score(-1000).unwrap(), Step::OomScore { adjust: -1000, required: true });
        assert!(score(1001).unwrap_err().to_string().contains("process.oomScoreAdj: 1001"));
    }

    #[test]
    fn a_command_is_looked_up_as_a_shell_would() {
        let env = ["PATH=/a:/b/::".to_owned()];
        assert_eq!(candidates("x", &env), ["/a/x", "/b/x", "./x", "./x"]);
        assert_eq!(candidates("./x", &env), ["./x"]);
        assert!(candidates("x", &[]).contains(&"/usr/bin/x".to_owned()));
    }
}
